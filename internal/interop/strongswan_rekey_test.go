//go:build linux

package interop

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/lab"
)

// Each side rekeys the Child SA three times and then the IKE SA, whoever began,
// while traffic flows.
func TestStrongSwanRekey(t *testing.T) {
	t.Parallel()
	forRoles(t, func(t *testing.T, r role) {
		for _, rekeyer := range []string{"we", "they"} {
			t.Run(rekeyer+" rekey", func(t *testing.T) {
				s := newSwan(t)
				s.algorithms("aes128gcm16-prfsha256-x25519", "aes128gcm16-x25519")
				session := s.up(r)
				before := s.agree()
				s.underTraffic(s.b, func() {
					for i := range 3 {
						old := session.ChildSAs()[0]
						if rekeyer == "we" {
							require.NoError(t, session.RekeyChild(s.within(), old.ID))
						} else {
							s.peer.RekeyChild("net")
							waitEvent[ike.ChildRekeyed](s.host, i+1)
						}
						now := session.ChildSAs()
						require.Len(t, now, 1)
						require.Equal(t, old.ID, now[0].ID)
						require.NotEqual(t, old.ChildSPIs, now[0].ChildSPIs)
						require.Equal(t, "aes128gcm16-x25519", now[0].Proposal.String())
						s.agree()
					}
					for i := range 2 {
						if rekeyer == "we" {
							require.NoError(t, session.Rekey(s.within()))
						} else {
							s.peer.RekeyIKE("lab")
							waitEvent[ike.SessionRekeyed](s.host, i+1)
						}
						s.agree()
					}
					old := session.ChildSAs()[0]
					if rekeyer == "we" {
						require.NoError(t, session.RekeyChild(s.within(), old.ID))
					} else {
						s.peer.RekeyChild("net")
						waitEvent[ike.ChildRekeyed](s.host, 4)
					}
				})
				after := s.agree()
				require.NotEqual(t, before.InitiatorSPI, after.InitiatorSPI)
				require.Len(t, eventsOf[ike.SessionUp](s.host), 1)
				require.Empty(t, eventsOf[ike.SessionDown](s.host))
				require.Empty(t, eventsOf[ike.ChildDown](s.host))
				st, err := session.Stats(t.Context())
				require.NoError(t, err)
				require.Equal(t, 2, st.IKERekeys)
				require.Equal(t, 4, st.Children[0].Rekeys)
				if r == weInitiate {
					// Nothing is left of what was replaced, after a while.
					s.until("two SAs in the data plane", func() bool { return len(s.plane.installed()) == 2 })
				}
			})
		}
	})
}

// Both sides rekey at the same time: one Child SA and one IKE SA remain.
func TestStrongSwanRekeyCollision(t *testing.T) {
	t.Parallel()
	for _, what := range []string{"Child SA", "IKE SA"} {
		t.Run(what, func(t *testing.T) {
			s := newSwan(t)
			session := s.up(weInitiate)
			s.underTraffic(s.b, func() {
				for i := range 4 {
					done := make(chan error, 1)
					go func() {
						if what == "IKE SA" {
							done <- session.Rekey(s.within())
						} else {
							done <- session.RekeyChild(s.within(), session.ChildSAs()[0].ID)
						}
					}()
					if what == "IKE SA" {
						s.peer.RekeyIKE("lab")
					} else {
						s.peer.RekeyChild("net")
					}
					if err := <-done; err != nil {
						t.Logf("round %d: %v", i, err)
					}
					s.agree()
				}
			})
			require.Len(t, session.ChildSAs(), 1)
			require.Len(t, s.agree().Children, 1)
			require.Empty(t, eventsOf[ike.SessionDown](s.host))
		})
	}
}

// lifetimes makes one side rekey its Child SA, or its IKE SA, by itself, long before
// the end of what it replaces. (Not both at the same moment: charon then forgets
// the Child SA.)
func (s *swan) lifetimes(ours, child bool) {
	c, ch, own := &s.Swan.Conns[0], &s.Swan.Conns[0].Children[0], &s.Peer.Children[0]
	switch {
	case ours && child:
		own.Rekey, own.Lifetime = time.Second, time.Hour
	case ours:
		s.Peer.Timing.Rekey, s.Peer.Timing.Lifetime = time.Second, time.Hour
	case child:
		ch.RekeyTime, ch.LifeTime, ch.Extra = time.Second, time.Hour, "rand_time = 0"
	default:
		c.RekeyTime, c.OverTime, c.Extra = time.Second, time.Hour, "rand_time = 0"
	}
}

// forLifetimes runs f with lifetimes of each kind, and checks that it was that
// side that has rekeyed.
func forLifetimes(t *testing.T, begin func(t *testing.T) *swan, under func(s *swan, f func())) {
	for _, ours := range []bool{true, false} {
		for _, child := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s %s SA ends first", map[bool]string{true: "our", false: "their"}[ours], map[bool]string{true: "Child", false: "IKE"}[child]), func(t *testing.T) {
				s := begin(t)
				s.lifetimes(ours, child)
				s.up(weInitiate)
				s.agree()
				under(s, func() {
					if child {
						require.Equal(t, ours, waitEvent[ike.ChildRekeyed](s.host, 2).Initiator)
					} else {
						require.Equal(t, ours, waitEvent[ike.SessionRekeyed](s.host, 2).Initiator)
					}
				})
				require.Empty(t, eventsOf[ike.SessionDown](s.host))
			})
		}
	}
}

// Lifetimes of a second on either side make the side whose ends first rekey by
// itself.
func TestStrongSwanLifetimes(t *testing.T) {
	t.Parallel()
	forLifetimes(t, newSwan, func(s *swan, f func()) { s.underTraffic(s.b, f) })
}

// A volume limit rekeys too: on our side in the data plane, on theirs in charon.
func TestStrongSwanVolume(t *testing.T) {
	t.Parallel()
	s := newSwan(t)
	s.Peer.Children[0].Volume.SoftBytes = 200_000
	s.up(weInitiate)
	s.underTraffic(s.b, func() { waitEvent[ike.ChildRekeyed](s.host, 2) })
}

// unsent is how many packets strongSwan had no SA for when it sent them. Its
// userspace ESP takes the old Child SA's policies and SAs away one after the other,
// and finds the new ones when that is done.
func (s *swan) unsent() int {
	log := s.peer.Log()
	return strings.Count(log, "could not find an outbound IPsec SA for reqid") +
		strings.Count(log, "no matching outbound IPsec policy for "+s.b.Inner.String())
}

// underReauthentication is underTraffic for a reauthentication that makes before
// it breaks; see logRefused. The responder uses the new Child SA when it sends its
// IKE_AUTH response, before the initiator has it; and the old one ends with its
// IKE SA, while packets may be on their way. These may be lost, and no others.
func (s *swan) underReauthentication(f func()) {
	s.t.Helper()
	refused := func() int {
		ours := s.plane.Stats()
		return s.refused() + s.unsent() + int(ours.EarlyDrops+ours.UnknownSPI)
	}
	before := refused()
	trafficLosing(s.t, s.a, s.a.Inner, s.b, s.b.Inner, func() int { return refused() - before }, f)
}

// Reauthentication, break-before-make and make-before-break.
func TestStrongSwanReauthentication(t *testing.T) {
	t.Parallel()
	for _, mbb := range []bool{false, true} {
		t.Run(fmt.Sprintf("make before break %v", mbb), func(t *testing.T) {
			s := newSwan(t)
			s.Peer.MakeBeforeBreak = mbb
			s.logRefused()
			session := s.up(weInitiate)
			reauth := func() {
				require.NoError(t, session.Reauthenticate(s.within()))
				waitEvent[ike.SessionUp](s.host, 2)
				waitEvent[ike.SessionDown](s.host, 1)
			}
			if mbb {
				s.underReauthentication(reauth)
			} else {
				reauth()
			}
			require.Equal(t, ike.DownReauth, eventsOf[ike.SessionDown](s.host)[0].Reason)
			s.agree()
			s.traffic()
		})
	}
	t.Run("they reauthenticate", func(t *testing.T) {
		s := newSwan(t)
		s.up(theyInitiate)
		s.peer.ReauthIKE("lab")
		waitEvent[ike.SessionUp](s.host, 2)
		waitEvent[ike.SessionDown](s.host, 1)
		s.agree()
		s.traffic()
	})
	t.Run("they reauthenticate, make before break", func(t *testing.T) {
		s := newSwan(t)
		s.Swan.Charon += "\nmake_before_break = yes"
		s.Peer.Unique = ike.UniqueNever
		s.logRefused()
		s.up(theyInitiate)
		s.underReauthentication(func() {
			s.peer.ReauthIKE("lab")
			waitEvent[ike.SessionUp](s.host, 2)
			waitEvent[ike.SessionDown](s.host, 1)
		})
		s.agree()
	})
}

// Several Child SAs in one IKE SA, created and deleted by either side; one is
// rekeyed while the other is used.
func TestStrongSwanChildren(t *testing.T) {
	t.Parallel()
	forRoles(t, func(t *testing.T, r role) {
		s := newSwan(t)
		s.Peer.Children = append(s.Peer.Children, racoon.Child{
			Name: "six", Local: []string{s.a.InnerNet6.String()}, Remote: []string{s.b.InnerNet6.String()}, Proposals: []string{"aes128-sha256-ecp256"},
		})
		s.Swan.Conns[0].Children = append(s.Swan.Conns[0].Children, lab.StrongSwanChild{
			Name: "six", LocalTS: s.b.InnerNet6.String(), RemoteTS: s.a.InnerNet6.String(), Proposals: "aes128-sha256-ecp256",
		})
		session := s.up(r)
		if r == theyInitiate {
			require.NoError(t, s.peer.Initiate("six"))
		}
		s.until("two Child SAs", func() bool { return len(session.ChildSAs()) == 2 })
		require.Len(t, s.agree().Children, 2)
		s.traffic()
		s.reach(s.a, s.a.Inner6, s.b, s.b.Inner6)
		s.reach(s.b, s.b.Inner6, s.a, s.a.Inner6)

		six := session.ChildSAs()[1]
		require.Equal(t, "six", six.Name)
		s.underTraffic(s.b, func() { require.NoError(t, session.RekeyChild(s.within(), six.ID)) })
		require.Len(t, s.agree().Children, 2)
		s.reach(s.a, s.a.Inner6, s.b, s.b.Inner6)

		if r == weInitiate {
			require.NoError(t, session.DeleteChild(s.within(), six.ID))
		} else {
			s.peer.TerminateChild("six")
			ev := waitEvent[ike.ChildDown](s.host, 1)
			require.Equal(t, ike.DownRemote, ev.Reason)
		}
		require.Len(t, s.agree().Children, 1)
		require.NoError(t, session.CreateChild(s.within(), "six"))
		require.Len(t, s.agree().Children, 2)
		s.reach(s.a, s.a.Inner6, s.b, s.b.Inner6)
	})
}

// Two pairs of selectors in one Child SA, of which the peer accepts what it has.
func TestStrongSwanSelectors(t *testing.T) {
	t.Parallel()
	forRoles(t, func(t *testing.T, r role) {
		s := newSwan(t)
		s.Peer.Children[0].Local = []string{"10.1.0.0/16", "fd00:1::/64"}
		s.Peer.Children[0].Remote = []string{"10.2.0.0/16", "fd00:2::/64"}
		ch := &s.Swan.Conns[0].Children[0]
		ch.LocalTS, ch.RemoteTS = "10.2.0.0/24,fd00:2::/56", "10.1.0.0/24,fd00:1::/56"
		session := s.up(r)
		require.Equal(t, "[10.1.0.0/24 fd00:1::/64]", fmt.Sprint(session.ChildSAs()[0].LocalTS))
		require.Equal(t, "[10.2.0.0/24 fd00:2::/64]", fmt.Sprint(session.ChildSAs()[0].RemoteTS))
		require.Equal(t, []string{"10.1.0.0/24", "fd00:1::/64"}, s.agree().Children[0].RemoteTS)
		s.traffic()
		s.reach(s.a, s.a.Inner6, s.b, s.b.Inner6)
	})
	t.Run("nothing in common", func(t *testing.T) {
		s := newSwan(t)
		s.Peer.Children[0].Remote = []string{"10.77.0.0/16"}
		s.start()
		_, err := s.Initiate(s.within(), "swan")
		require.ErrorContains(t, err, "TS_UNACCEPTABLE")
		require.ErrorContains(t, err, "10.77.0.0/16")
	})
}
