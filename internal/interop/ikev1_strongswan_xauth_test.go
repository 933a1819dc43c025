//go:build linux

package interop

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/testpki"
)

// XAuth with each way of authentication before it, and mode-config, pulled and
// pushed: the client gets its address and what else the gateway says.
func TestIKEv1StrongSwanXAuth(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		edit func(s *swan, r role)
	}{
		{"PSK", func(*swan, role) {}},
		{"PSK, push", func(s *swan, _ role) { s.Peer.IKEv1.PushConfig = true; s.Swan.Conns[0].PushConfig = true }},
		{"PSK, Aggressive", func(s *swan, _ role) { s.aggressive() }},
		{"RSA", func(s *swan, _ role) { s.certificates(testpki.RSA2048, 0) }},
		{"hybrid", func(s *swan, r role) { s.hybrid(r) }},
		{"hybrid, Aggressive", func(s *swan, r role) { s.hybrid(r); s.aggressive() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			forRoles(t, func(t *testing.T, r role) {
				s := newSwanV1(t)
				pool := s.roadWarrior(r)
				c.edit(s, r)
				session := s.upV1(r)
				sa := s.agree()
				if r == weInitiate {
					require.Equal(t, []string{virtual.String()}, sa.RemoteVIPs)
					require.Equal(t, []netip.Prefix{netip.PrefixFrom(virtual, 32)}, session.Info().Config.Addresses)
					require.Equal(t, []netip.Addr{netip.MustParseAddr("10.2.0.53")}, session.Info().Config.DNS)
					require.Equal(t, user, sa.Fields["remote-xauth-id"])
				} else {
					require.Equal(t, []string{virtual.String()}, sa.LocalVIPs)
					require.Equal(t, int32(1), pool.assigned.Load())
				}
				ours, theirs := s.asVirtual(r, s.b)
				s.reach(s.a, ours, s.b, theirs)
				s.reach(s.b, theirs, s.a, ours)

				// A rekey asks nobody again.
				require.NoError(t, session.RekeyChild(s.within(), session.ChildSAs()[0].ID))
				s.agree()
				s.reach(s.a, ours, s.b, theirs)
				if pool != nil {
					require.Equal(t, int32(1), pool.assigned.Load())
					s.peer.TerminateIKE("lab")
					s.until("the lease to end", func() bool { return pool.released.Load() == 1 })
				}
			})
		})
	}
}

// A wrong password: no Child SA, no address.
func TestIKEv1StrongSwanXAuthRefused(t *testing.T) {
	t.Parallel()
	forRoles(t, func(t *testing.T, r role) {
		s := newSwanV1(t)
		pool := s.roadWarrior(r)
		if r == weInitiate {
			s.Peer.UserPrompt = ike.StaticUser(user, []byte("wrong"))
		} else {
			s.Swan.EAP[user] = "wrong"
		}
		s.start()
		if r == weInitiate {
			_, err := s.Initiate(s.within(), "swan")
			require.Error(t, err)
			t.Log(err)
		} else {
			require.Error(t, s.peer.Initiate("net"))
			ev := waitEvent[ike.SessionFailed](s.host, 1)
			require.ErrorIs(t, ev.Err, ike.ErrUserRejected)
			require.ErrorContains(t, ev.Err, user)
			require.Zero(t, pool.assigned.Load())
		}
		s.peer.WaitSAs(patience, "none", none)
		require.Empty(t, s.plane.installed())
	})
}

// Unity: the gateway says which networks are behind it, and more; the client asks
// for everything in Quick Mode, as Cisco's does.
func TestIKEv1StrongSwanUnity(t *testing.T) {
	t.Parallel()
	t.Run("we are the client", func(t *testing.T) {
		s := newSwanV1(t)
		s.roadWarrior(weInitiate)
		s.Swan.CiscoUnity = true
		s.Swan.Pools[0].Extra += "\n28672 = welcome\n28674 = lab.example"
		s.b.IP("addr add 10.20.0.1/16 dev in0")
		s.Swan.Conns[0].Children[0].LocalTS = s.b.InnerNet.String() + ",10.20.0.0/16"
		s.Peer.Children[0].Remote = []string{"0.0.0.0/0"}
		session := s.upV1(weInitiate)
		got := session.Info().Config
		require.Equal(t, []netip.Prefix{s.b.InnerNet, netip.MustParsePrefix("10.20.0.0/16")}, got.Subnets)
		require.Equal(t, "welcome", got.Banner)
		require.Equal(t, "lab.example", got.DefaultDomain)
		ours, _ := s.asVirtual(weInitiate, s.b)
		s.a.IP("route add 10.20.0.0/16 dev tun0 src " + ours.String())
		s.reach(s.a, ours, s.b, s.b.Inner)
		s.reach(s.a, ours, s.b, netip.MustParseAddr("10.20.0.1"))
	})
	t.Run("we are the gateway", func(t *testing.T) {
		s := newSwanV1(t)
		pool := s.roadWarrior(theyInitiate)
		s.Swan.CiscoUnity = true
		pool.config.Subnets = []netip.Prefix{s.a.InnerNet}
		pool.config.Banner = "welcome"
		s.Peer.Children[0].Local = []string{"0.0.0.0/0"}
		s.Swan.Conns[0].Children[0].RemoteTS = "0.0.0.0/0"
		s.upV1(theyInitiate)
		require.Equal(t, []string{s.a.InnerNet.String()}, s.agree().Children[0].RemoteTS, "it narrows to the split-include by itself")
		ours, theirs := s.asVirtual(theyInitiate, s.b)
		s.reach(s.b, theirs, s.a, ours)
	})
}
