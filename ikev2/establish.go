package ikev2

import (
	"time"

	"github.com/racoon3/racoon/ike"
)

// establish: both sides are authenticated. This is the only way to
// stateEstablished for the first IKE SA of a session.
func (sa *ikeSA) establish(now time.Time) {
	s, e := sa.s, sa.ep
	hs := sa.hs
	sa.forgetInitial()
	hs.wipe()
	sa.hs, s.begin = nil, nil
	sa.state = stateEstablished
	sa.keys.settle()
	s.up, s.established, s.lastAlive = true, now, now
	e.stats.Established++
	e.cfg.Load.sessions.Add(1)
	e.perPeer[s.peer.Name]++
	sa.startLifetime(now)
	s.startReauth(now)
	s.armLiveness(now)
	s.armKeepalive(now)
	e.emit(ike.SessionUp{EventHeader: s.EventHeader(now), Info: s.info()})
	for _, ev := range s.early {
		e.emit(ev)
	}
	s.early = nil
}

// startLifetime arms the rekey and the hard limit of an established IKE SA.
func (sa *ikeSA) startLifetime(now time.Time) {
	t := &sa.s.timing
	if t.Rekey > 0 {
		sa.ep.setTimer(&sa.soft, now.Add(sa.ep.jitter(t.Rekey, t.Jitter)))
	}
	if t.Lifetime > 0 {
		sa.ep.setTimer(&sa.hard, now.Add(t.Lifetime))
	} else {
		sa.ep.stopTimer(&sa.hard)
	}
}

func (s *session) info() ike.SessionInfo {
	i := ike.SessionInfo{Initiator: s.initiator, LocalID: s.localID, RemoteID: s.remoteID,
		LocalNAT: s.natLocal, RemoteNAT: s.natRemote, Fragmentation: s.fragmentation, Config: s.config}
	if sa := s.current; sa != nil {
		i.LocalSPI, i.RemoteSPI, i.Proposal = uint64(sa.local), uint64(sa.remote), sa.alg.proposal.Clone()
	}
	return i
}
