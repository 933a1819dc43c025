package ikev1

import (
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/child"
	"github.com/racoon3/racoon/spd"
)

// Rekeying of Child SAs. IKEv1 has no word for it: a Quick Mode for the same
// traffic makes another SA, and nothing says which one it replaces. These are
// the rules here:
//
//   - A Quick Mode for the selectors of a Child SA replaces it, whoever begins.
//     The old SA receives until it goes; the new one sends.
//   - Whoever began the Quick Mode deletes the old SA, a moment after the last
//     message, so that the peer has it first. The Delete may be lost: then the
//     peer's old SA ends by its lifetime, and a peer whose Deletes are lost, or
//     which sends none, has a few old SAs at most.
//   - The responder uses the new SA to send when the third message comes, or
//     proof that the peer has the new one: a packet on it, or the Delete of the
//     old one.
//   - If both sides begin one at the same time, both new SAs come up, as RFC
//     2409 knows no way to choose. The one with the lowest SPI, of the two of
//     each, stays; the other one is not used to send, is not rekeyed, and is
//     deleted by the side that began it, once the better one has proved itself.
//     Other implementations have other rules, and both SAs serve meanwhile, so
//     there is no gap whatever they choose: if they delete the one that was to
//     stay, the other one takes its place.

const (
	// retireAfter is what a replaced SA is given before its Delete is sent.
	retireAfter = 3 * time.Second
	// retireRival is what the worse of two successors is given: a peer with
	// another rule has chosen by then.
	retireRival = 10 * time.Second
	// maxReplaced bounds the SAs of one lineage that wait for the peer's
	// Delete.
	maxReplaced = 4
	// retryDelay is after what time a failed rekey is tried again.
	retryDelay = 20 * time.Second
)

// StartRekey implements child.Host.
func (s *session) StartRekey(now time.Time, a *child.SA) {
	cfg := s.peer.child(a.Info.Name)
	if cfg == nil {
		return // gone from the configuration; the SA ends with its lifetime
	}
	if s.successorOf(a) != nil { // the peer is about to do it
		s.Children.RetryRekey(now, a, s.ep.Jitter(retryDelay, 0.5))
		return
	}
	a.Rekeying = true
	q := s.newQuickMode(cfg)
	q.old = a
	s.do(now, q.errand())
}

// overtaken reports whether there is nothing to be rekeyed any more, or the
// peer is about to do it.
func (q *quickMode) overtaken(now time.Time) bool {
	old := q.old
	if old == nil {
		return false
	}
	if old.State < child.Replaced && q.s.successorOf(old) == nil {
		return false
	}
	old.Rekeying = false
	if old.State < child.Replaced {
		q.s.Children.RetryRekey(now, old, q.s.ep.Jitter(retryDelay, 0.5))
	}
	return true
}

// installed finds the Quick Mode of an SA that is installed, and whose last
// message is missing.
func (s *session) installed(is func(q *quickMode) bool) *quickMode {
	for _, sa := range s.sas {
		for _, x := range sa.exchanges { // at most one fits
			if q, ok := x.of.(*quickMode); ok && q.sa != nil && q.sa.State < child.Replaced && q.step >= 3 && is(q) {
				return q
			}
		}
	}
	return nil
}

// successorOf is the peer's Quick Mode that is about to replace an SA: the
// second message has left.
func (s *session) successorOf(a *child.SA) *quickMode {
	return s.installed(func(q *quickMode) bool { return !q.initiator && q.old == a })
}

// used: a packet came in on a Child SA, so the peer has it.
func (s *session) used(now time.Time, id spd.SAID) {
	if id.Protocol >= spd.Protocol(len(protocolSPIs{})) {
		return
	}
	if q := s.installed(func(q *quickMode) bool { return q.own[id.Protocol] == id.SPI }); q != nil {
		q.prove(now)
	}
}

// prove: the peer has the new SA, whether its last message has come or not.
func (q *quickMode) prove(now time.Time) {
	q.s.Children.Activate(now, q.sa)
	q.x.finish(now)
	q.succeed(now)
}

// succeed tells that the Child SA is there, and lets the one go that it
// replaces.
func (q *quickMode) succeed(now time.Time) {
	s, old := q.s, q.old
	if q.ended {
		return
	}
	q.ended = true
	q.keyShare.Wipe()
	s.AcquireDone(q.acquire, nil)
	q.acquire = 0
	if old == nil {
		s.Emit(ike.ChildUp{EventHeader: s.EventHeader(now), Child: q.sa.Info})
		return
	}
	if q.initiator {
		old.Rekeying = false
	}
	switch rival := old.Youngest(); {
	case old.Unwanted:
		// It was to be deleted, whatever its keys.
		if s.current != nil {
			s.current.sendDeleteChild(now, q.sa)
		}
		s.Children.Discard(now, q.sa)
	case rival == q.sa:
	case rival.State == child.Gone && rival.EndTold():
		q.sa.Anew()
		s.Emit(ike.ChildUp{EventHeader: s.EventHeader(now), Child: q.sa.Info})
	case rival == old || rival.State == child.Gone:
		s.replace(now, rival, q.sa, q.initiator)
		if q.initiator {
			s.retire(now, old, retireAfter)
		}
		s.retireMost(now, q.sa)
	case rival == old.Successor && q.sa.LowestSPI() < rival.LowestSPI():
		s.replace(now, rival, q.sa, q.initiator)
		if rival.Initiator || q.initiator { // for the peer it may be an ordinary rekey
			s.retire(now, rival, retireRival)
		}
	default:
		s.Children.Replace(now, q.sa, rival)
		if q.sa.Initiator {
			s.retire(now, q.sa, retireRival)
		}
	}
}

// replace lets next take over from old.
func (s *session) replace(now time.Time, old, next *child.SA, initiator bool) {
	s.Children.Replace(now, old, next)
	s.Emit(ike.ChildRekeyed{EventHeader: s.EventHeader(now), Child: next.Info, Old: old.Info.ChildSPIs, Initiator: initiator})
}

// retire deletes a replaced SA after a while. Its inbound side lingers for what
// is on its way.
func (s *session) retire(now time.Time, a *child.SA, after time.Duration) {
	t := new(child.Timer)
	t.Owner = func(now time.Time) {
		if s.Dead || a.State != child.Replaced || a.Successor.Youngest().State != child.Mature {
			return // it has gone, or has to stand in for its successor
		}
		if s.current != nil {
			s.current.sendDeleteChild(now, a)
		}
		s.Children.Remove(now, a, ike.DownReplaced, nil, true)
	}
	s.ep.SetTimer(t, now.Add(after))
}

// retireMost deletes the oldest SAs of a lineage that wait for the peer's
// Delete in vain.
func (s *session) retireMost(now time.Time, a *child.SA) {
	var waiting []*child.SA
	for _, b := range s.Children.All() {
		if b.Info.ID == a.Info.ID && b.State == child.Replaced {
			waiting = append(waiting, b)
		}
	}
	for len(waiting) > maxReplaced {
		s.retire(now, waiting[0], 0)
		waiting = waiting[1:]
	}
}
