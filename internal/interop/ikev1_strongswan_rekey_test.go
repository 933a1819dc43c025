//go:build linux

package interop

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
)

// logRefused makes strongSwan log the ESP packets that it has no SA for.
func (s *swan) logRefused() { s.Swan.Charon += "\nfilelog {\n log {\n esp = 2\n }\n}" }

// refused is how many of those there were.
func (s *swan) refused() int {
	return strings.Count(s.peer.Log(), "does not belong to an installed SA")
}

// underTrafficV1 is underTraffic for rekeys of IKEv1; see logRefused. strongSwan
// has the new inbound SA when it has worked on the last message of Quick Mode,
// and what comes on that SA right behind the message may be there before. Only
// such packets, which it refuses, may be lost, and none when the rekeys are over.
func (s *swan) underTrafficV1(f func()) {
	s.t.Helper()
	trafficLosing(s.t, s.a, s.a.Inner, s.b, s.b.Inner, s.refused, f)
	before := s.refused()
	s.traffic()
	require.Equal(s.t, before, s.refused())
}

// Each side rekeys the Child SA and then the IKE SA, whoever began, under traffic.
func TestIKEv1StrongSwanRekey(t *testing.T) {
	t.Parallel()
	forRoles(t, func(t *testing.T, r role) {
		for _, rekeyer := range []string{"we", "they"} {
			t.Run(rekeyer+" rekey", func(t *testing.T) {
				s := newSwanV1(t)
				s.algorithms("aes128-sha256-ecp256", "aes128-sha256-ecp256")
				s.logRefused()
				session := s.upV1(r)
				before := s.agree()
				s.underTrafficV1(func() {
					for i := range 2 {
						old := session.ChildSAs()[0]
						if rekeyer == "we" {
							require.NoError(t, session.RekeyChild(s.within(), old.ID))
						} else {
							s.peer.RekeyChild("net")
							waitEvent[ike.ChildRekeyed](s.host, i+1)
						}
						require.Len(t, session.ChildSAs(), 1)
						require.NotEqual(t, old.ChildSPIs, session.ChildSAs()[0].ChildSPIs)
						s.agree()
					}
					if rekeyer == "we" {
						require.NoError(t, session.Rekey(s.within()))
					} else {
						s.peer.RekeyIKE("lab")
						waitEvent[ike.SessionRekeyed](s.host, 1)
					}
					s.agree()
					// Also on the new IKE SA.
					require.NoError(t, session.RekeyChild(s.within(), session.ChildSAs()[0].ID))
				})
				after := s.agree()
				require.NotEqual(t, before.InitiatorSPI, after.InitiatorSPI)
				require.Len(t, eventsOf[ike.SessionUp](s.host), 1)
				require.Empty(t, eventsOf[ike.SessionDown](s.host))
			})
		}
	})
}

// Lifetimes on either side make that side rekey by itself.
func TestIKEv1StrongSwanLifetimes(t *testing.T) {
	t.Parallel()
	forLifetimes(t, func(t *testing.T) *swan {
		s := newSwanV1(t)
		s.logRefused()
		return s
	}, (*swan).underTrafficV1)
}
