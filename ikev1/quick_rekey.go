package ikev1

import (
	"errors"
	"slices"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/child"
	"github.com/racoon3/racoon/internal/quickmode"
	"github.com/racoon3/racoon/spd"
)

// Rekeying of Child SAs. IKEv1 has no word for it: a Quick Mode for the same
// traffic makes another SA, and nothing says which one it replaces. These are
// the rules here:
//
//   - A Quick Mode for the selectors of a Child SA replaces it, whoever begins.
//     The old SA receives until it goes; the new one sends.
//   - Whoever began the Quick Mode deletes the old SA, a moment after the last
//     message, so that the peer has it first. The Delete may be lost: then it is
//     said again if the peer still sends on the old SA. The peer's side of it ends
//     in the same way, after a longer time, and by its lifetime at the latest. Of
//     a peer that sends no Deletes, a few old SAs are kept at most.
//   - The responder uses the new SA to send when the third message comes, or
//     proof that the peer has the new one: a packet on it, or the Delete of the
//     old one.
//   - If both sides begin one at the same time, both new SAs come up, as RFC
//     2409 knows no way to choose. The one with the lowest SPI, of the two of
//     each, stays; the other one is not used to send, unless it had begun to, is
//     not rekeyed, and is deleted by the side that began it, once the better one
//     has proved itself.
//     Other implementations have other rules, and both SAs serve meanwhile, so
//     there is no gap whatever they choose: if they delete the one that was to
//     stay, the other one takes its place.

const (
	// retireAfter is what a replaced SA is given before its Delete is sent.
	retireAfter = 3 * time.Second
	// retireRival is what the worse of two successors is given: a peer with
	// another rule has chosen by then.
	retireRival = 10 * time.Second
	// retireUntold is what the peer is given for its Delete.
	retireUntold = 5 * time.Minute
	// retireCheck is what the Delete, and what is on its way, may take.
	retireCheck = 5 * time.Second
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
	if s.successorOf(a) != nil || s.unproven(a) != nil { // the peer is about to do it, or has just done it
		s.Children.RetryRekey(now, a, s.ep.Jitter(retryDelay, 0.5))
		return
	}
	if y := s.sameTraffic(a.Info.Name, a.Info.LocalTS, a.Info.RemoteTS[0]); y != a && y != nil && a.State == child.Mature {
		// Of two that are there for the same traffic, after all kinds of losses,
		// only the younger one goes on.
		if y.Info.ID != a.Info.ID { // to the program they are two
			s.StartDelete(now, a, ike.DownReplaced)
			return
		}
		s.Children.Replace(now, a, y)
		s.retire(now, a, retireRival)
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

// underway counts the peer's Quick Modes that will make a Child SA and have not
// yet: jobs work on them.
func (s *session) underway(but *quickMode, is func(q *quickMode) bool) (n int) {
	for _, sa := range s.sas {
		for _, x := range sa.exchanges {
			if q, ok := x.of.(*quickMode); ok && q != but && !q.initiator && q.cfg != nil && q.sa == nil && is(q) {
				n++
			}
		}
	}
	return n
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
// second message has left. One that was to replace the same as a is one too.
func (s *session) successorOf(a *child.SA) *quickMode {
	return s.installed(func(q *quickMode) bool {
		return !q.initiator && (q.old == a || q.old != nil && q.old.Successor == a && a.Successor == nil)
	})
}

// unproven is the Quick Mode of an SA of which it is not known whether the peer
// has it.
func (s *session) unproven(a *child.SA) *quickMode {
	return s.installed(func(q *quickMode) bool { return q.sa == a })
}

// used: a packet came in on a Child SA, so the peer has it.
func (s *session) used(now time.Time, id spd.SAID) {
	if id.Protocol >= spd.Protocol(len(quickmode.SPIs{})) {
		return
	}
	if q := s.installed(func(q *quickMode) bool { return q.own[id.Protocol] == id.SPI }); q != nil {
		q.prove(now)
	}
}

// prove: the peer has the new SA, whether its last message has come or not.
func (q *quickMode) prove(now time.Time) {
	q.x.finish(now)
	q.succeed(now)
}

// rivalled reports whether the peer replaces the same SA. Then it is decided
// when both have come up which one sends.
func (q *quickMode) rivalled() bool {
	return q.old != nil && (q.old.Successor != nil || q.s.successorOf(q.old) != nil)
}

// giveWay: the peer has begun another Quick Mode for the same traffic, and that
// one is through. The last message of this one was lost, or the peer has given it
// up; its SA is told of, and replaced without having been used to send.
func (q *quickMode) giveWay(now time.Time) {
	s := q.s
	q.x.finish(now)
	q.ended = true
	q.keyShare.Wipe()
	s.AcquireDone(q.acquire, nil)
	q.acquire = 0
	switch old := q.old; {
	case old == nil:
		q.sa.Told()
		s.Emit(ike.ChildUp{EventHeader: s.EventHeader(now), Child: q.sa.Info})
	case old.Successor == nil && old.State < child.Gone:
		s.Children.Replace(now, old, q.sa) // or its end would bring back what it had replaced
		s.retire(now, old, retireUntold)
	}
}

// withdraw: the peer has deleted the new SA before its last message has come: it
// could not install it, or does not want it any more.
func (q *quickMode) withdraw(now time.Time) {
	q.x.finish(now)
	q.discard(now, errWithdrawn)
	q.failed(now, errWithdrawn)
}

var errWithdrawn = errors.New("the peer has deleted the new Child SA at once")

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
		q.up(now)
		return
	}
	if last := s.unproven(old); last != nil {
		last.giveWay(now)
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
		q.discard(now, nil)
	case rival == q.sa:
	case rival.State == child.Gone && rival.EndTold():
		q.sa.Anew()
		q.up(now)
	case rival == old || rival.State == child.Gone:
		s.replace(now, rival, q.sa, q.initiator)
		if q.initiator {
			s.retire(now, old, retireAfter)
		} else {
			s.retire(now, old, retireUntold)
		}
		s.retireMost(now, q.sa)
	case rival == old.Successor && q.sa.LowestSPI() < rival.LowestSPI():
		s.replace(now, rival, q.sa, q.initiator)
		if rival.Initiator || q.initiator { // for the peer it may be an ordinary rekey
			s.retire(now, rival, retireRival)
		}
	default:
		s.Children.Replace(now, q.sa, rival) // whose outbound side is not installed
		if q.sa.Initiator {
			s.retire(now, q.sa, retireRival)
		}
	}
}

// up tells that a Child SA has come up that continues none.
func (q *quickMode) up(now time.Time) {
	q.sa.Told()
	q.s.Children.Activate(now, q.sa)
	q.s.Emit(ike.ChildUp{EventHeader: q.s.EventHeader(now), Child: q.sa.Info})
}

// discard removes the new SA. If it was to continue what has gone meanwhile, that
// has ended now.
func (q *quickMode) discard(now time.Time, err error) {
	if q.sa != nil {
		q.s.Children.Discard(now, q.sa)
		q.sa = nil
	}
	if old := q.old; old != nil && old.Youngest().State == child.Gone && !q.s.Dead {
		q.s.Children.Lost(now, old.Youngest(), ike.DownRemote, err)
	}
}

// replace lets next take over from old.
func (s *session) replace(now time.Time, old, next *child.SA, initiator bool) {
	s.Children.Replace(now, old, next)
	s.Children.Activate(now, next)
	if old.EndTold() {
		next.Told()
		s.Emit(ike.ChildUp{EventHeader: s.EventHeader(now), Child: next.Info})
		return
	}
	s.Emit(ike.ChildRekeyed{EventHeader: s.EventHeader(now), Child: next.Info, Old: old.Info.ChildSPIs, Initiator: initiator})
}

// A retirement is the end of a replaced SA. Its Delete may be lost, or the peer
// have another idea of which SA replaces which: so as long as packets come in on
// it, it is told again, and the SA stays.
type retirement struct {
	s     *session
	a     *child.SA
	told  bool
	seen  uint64 // packets when it was told
	timer child.Timer
}

// retire deletes a replaced SA after a while.
func (s *session) retire(now time.Time, a *child.SA, after time.Duration) {
	r := s.retiring[a]
	if r == nil {
		r = &retirement{s: s, a: a}
		r.timer.Owner = r.due
		if s.retiring == nil {
			s.retiring = make(map[*child.SA]*retirement)
		}
		s.retiring[a] = r
	}
	s.ep.SetTimer(&r.timer, now.Add(after))
}

// retired: an SA has gone, and with it what is left of its retirement.
func (s *session) retired(a *child.SA) {
	if r := s.retiring[a]; r != nil {
		s.ep.StopTimer(&r.timer)
		delete(s.retiring, a)
	}
	if len(s.retiring) == 0 {
		s.retiring = nil
	}
}

func (r *retirement) over() bool { return r.s.Dead || r.a.State != child.Replaced }

func (r *retirement) due(now time.Time) {
	if r.over() {
		return
	}
	if r.s.rekeying(r.a) { // the Delete would look as if it were for that
		r.s.ep.SetTimer(&r.timer, now.Add(retireCheck))
		return
	}
	r.s.Children.Received(r.a, func(now time.Time, packets uint64) {
		switch {
		case r.over():
			return
		case r.told && packets == r.seen:
			r.s.Children.Remove(now, r.a, ike.DownReplaced, nil, false)
			return
		case r.s.current != nil:
			r.s.current.sendDeleteChild(now, r.a)
		}
		r.s.Children.StopSendingOn(r.a)
		r.told, r.seen = true, packets
		r.s.ep.SetTimer(&r.timer, now.Add(retireCheck))
	})
}

// rekeying reports whether this side has a Quick Mode under way for the lineage of
// an SA.
func (s *session) rekeying(a *child.SA) bool {
	return slices.ContainsFunc(s.Children.All(), func(b *child.SA) bool { return b.Info.ID == a.Info.ID && b.Rekeying })
}

// endReplaced deletes what is left of the lineage of an SA that has gone: those
// that it or its predecessors had replaced, and for which the peer's Delete has
// not come.
func (s *session) endReplaced(now time.Time, a *child.SA) {
	if s.Dead || a.Successor != nil {
		return
	}
	var left []*child.SA
	for _, b := range s.Children.All() {
		if b.Info.ID != a.Info.ID {
			continue
		}
		if b.State < child.Replaced {
			return
		}
		if b.State == child.Replaced {
			left = append(left, b)
		}
	}
	for _, b := range left {
		s.StartDelete(now, b, ike.DownReplaced)
	}
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
