//go:build linux

package interop

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/lab"
	"github.com/racoon3/racoon/spd"
)

// What strongSwan's own ESP does not have, its kernel's does, in a kernel of
// the lab: IP protocol 50, transport mode, extended sequence numbers.
func TestStrongSwanKernel(t *testing.T) {
	t.Parallel()
	if !lab.InKernel(t, lab.KernelOptions{}) {
		return
	}
	for _, c := range []struct {
		name string
		role role
		esp  string
		mode spd.Mode
		udp  bool
		ipv6 bool
	}{
		{"tunnel mode", weInitiate, "aes128gcm16-x25519", spd.ModeTunnel, false, false},
		{"tunnel mode with ESN", theyInitiate, "aes256-sha256-x25519-esn", spd.ModeTunnel, false, false},
		{"transport mode", weInitiate, "chacha20poly1305-x25519-esn", spd.ModeTransport, false, false},
		{"transport mode over IPv6", theyInitiate, "aes128gcm16-x25519", spd.ModeTransport, false, true},
		{"transport mode in UDP", theyInitiate, "aes128gcm16-x25519", spd.ModeTransport, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSwan(t)
			s.Swan.Kernel, s.Host.RawESP, s.Peer.ForceEncap = true, true, c.udp
			s.algorithms("aes128gcm16-prfsha256-x25519", c.esp)
			conn, ch := &s.Swan.Conns[0], &s.Swan.Conns[0].Children[0]
			family, local, remote := "-4", s.a.Outer, s.b.Outer
			if c.ipv6 {
				family = "-6"
				local, remote = s.a.Outer6, s.b.Outer6
				s.Host.IPv6, s.Peer.Remote = true, remote.String()
				conn.Local, conn.Remote = remote.String(), local.String()
			}
			if c.mode == spd.ModeTransport {
				// One UDP port of the peer's: all else between the hosts is IKE and ESP.
				own := &s.Peer.Children[0]
				own.Mode, own.Local, own.Remote = c.mode, []string{local.String() + "[udp]"}, []string{remote.String() + "[udp/7777]"}
				ch.Mode, ch.LocalTS, ch.RemoteTS = "transport", "dynamic[udp/7777]", "dynamic[udp]"
			} else {
				s.b.RouteTo(s.a)
			}
			session := s.up(c.role)
			if c.mode == spd.ModeTransport {
				s.a.Run("ip", family, "rule", "add", "pref", "1", "ipproto", "udp", "dport", "7777", "lookup", "100")
				s.a.Run("ip", family, "route", "add", "default", "dev", "tun0", "table", "100")
			}
			child := session.ChildSAs()[0]
			require.Equal(t, c.mode, child.Mode)
			require.Equal(t, c.udp, child.UDPEncap)
			s.agree()
			exchange := func() {
				if c.mode == spd.ModeTransport {
					s.reachPort(s.a, local, s.b, netip.AddrPortFrom(remote, 7777))
				} else {
					s.traffic()
				}
			}
			exchange()
			require.NotZero(t, s.agree().Children[0].PacketsIn)
			require.NoError(t, session.RekeyChild(s.within(), child.ID))
			require.Equal(t, c.mode, session.ChildSAs()[0].Mode)
			s.agree()
			exchange()
			s.peer.RekeyChild("net")
			waitEvent[ike.ChildRekeyed](s.host, 2)
			s.agree()
			exchange()
		})
	}
}
