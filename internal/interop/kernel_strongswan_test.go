//go:build linux

package interop

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/lab"
	"github.com/racoon3/racoon/spd"
)

// TestKernelStrongSwan: our side with the kernel's IPsec, through packages xfrm
// and pfkey, and strongSwan with its kernel-netlink. Both rekey.
func TestKernelStrongSwan(t *testing.T) {
	t.Parallel()
	if !inKernel(t) {
		return
	}
	for _, c := range []struct {
		name   string
		plane  planeKind
		role   role
		v1     bool
		esp    string
		ah     bool
		mode   spd.Mode
		ipv6   bool
		udp    bool // forced
		nat    bool // we are behind one
		ipcomp bool
	}{
		{name: "GCM", plane: viaXFRM, role: weInitiate, esp: "aes128gcm16-x25519"},
		{name: "ChaCha20 with ESN", plane: viaXFRM, role: theyInitiate, esp: "chacha20poly1305-x25519-esn"},
		{name: "CBC over IPv6", plane: viaXFRM, role: weInitiate, esp: "aes256-sha256-x25519", ipv6: true},
		{name: "transport", plane: viaXFRM, role: theyInitiate, esp: "aes128gcm16", mode: transport},
		{name: "transport behind a NAT", plane: viaXFRM, role: weInitiate, esp: "aes128gcm16", mode: transport, nat: true},
		{name: "in UDP", plane: viaXFRM, role: theyInitiate, esp: "aes256gcm16", udp: true},
		{name: "behind a NAT with IPComp", plane: viaXFRM, role: weInitiate, esp: "aes128-sha256-esn", nat: true, ipcomp: true},
		{name: "AH", plane: viaXFRM, role: weInitiate, esp: "sha256", ah: true, mode: transport},
		{name: "CBC", plane: viaPFKey, role: weInitiate, esp: "aes256-sha384"},
		{name: "transport over IPv6", plane: viaPFKey, role: theyInitiate, esp: "aes128-sha1", mode: transport, ipv6: true},
		{name: "CBC behind a NAT", plane: viaPFKey, role: weInitiate, esp: "aes128-sha512", nat: true},
		{name: "GCM", plane: viaXFRM, role: weInitiate, v1: true, esp: "aes128gcm16"},
		{name: "transport behind a NAT", plane: viaXFRM, role: weInitiate, v1: true, esp: "aes128-sha256", mode: transport, nat: true},
		{name: "CBC", plane: viaPFKey, role: theyInitiate, v1: true, esp: "aes128-sha1"},
	} {
		name := "IKEv2 "
		if c.v1 {
			name = "IKEv1 "
		}
		t.Run(name+string(c.plane)+" "+c.name, func(t *testing.T) {
			var s *swan
			if c.nat {
				s, _ = natted(t, true, lab.RouterConfig{})
			} else {
				s = newSwan(t)
			}
			if c.v1 {
				s.v1()
			}
			s.Peer.ForceEncap, s.Swan.Conns[0].Encap = c.udp, c.udp
			s.Swan.Kernel = true
			conn, ch, own := &s.Swan.Conns[0], &s.Swan.Conns[0].Children[0], &s.Peer.Children[0]
			own.Proposals, ch.Proposals = []string{c.esp}, c.esp
			own.IPComp = c.ipcomp
			if c.ipcomp {
				ch.Extra = "ipcomp = yes"
			}
			if c.ah {
				own.Protocol, ch.Proposals, ch.Extra = spd.ProtoAH, "", "ah_proposals = sha256"
			}
			from, to := s.a.Inner, s.b.Inner
			if c.ipv6 {
				s.Peer.Remote = s.b.Outer6.String()
				conn.Local, conn.Remote = s.b.Outer6.String(), s.a.Outer6.String()
			}
			if c.mode == transport {
				own.Mode, own.Local, own.Remote = transport, nil, nil
				ch.Mode, ch.LocalTS, ch.RemoteTS = "transport", "", ""
				from, to = s.a.Outer, s.b.Outer
				if c.ipv6 {
					from, to = s.a.Outer6, s.b.Outer6
				}
			}
			s.a.RouteTo(s.b)
			s.b.RouteTo(s.a)
			s.peer = lab.StartStrongSwan(t, s.b.Namespace, s.Swan)
			s.host = startKernel(t, s.a, kernelConfig{Plane: c.plane, IPv6: c.ipv6, Peers: []racoon.Peer{s.Peer}})
			if c.role == weInitiate {
				s.initiate("swan")
			} else {
				require.NoError(t, s.peer.Initiate("net"))
			}
			session := s.session()
			s.agree()
			child := session.ChildSAs()[0]
			require.Equal(t, c.mode, child.Mode)
			require.Equal(t, c.udp || c.nat, child.UDPEncap)
			require.Equal(t, c.ipcomp, child.IPComp)
			w := watch(s.a)
			s.reach(s.a, from, s.b, to)
			require.NoError(t, session.RekeyChild(s.within(), child.ID))
			s.agree()
			s.reach(s.a, from, s.b, to)
			if !c.v1 { // strongSwan does not tell itself whose turn it is
				s.peer.RekeyChild("net")
				waitEvent[ike.ChildRekeyed](s.host, 2)
				s.agree()
				s.reach(s.a, from, s.b, to)
			}
			require.NotZero(t, s.agree().Children[0].PacketsIn)
			require.Empty(t, w.clear())
			require.NoError(t, session.Delete(s.within()))
		})
	}
}
