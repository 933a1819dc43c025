//go:build linux

package lab_test

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/internal/lab"
	"github.com/racoon3/racoon/internal/testhost"
	"github.com/racoon3/racoon/internal/testpki"
)

// A gateway of strongSwan's as vpnc needs it: no group in the identity, the
// Cisco Unity vendor ID, a certificate unasked in hybrid authentication. The
// networks of the child are those of the split-include. (With split_include in
// the pool it sends 8 octets for each, which vpnc refuses: it wants 14.)
func vpncGateway(t *testing.T, b *lab.Site, ca *testpki.Cert) *lab.Charon {
	b.IP("addr add 10.20.0.1/16 dev in0")
	c := lab.StrongSwanConfig{
		EAP: map[string]string{"carol": "carol's password"}, CiscoUnity: true,
		Pools: []lab.StrongSwanPool{{Name: "p", Addrs: "10.3.0.0/24", Extra: "dns = 10.2.0.53\n28672 = hello there\n28674 = lab.example"}},
		Conns: []lab.StrongSwanConn{{
			Version: 1, Aggressive: true, Local: b.Outer.String(), Pools: "p",
			Proposals: "aes256-sha1-modp2048,aes256-sha1-modp1024",
			Children:  []lab.StrongSwanChild{{LocalTS: "10.2.0.0/24,10.20.0.0/16", Proposals: "aes256-sha1"}},
		}},
	}
	conn := &c.Conns[0]
	if ca == nil {
		c.PSK, conn.XAuthClients = "group secret", true
	} else {
		c.CAs, c.Certs = []*testpki.Cert{ca}, []*testpki.Cert{ca.Host(t, testpki.RSA2048, "b.lab")}
		conn.LocalID, conn.LocalAuth, conn.RemoteAuth, conn.SendCert = "b.lab", "pubkey", "xauth", "always"
	}
	return lab.StartStrongSwan(t, b.Namespace, c)
}

func TestVPNC(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		hybrid bool
		edit   func(c *lab.VPNCConfig)
	}{
		{"XAuth PSK", false, func(c *lab.VPNCConfig) { c.DH, c.NATT, c.PFS = "dh14", "force-natt", "nopfs" }},
		{"hybrid", true, func(*lab.VPNCConfig) {}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			lab.Require(t, lab.StrongSwan, lab.VPNC)
			sa, sb := lab.NewPair(t)
			var ca *testpki.Cert
			if c.hybrid {
				ca = testpki.NewIssuer(t, testpki.RSA2048, 0)
			}
			gateway := vpncGateway(t, sb, ca)
			vc := lab.VPNCConfig{Gateway: sb.Outer.String(), Group: "group", Secret: "group secret", User: "carol", Password: "carol's password", CA: ca}
			c.edit(&vc)
			v := lab.StartVPNC(t, sa.Namespace, vc)
			got, err := v.Connected(testhost.Patience)
			require.NoError(t, err)
			require.Equal(t, netip.MustParseAddr("10.3.0.1"), got.Address)
			require.Equal(t, []string{"10.2.0.53"}, got.DNS)
			require.Equal(t, "hello there", got.Banner)
			require.Equal(t, "lab.example", got.Domain)
			require.Equal(t, []netip.Prefix{netip.MustParsePrefix("10.2.0.0/24"), netip.MustParsePrefix("10.20.0.0/16")}, got.Split)
			gateway.WaitSAs(testhost.Patience, "a Child SA", func(s []lab.StrongSwanSA) bool {
				return len(s) == 1 && len(s[0].Children) == 1 && s[0].Children[0].State == "INSTALLED"
			})
			sa.MustPing(got.Address, sb.Inner)
			sa.MustPing(got.Address, netip.MustParseAddr("10.20.0.1"))
			v.Stop()
			gateway.WaitSAs(testhost.Patience, "none", func(s []lab.StrongSwanSA) bool { return len(s) == 0 })
		})
	}
	t.Run("wrong password", func(t *testing.T) {
		t.Parallel()
		lab.Require(t, lab.StrongSwan, lab.VPNC)
		sa, sb := lab.NewPair(t)
		vpncGateway(t, sb, nil)
		v := lab.StartVPNC(t, sa.Namespace, lab.VPNCConfig{Gateway: sb.Outer.String(), Group: "group", Secret: "group secret", User: "carol", Password: "wrong"})
		_, err := v.Connected(testhost.Patience)
		require.ErrorContains(t, err, "authentication unsuccessful")
	})
}
