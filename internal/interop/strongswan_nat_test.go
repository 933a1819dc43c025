//go:build linux

package interop

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/lab"
)

// natted is a swan with a NAT between: we are behind it, or strongSwan is.
func natted(t *testing.T, weInside bool, c lab.RouterConfig) (*swan, *lab.Router) {
	lab.Require(t, lab.StrongSwan)
	r := lab.NewRouter(t, c)
	var s *swan
	if weInside {
		s = swanAt(t, r.Inside("a"), r.Outside("b"))
		s.Swan.Conns[0].Remote = ""
	} else {
		s = swanAt(t, r.Outside("a"), r.Inside("b"))
		s.Peer.Remote = ""
	}
	return s, r
}

// Behind a NAT: IKE floats to port 4500 and ESP travels in UDP.
func TestStrongSwanNAT(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		inside bool
		role   role
		router lab.RouterConfig
	}{
		{"we are inside", true, weInitiate, lab.RouterConfig{}},
		{"we are inside, symmetric NAT", true, weInitiate, lab.RouterConfig{Symmetric: true}},
		{"they are inside", false, theyInitiate, lab.RouterConfig{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, router := natted(t, c.inside, c.router)
			session := s.up(c.role)
			sa := s.agree()
			require.Equal(t, c.inside, session.Info().LocalNAT)
			if c.inside {
				require.Equal(t, router.Public, sa.RemoteHost.Addr())
				require.NotEqual(t, uint16(4500), sa.RemoteHost.Port())
				require.Equal(t, netip.AddrPortFrom(s.b.Outer, 4500), session.Path().Remote)
			} else {
				require.Equal(t, router.Public, session.Path().Remote.Addr())
				require.True(t, session.Info().RemoteNAT)
			}
			s.traffic()
			s.underTraffic(s.b, func() {
				require.NoError(t, session.Rekey(s.within()))
				require.NoError(t, session.RekeyChild(s.within(), session.ChildSAs()[0].ID))
				s.peer.RekeyChild("net")
				waitEvent[ike.ChildRekeyed](s.host, 2)
				s.peer.RekeyIKE("lab")
				waitEvent[ike.SessionRekeyed](s.host, 2)
			})
			s.agree()
		})
	}
}

// The NAT forgets its mappings, as one does that restarts, or gets another
// address. The host behind it shows its new address with its next packet, and
// the other follows (RFC 7296 2.23).
func TestStrongSwanRebinding(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		inside bool
		role   role
		rebind func(r *lab.Router)
	}{
		{"we get another port", true, weInitiate, (*lab.Router).Rebind},
		{"we get another address", true, weInitiate, func(r *lab.Router) { r.RebindTo(netip.MustParseAddr("10.99.0.77")) }},
		{"they get another port", false, theyInitiate, (*lab.Router).Rebind},
		{"they get another address", false, theyInitiate, func(r *lab.Router) { r.RebindTo(netip.MustParseAddr("10.99.0.77")) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, router := natted(t, c.inside, lab.RouterConfig{})
			// A sign of life from the inside, for strongSwan follows IKE messages.
			s.Peer.Timing = ike.Timing{Liveness: time.Second}
			s.Swan.Conns[0].DPDDelay = time.Second
			session := s.up(c.role)
			s.traffic()
			before := s.agree().RemoteHost
			path := session.Path()
			c.rebind(router)
			if c.inside {
				require.NoError(t, session.CheckLiveness(s.within()))
				s.until("strongSwan to follow", func() bool { return s.theirs().RemoteHost != before })
			} else {
				ev := waitEvent[ike.SessionMoved](s.host, 1)
				require.Equal(t, path, ev.Old)
				s.until("the new path", func() bool { return session.Path() != path })
				require.Equal(t, router.Public, session.Path().Remote.Addr())
			}
			s.traffic()
			s.agree()
			require.NoError(t, session.RekeyChild(s.within(), session.ChildSAs()[0].ID))
			require.NoError(t, session.Rekey(s.within()))
			s.traffic()
			require.Len(t, eventsOf[ike.SessionUp](s.host), 1)
		})
	}
}

// After a rebinding, ESP alone shows us the new address.
func TestStrongSwanRebindingSeenByESP(t *testing.T) {
	t.Parallel()
	s, router := natted(t, false, lab.RouterConfig{})
	session := s.up(theyInitiate)
	s.traffic()
	path := session.Path()
	router.Rebind()
	_, _ = s.b.Ping(s.b.Inner, s.a.Inner, 1, 56) // its answer may go where the peer was
	s.until("the new path", func() bool { return session.Path() != path })
	require.Equal(t, router.Public, session.Path().Remote.Addr())
	s.traffic()
	require.NoError(t, session.Rekey(s.within()))
	s.agree()
}

// A NAT with a short memory: our keepalives hold the mapping open while
// nothing else is said, so that the peer still reaches us.
func TestStrongSwanKeepalive(t *testing.T) {
	t.Parallel()
	const memory = 6 * time.Second // which is long for a keepalive that is late
	s, router := natted(t, true, lab.RouterConfig{Timeout: memory})
	s.Peer.Timing = ike.Timing{Keepalive: 500 * time.Millisecond, Liveness: -1}
	s.Swan.Charon += "\nkeep_alive = 0"
	s.up(weInitiate)
	s.traffic()
	before := router.Mappings()
	time.Sleep(memory + time.Second)
	s.reach(s.b, s.b.Inner, s.a, s.a.Inner)
	require.Contains(t, router.Mappings(), before[len(before)-1])
}

// IPv6 outside, and all four combinations of families.
func TestStrongSwanIPv6(t *testing.T) {
	t.Parallel()
	for _, outer6 := range []bool{false, true} {
		name := "outer IPv4"
		if outer6 {
			name = "outer IPv6"
		}
		t.Run(name, func(t *testing.T) {
			forRoles(t, func(t *testing.T, r role) {
				s := newSwan(t)
				c, ch := &s.Swan.Conns[0], &s.Swan.Conns[0].Children[0]
				if outer6 {
					s.Host.IPv6, s.Peer.Remote = true, s.b.Outer6.String()
					c.Local, c.Remote = s.b.Outer6.String(), s.a.Outer6.String()
				}
				s.Peer.Children[0].Local = []string{s.a.InnerNet.String(), s.a.InnerNet6.String()}
				s.Peer.Children[0].Remote = []string{s.b.InnerNet.String(), s.b.InnerNet6.String()}
				ch.LocalTS = s.b.InnerNet.String() + "," + s.b.InnerNet6.String()
				ch.RemoteTS = s.a.InnerNet.String() + "," + s.a.InnerNet6.String()
				session := s.up(r)
				s.agree()
				s.traffic()
				s.reach(s.a, s.a.Inner6, s.b, s.b.Inner6)
				s.reach(s.b, s.b.Inner6, s.a, s.a.Inner6)
				s.underTraffic(s.b, func() {
					require.NoError(t, session.RekeyChild(s.within(), session.ChildSAs()[0].ID))
					require.NoError(t, session.Rekey(s.within()))
				})
				s.agree()
			})
		})
	}
}
