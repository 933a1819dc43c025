package ikev2

import (
	"time"

	"github.com/racoon3/racoon/ike"
)

// establish: both sides are authenticated. This is the only way to
// stateEstablished for the first IKE SA of a session.
func (sa *ikeSA) establish(now time.Time) {
	s := sa.s
	hs := sa.hs
	sa.forgetInitial()
	hs.wipe()
	sa.hs, s.begin = nil, nil
	sa.state = stateEstablished
	sa.keys.settle()
	sa.startLifetime(now)
	s.startReauth(now)
	s.Establish(now, s.info())
}

// startLifetime arms the rekey and the hard limit of an established IKE SA.
func (sa *ikeSA) startLifetime(now time.Time) {
	t := sa.s.Timing
	if t.Rekey > 0 {
		sa.ep.SetTimer(&sa.soft, now.Add(sa.ep.Jitter(t.Rekey, t.Jitter)))
	}
	if t.Lifetime > 0 {
		sa.ep.SetTimer(&sa.hard, now.Add(t.Lifetime))
	} else {
		sa.ep.StopTimer(&sa.hard)
	}
}

func (s *session) info() ike.SessionInfo {
	i := s.Info()
	i.Fragmentation = s.fragmentation
	if sa := s.current; sa != nil {
		i.LocalSPI, i.RemoteSPI, i.Proposal = uint64(sa.local), uint64(sa.remote), sa.alg.proposal.Clone()
	}
	return i
}
