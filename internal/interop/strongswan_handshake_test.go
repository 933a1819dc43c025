//go:build linux

package interop

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/lab"
	"github.com/racoon3/racoon/internal/testpki"
)

// COOKIE demanded by either side.
func TestStrongSwanCookie(t *testing.T) {
	t.Parallel()
	t.Run("they demand", func(t *testing.T) {
		s := newSwan(t)
		s.Swan.DemandCookies = true
		s.up(weInitiate)
		s.agree()
		s.traffic()
		require.Contains(t, s.peer.Log(), "N(COOKIE)")
	})
	t.Run("we demand", func(t *testing.T) {
		s := newSwan(t)
		s.Host.Edit = func(c *racoon.Config) { c.Limits.CookieThreshold = -1 }
		s.up(theyInitiate)
		s.agree()
		s.traffic()
		require.Contains(t, s.peer.Log(), "N(COOKIE)")
		require.NotZero(t, s.Stats(t.Context()).IKE.CookiesSent)
	})
}

// The initiator guesses a group that the responder does not take, and begins
// again with the one that it names.
func TestStrongSwanInvalidKE(t *testing.T) {
	t.Parallel()
	forRoles(t, func(t *testing.T, r role) {
		for _, cookie := range []bool{false, true} {
			name := "without cookie"
			if cookie {
				name = "with cookie"
			}
			t.Run(name, func(t *testing.T) {
				s := newSwan(t)
				first, second := "aes128gcm16-prfsha256-x25519-ecp256-modp2048", "aes128gcm16-prfsha256-modp2048"
				s.Peer.Proposals, s.Swan.Conns[0].Proposals = []string{first}, second
				if r == theyInitiate {
					s.Peer.Proposals, s.Swan.Conns[0].Proposals = []string{second}, first
				}
				if cookie {
					s.Swan.DemandCookies = true
					s.Host.Edit = func(c *racoon.Config) { c.Limits.CookieThreshold = -1 }
				}
				session := s.up(r)
				s.agree()
				s.traffic()
				require.Contains(t, s.peer.Log(), "N(INVAL_KE)")
				require.Equal(t, second, session.Info().Proposal.String())
			})
		}
	})
}

// INVALID_KE_PAYLOAD in CREATE_CHILD_SA, for the Child SA and for the IKE SA.
func TestStrongSwanInvalidKEAtRekey(t *testing.T) {
	t.Parallel()
	forRoles(t, func(t *testing.T, r role) {
		s := newSwan(t)
		ours, theirs := &s.Peer.Children[0].Proposals, &s.Swan.Conns[0].Children[0].Proposals
		*ours, *theirs = []string{"aes128gcm16-x25519-ecp256"}, "aes128gcm16-ecp256"
		if r == theyInitiate {
			*ours, *theirs = []string{"aes128gcm16-ecp256"}, "aes128gcm16-x25519-ecp256"
		}
		session := s.up(r)
		s.underTraffic(s.b, func() {
			if r == weInitiate {
				require.NoError(t, session.RekeyChild(s.within(), session.ChildSAs()[0].ID))
			} else {
				s.peer.RekeyChild("net")
				waitEvent[ike.ChildRekeyed](s.host, 1)
			}
			s.agree()
		})
		require.Contains(t, s.peer.Log(), "N(INVAL_KE)")
		require.Equal(t, "aes128gcm16-ecp256", session.ChildSAs()[0].Proposal.String())
	})
}

// A chain of RSA certificates is more than fits into one datagram: IKE_AUTH is
// fragmented by IKE (RFC 7383), or by IP where that is not negotiated.
func TestStrongSwanFragmentation(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name       string
		ours       int
		theirs     string
		negotiated bool
	}{
		{"both", 0, "yes", true},
		{"small ones", 576, "yes", true},
		{"they do not", 0, "no", false},
		{"we do not", -1, "yes", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			forRoles(t, func(t *testing.T, r role) {
				s := newSwan(t)
				s.certificates(testpki.RSA2048, 3)
				s.Peer.FragmentSize, s.Swan.Conns[0].Fragmentation = c.ours, c.theirs
				if c.ours > 0 {
					s.Swan.Charon += "\nfragment_size = 576"
				}
				wire := s.a.Sniff()
				session := s.up(r)
				require.Equal(t, c.negotiated, session.Info().Fragmentation)
				s.agree()
				s.traffic()
				fragmented := slices.ContainsFunc(wire.Packets(), func(p *lab.Packet) bool { return p.Fragment })
				require.Equal(t, !c.negotiated, fragmented, "IP fragments")
				for _, p := range wire.Packets() {
					if c.ours > 0 && p.Dst.Port() == 4500 { // IKE_SA_INIT cannot be fragmented
						require.LessOrEqual(t, len(p.Raw), 576, "%v", p)
					}
				}
			})
		})
	}
}

// A NAT that loses IP fragments: only IKE fragmentation comes through.
func TestStrongSwanFragmentsDropped(t *testing.T) {
	t.Parallel()
	lab.Require(t, lab.StrongSwan)
	r := lab.NewRouter(t, lab.RouterConfig{DropFragments: true})
	s := swanAt(t, r.Inside("a"), r.Outside("b"))
	s.Swan.Conns[0].Remote = ""
	s.certificates(testpki.RSA3072, 3)
	s.up(weInitiate)
	s.agree()
	s.traffic()
}

// The first messages are lost, the others delayed or doubled.
func TestStrongSwanBadNetwork(t *testing.T) {
	t.Parallel()
	forRoles(t, func(t *testing.T, r role) {
		lab.Require(t, lab.StrongSwan)
		router := lab.NewRouter(t, lab.RouterConfig{})
		s := swanAt(t, router.Outside("a"), router.Outside("b"))
		s.Peer.Timing = ike.Timing{RetransmitBase: 100 * time.Millisecond, RetransmitMax: time.Second, RetransmitTries: 30}
		n := 0
		router.SetFilter(func(p *lab.Packet) lab.Verdict {
			if p.Dst.Port() != 500 && (p.Dst.Port() != 4500 || len(p.Payload) < 4 || [4]byte(p.Payload) != [4]byte{}) {
				return lab.Verdict{} // not IKE
			}
			n++
			return lab.Verdict{Drop: n < 30 && n%3 == 1, Copies: n % 2, Delay: time.Duration(n%4) * 3 * time.Millisecond}
		})
		session := s.up(r)
		s.agree()
		s.traffic()
		require.NoError(t, session.Rekey(s.within()))
		require.NoError(t, session.RekeyChild(s.within(), session.ChildSAs()[0].ID))
		s.agree()
		s.traffic()
		router.SetFilter(nil) // a farewell that is lost takes long
	})
}
