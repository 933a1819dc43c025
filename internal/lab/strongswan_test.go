//go:build linux

package lab_test

import (
	"context"
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/racoon3/racoon/internal/lab"
	"github.com/racoon3/racoon/internal/testhost"
	"github.com/racoon3/racoon/internal/testpki"
)

// swanPair starts two strongSwans that differ in their sides only.
func swanPair(t *testing.T, edit func(side string, c *lab.StrongSwanConfig)) (sa, sb *lab.Site, a, b *lab.Charon) {
	lab.Require(t, lab.StrongSwan)
	sa, sb = lab.NewPair(t)
	start := func(me, peer *lab.Site) *lab.Charon {
		c := lab.StrongSwanConfig{
			PSK: "lab-psk",
			Conns: []lab.StrongSwanConn{{
				Local: me.Outer.String(), Remote: peer.Outer.String(),
				LocalID: me.Name + ".lab", RemoteID: peer.Name + ".lab",
				Proposals: "aes128gcm16-prfsha256-x25519",
				Children: []lab.StrongSwanChild{{
					LocalTS: me.InnerNet.String(), RemoteTS: peer.InnerNet.String(), Proposals: "aes128gcm16",
				}},
			}},
		}
		if edit != nil {
			edit(me.Name, &c)
		}
		return lab.StartStrongSwan(t, me.Namespace, c)
	}
	return sa, sb, start(sa, sb), start(sb, sa)
}

func TestStrongSwanPSK(t *testing.T) {
	t.Parallel()
	sa, sb, a, b := swanPair(t, nil)
	wire := sa.Sniff()
	require.NoError(t, a.Initiate("net"))
	sa.MustPing(sa.Inner, sb.Inner)
	sb.MustPing(sb.Inner, sa.Inner)

	x, y := a.SAs(), b.SAs()
	require.Len(t, x, 1)
	require.Len(t, y, 1)
	require.Equal(t, "ESTABLISHED", x[0].State)
	require.True(t, x[0].Initiator)
	require.False(t, y[0].Initiator)
	require.NotZero(t, x[0].InitiatorSPI)
	require.Equal(t, x[0].InitiatorSPI, y[0].InitiatorSPI)
	require.Equal(t, x[0].ResponderSPI, y[0].ResponderSPI)
	require.Equal(t, netip.AddrPortFrom(sb.Outer, 4500), x[0].RemoteHost)
	require.Equal(t, "b.lab", x[0].RemoteID)
	require.Len(t, x[0].Children, 1)
	cx, cy := x[0].Children[0], y[0].Children[0]
	require.NotZero(t, cx.SPIIn)
	require.Equal(t, cx.SPIIn, cy.SPIOut)
	require.Equal(t, cx.SPIOut, cy.SPIIn)
	require.Equal(t, int64(6), cx.PacketsIn)
	require.Equal(t, int64(6*84), cx.BytesOut)
	require.Equal(t, []string{"10.1.0.0/24"}, cx.LocalTS)
	require.Equal(t, "INSTALLED", cx.State)

	// On the wire there was nothing but IKE, and ESP in UDP for each of the 12 echo messages.
	spis := map[uint32]bool{cx.SPIIn: true, cx.SPIOut: true}
	esp := 0
	for _, p := range wire.Packets() {
		if p.Src.Addr().Is4() {
			require.Equal(t, uint8(unix.IPPROTO_UDP), p.Proto, "%v", p)
		}
		if p.Dst.Port() == 4500 && len(p.Payload) > 8 && spis[binary.BigEndian.Uint32(p.Payload)] {
			esp++
		}
	}
	require.Equal(t, 12, esp)

	a.RekeyChild("net")
	a.WaitSAs(testhost.Patience, "a new Child SA", func(s []lab.StrongSwanSA) bool {
		return len(s) == 1 && slices.ContainsFunc(s[0].Children, func(c lab.StrongSwanChildSA) bool {
			return c.State == "INSTALLED" && c.SPIIn != cx.SPIIn
		})
	})
	b.RekeyIKE("lab")
	a.WaitSAs(testhost.Patience, "one new IKE SA", func(s []lab.StrongSwanSA) bool {
		return len(s) == 1 && s[0].State == "ESTABLISHED" && s[0].InitiatorSPI != x[0].InitiatorSPI
	})
	sa.MustPing(sa.Inner, sb.Inner)

	sb.Echo(netip.AddrPortFrom(sb.Inner, 7))
	ctx, cancel := context.WithTimeout(t.Context(), testhost.Patience)
	defer cancel()
	require.NoError(t, sa.Transfer(ctx, sa.Inner, netip.AddrPortFrom(sb.Inner, 7), 1<<20))

	b.TerminateIKE("lab")
	a.WaitSAs(testhost.Patience, "gone", func(s []lab.StrongSwanSA) bool { return len(s) == 0 })
	n, err := sa.Ping(sa.Inner, sb.Inner, 1, 56)
	require.False(t, err == nil && n > 0, "answered without a tunnel")
	a.Stop()
	b.Stop()
}

func TestStrongSwanCertificates(t *testing.T) {
	t.Parallel()
	for _, kt := range []testpki.KeyType{testpki.RSA2048, testpki.P256, testpki.P384, testpki.Ed25519} {
		t.Run(string(kt), func(t *testing.T) {
			lab.Require(t, lab.StrongSwan)
			ca := testpki.NewIssuer(t, kt, 1)
			sa, sb, a, _ := swanPair(t, func(side string, c *lab.StrongSwanConfig) {
				c.CAs, c.Certs = []*testpki.Cert{ca}, []*testpki.Cert{ca.Host(t, kt, side+".lab")}
			})
			require.NoError(t, a.Initiate("net"))
			sa.MustPing(sa.Inner, sb.Inner)
		})
	}
}

func TestStrongSwanVirtualAddress(t *testing.T) {
	t.Parallel()
	sa, sb, a, _ := swanPair(t, func(side string, c *lab.StrongSwanConfig) {
		conn := &c.Conns[0]
		if side == "a" {
			conn.VirtualIPs, conn.Children[0].LocalTS = "0.0.0.0", "dynamic"
		} else {
			conn.Remote, conn.Pools, conn.Children[0].RemoteTS = "", "p", "dynamic"
			c.Pools = []lab.StrongSwanPool{{Name: "p", Addrs: "10.3.0.0/24", Extra: "dns = 10.2.0.53"}}
		}
	})
	require.NoError(t, a.Initiate("net"))
	sas := a.SAs()
	require.Len(t, sas, 1)
	require.Equal(t, []string{"10.3.0.1"}, sas[0].LocalVIPs)
	sa.MustPing(netip.MustParseAddr("10.3.0.1"), sb.Inner)
}

func TestStrongSwanIPv6(t *testing.T) {
	t.Parallel()
	sa, sb, a, _ := swanPair(t, func(side string, c *lab.StrongSwanConfig) {
		conn, ch := &c.Conns[0], &c.Conns[0].Children[0]
		conn.Local, conn.Remote, ch.LocalTS, ch.RemoteTS = "fd99::1", "fd99::2", "fd00:1::/64", "fd00:2::/64"
		if side == "b" {
			conn.Local, conn.Remote, ch.LocalTS, ch.RemoteTS = conn.Remote, conn.Local, ch.RemoteTS, ch.LocalTS
		}
	})
	require.NoError(t, a.Initiate("net"))
	sa.MustPing(sa.Inner6, sb.Inner6)
}

func TestStrongSwanDemandsCookies(t *testing.T) {
	t.Parallel()
	_, _, a, b := swanPair(t, func(side string, c *lab.StrongSwanConfig) { c.DemandCookies = side == "b" })
	b.DemandCookies() // for another 10 seconds
	require.NoError(t, a.Initiate("net"))
	require.Regexp(t, `parsed IKE_SA_INIT response 0 \[ N\(COOKIE\)`, a.Log())
}

func TestStrongSwanKernelESP(t *testing.T) {
	t.Parallel()
	if !lab.InKernel(t, lab.KernelOptions{}) {
		return
	}
	sa, sb, a, _ := swanPair(t, func(_ string, c *lab.StrongSwanConfig) { c.Kernel = true })
	require.NoError(t, a.Initiate("net"))
	sa.MustPing(sa.Inner, sb.Inner)
	require.Regexp(t, `rfc4106\(gcm\(aes\)\)`, sa.Run("ip", "xfrm", "state"))
}
