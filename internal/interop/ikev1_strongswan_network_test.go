//go:build linux

package interop

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/lab"
	"github.com/racoon3/racoon/internal/testpki"
)

// Behind a NAT, with rekeys of both kinds; and when the NAT forgets.
func TestIKEv1StrongSwanNAT(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		inside bool
		role   role
		edit   func(s *swan)
	}{
		{"we are inside", true, weInitiate, func(*swan) {}},
		{"they are inside", false, theyInitiate, func(*swan) {}},
		{"we are inside, Aggressive", true, weInitiate, (*swan).aggressive},
		{"they are inside, Aggressive", false, theyInitiate, (*swan).aggressive},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, router := natted(t, c.inside, lab.RouterConfig{})
			s.v1()
			c.edit(s)
			s.logRefused()
			session := s.upV1(c.role)
			sa := s.agree()
			if c.inside {
				require.True(t, session.Info().LocalNAT)
				require.Equal(t, router.Public, sa.RemoteHost.Addr())
			} else {
				require.True(t, session.Info().RemoteNAT)
				require.Equal(t, router.Public, session.Path().Remote.Addr())
			}
			s.traffic()
			s.underTrafficV1(func() {
				require.NoError(t, session.RekeyChild(s.within(), session.ChildSAs()[0].ID))
				s.agree()
				s.peer.RekeyChild("net")
				waitEvent[ike.ChildRekeyed](s.host, 2)
			})
			s.agree()

			path := session.Path()
			router.Rebind()
			if c.inside {
				require.NoError(t, session.CheckLiveness(s.within()))
				s.until("strongSwan to follow", func() bool { return s.theirs().RemoteHost != sa.RemoteHost })
				// Its userspace ESP cannot move an SA: it makes a new one.
				waitEvent[ike.ChildRekeyed](s.host, 3)
				s.agree()
			} else {
				_, _ = s.b.Ping(s.b.Inner, s.a.Inner, 1, 56)
				s.until("the new path", func() bool { return session.Path() != path })
			}
			s.traffic()
		})
	}
}

// Cisco's fragments: certificates that do not fit into a datagram, through a NAT
// that loses fragments of IP.
func TestIKEv1StrongSwanFragmentation(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, theirs string }{{"both", "yes"}, {"they force it", "force"}} {
		t.Run(c.name, func(t *testing.T) {
			lab.Require(t, lab.StrongSwan)
			r := lab.NewRouter(t, lab.RouterConfig{DropFragments: true})
			s := swanAt(t, r.Inside("a"), r.Outside("b")).v1()
			s.Swan.Conns[0].Remote = ""
			s.Swan.Conns[0].Fragmentation = c.theirs
			s.certificates(testpki.RSA3072, 3)
			session := s.upV1(weInitiate)
			require.True(t, session.Info().Fragmentation)
			s.agree()
			s.traffic()
		})
	}
	t.Run("they do not", func(t *testing.T) {
		forRoles(t, func(t *testing.T, r role) {
			s := newSwanV1(t)
			s.Swan.Conns[0].Fragmentation = "no"
			s.certificates(testpki.RSA2048, 3)
			wire := s.a.Sniff()
			session := s.upV1(r)
			require.False(t, session.Info().Fragmentation)
			s.agree()
			s.traffic()
			require.True(t, slices.ContainsFunc(wire.Packets(), func(p *lab.Packet) bool { return p.Fragment }))
		})
	})
}

// The first messages are lost, the others delayed, doubled and reordered.
func TestIKEv1StrongSwanBadNetwork(t *testing.T) {
	t.Parallel()
	forRoles(t, func(t *testing.T, r role) {
		lab.Require(t, lab.StrongSwan)
		router := lab.NewRouter(t, lab.RouterConfig{})
		s := swanAt(t, router.Outside("a"), router.Outside("b")).v1()
		s.Peer.Timing = ike.Timing{RetransmitBase: 100 * time.Millisecond, RetransmitMax: time.Second, RetransmitTries: 30}
		s.Swan.Conns[0].Children[0].Proposals += ",aes128-sha256-modp2048"
		n := 0
		router.SetFilter(func(p *lab.Packet) lab.Verdict {
			if p.Dst.Port() != 500 && (p.Dst.Port() != 4500 || len(p.Payload) < 4 || [4]byte(p.Payload) != [4]byte{}) {
				return lab.Verdict{} // not IKE
			}
			n++
			return lab.Verdict{Drop: n < 30 && n%3 == 1, Copies: n % 2, Delay: time.Duration(n%4) * 3 * time.Millisecond}
		})
		session := s.upV1(r)
		s.traffic()
		require.NoError(t, session.RekeyChild(s.within(), session.ChildSAs()[0].ID))
		// Its old SA may stay, if our Delete is lost.
		spi := uint32(session.ChildSAs()[0].In)
		s.peer.WaitSAs(patience, "the new Child SA", func(sas []lab.StrongSwanSA) bool {
			return len(sas) == 1 && slices.ContainsFunc(sas[0].Children, func(c lab.StrongSwanChildSA) bool { return c.SPIOut == spi && c.State == "INSTALLED" })
		})
		s.traffic()
		router.SetFilter(nil)
	})
}
