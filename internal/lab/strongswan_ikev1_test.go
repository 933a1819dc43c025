//go:build linux

package lab_test

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/internal/lab"
	"github.com/racoon3/racoon/internal/testhost"
	"github.com/racoon3/racoon/internal/testpki"
)

const ikev1Proposal = "aes256-sha256-modp2048"

// swanV1 starts two strongSwans that speak IKEv1.
func swanV1(t *testing.T, edit func(side string, c *lab.StrongSwanConfig, conn *lab.StrongSwanConn)) (sa, sb *lab.Site, a, b *lab.Charon) {
	return swanPair(t, func(side string, c *lab.StrongSwanConfig) {
		conn := &c.Conns[0]
		conn.Version, conn.Proposals, conn.Children[0].Proposals = 1, ikev1Proposal, "aes128-sha256"
		edit(side, c, conn)
	})
}

// roadWarrior makes a the client of gateway b, which gives it an address.
func roadWarrior(side string, c *lab.StrongSwanConfig, conn *lab.StrongSwanConn) {
	c.EAP = map[string]string{"carol": "carol's password"}
	if side == "a" {
		conn.VirtualIPs, conn.Children[0].LocalTS = "0.0.0.0", "dynamic"
		return
	}
	conn.Remote, conn.RemoteID, conn.Pools, conn.Children[0].RemoteTS = "", "", "p", "dynamic"
	c.Pools = []lab.StrongSwanPool{{Name: "p", Addrs: "10.3.0.0/24", Extra: "dns = 10.2.0.53"}}
}

// What the interop tests of IKEv1 take for granted of strongSwan.
func TestStrongSwanIKEv1(t *testing.T) {
	t.Parallel()
	rsa := func(side string, c *lab.StrongSwanConfig, ca *testpki.Cert) {
		c.CAs, c.Certs = []*testpki.Cert{ca}, []*testpki.Cert{ca.Host(t, testpki.RSA2048, side+".lab")}
	}
	for _, c := range []struct {
		name string
		edit func(side string, c *lab.StrongSwanConfig, conn *lab.StrongSwanConn, ca *testpki.Cert)
	}{
		{"Main PSK", func(string, *lab.StrongSwanConfig, *lab.StrongSwanConn, *testpki.Cert) {}},
		{"Main RSA", func(side string, c *lab.StrongSwanConfig, _ *lab.StrongSwanConn, ca *testpki.Cert) { rsa(side, c, ca) }},
		{"Aggressive PSK, PFS", func(_ string, _ *lab.StrongSwanConfig, conn *lab.StrongSwanConn, _ *testpki.Cert) {
			conn.Aggressive, conn.Children[0].Proposals = true, "aes256-sha1-modp2048"
		}},
		{"XAuth PSK, push", func(side string, c *lab.StrongSwanConfig, conn *lab.StrongSwanConn, _ *testpki.Cert) {
			roadWarrior(side, c, conn)
			conn.PushConfig = true
			if side == "a" {
				conn.XAuthUser = "carol"
			} else {
				conn.XAuthClients = true
			}
		}},
		{"XAuth RSA, pull, fragments", func(side string, c *lab.StrongSwanConfig, conn *lab.StrongSwanConn, ca *testpki.Cert) {
			rsa(side, c, ca)
			roadWarrior(side, c, conn)
			conn.Fragmentation = "force"
			if side == "a" {
				conn.XAuthUser = "carol"
			} else {
				conn.XAuthClients = true
			}
		}},
		{"hybrid", func(side string, c *lab.StrongSwanConfig, conn *lab.StrongSwanConn, ca *testpki.Cert) {
			c.PSK, c.CAs = "", []*testpki.Cert{ca}
			roadWarrior(side, c, conn)
			if side == "a" {
				conn.LocalAuth, conn.RemoteAuth, conn.LocalID, conn.XAuthUser = "xauth", "pubkey", "keyid:group", "carol"
			} else {
				rsa(side, c, ca)
				conn.LocalAuth, conn.RemoteAuth, conn.SendCert = "pubkey", "xauth", "always"
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			lab.Require(t, lab.StrongSwan)
			ca := testpki.NewIssuer(t, testpki.RSA2048, 0)
			sa, sb, a, b := swanV1(t, func(side string, cfg *lab.StrongSwanConfig, conn *lab.StrongSwanConn) { c.edit(side, cfg, conn, ca) })
			require.NoError(t, a.Initiate("net"))
			sas := a.WaitSAs(testhost.Patience, "a Child SA", func(s []lab.StrongSwanSA) bool { return len(s) == 1 && len(s[0].Children) == 1 })
			require.Equal(t, "1", sas[0].Fields["version"])
			// The responder has it with the last message, which may still be on its way.
			b.WaitSAs(testhost.Patience, "the Child SA", func(s []lab.StrongSwanSA) bool {
				return len(s) == 1 && slices.ContainsFunc(s[0].Children, func(c lab.StrongSwanChildSA) bool { return c.State == "INSTALLED" })
			})
			from := sa.Inner
			if v := sas[0].LocalVIPs; len(v) == 1 {
				from = netip.MustParseAddr(v[0])
			}
			sa.MustPing(from, sb.Inner)
			a.RekeyChild("net")
			spi := sas[0].Children[0].SPIIn
			b.WaitSAs(testhost.Patience, "a new Child SA", func(s []lab.StrongSwanSA) bool {
				return len(s) == 1 && slices.ContainsFunc(s[0].Children, func(c lab.StrongSwanChildSA) bool { return c.State == "INSTALLED" && c.SPIOut != spi })
			})
			sa.MustPing(from, sb.Inner)
		})
	}
}
