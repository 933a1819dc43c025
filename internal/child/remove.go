package child

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/spd"
)

// Remove takes a out of the data plane and the set, and tells the events
// unless it had a successor, whose end will be told. With linger, the inbound side stays for a
// while, for packets that are on their way; the outbound one goes at once.
func (s *Set) Remove(now time.Time, a *SA, reason ike.DownReason, err error, lingering bool) {
	s.remove(now, a, reason, err, lingering, false)
}

func (s *Set) remove(now time.Time, a *SA, reason ike.DownReason, err error, lingering, sessionEnds bool) {
	if a.State == Gone {
		return
	}
	s.revert(now, a, reason)
	if a.Successor != nil {
		s.Activate(now, a.Successor) // nothing else sends any more
	}
	if lingering && a.Successor != nil && len(a.in) > 0 {
		if a.grace.Active() {
			return
		}
		a.State = Deleting
		s.host.StopTimer(&a.soft)
		s.host.StopTimer(&a.hard)
		a.grace.Owner = a.graceOver // few SAs ever need it
		s.host.SetTimer(&a.grace, now.Add(linger))
		out := a.out
		a.out = nil
		s.removeIDs(a, out)
		return
	}
	last := s.endsLineage(a) && reason != downSilent
	if last {
		a.counts().ending = true
	}
	s.drop(now, a)
	if last {
		// With it ends what lingers of its predecessors.
		for _, b := range slices.Clone(s.sas) {
			if b.Info.ID == a.Info.ID && b.grace.Active() {
				s.drop(now, b)
				s.removeNow(b, nil)
			}
		}
	}
	s.removeNow(a, func(now time.Time) {
		if last && a.counts().ending { // the counters are final, and nothing has continued it
			s.tellEnd(now, a, reason, err, sessionEnds)
		}
	})
}

// revert gives the place back to the SA that a had replaced, if that is still
// there: the peer has deleted its successor and not it. So it comes after a. The
// peer may also see another order in what both have made at the same time, and
// keep one that was replaced a moment ago.
func (s *Set) revert(now time.Time, a *SA, reason ike.DownReason) {
	if a.Successor != nil {
		return
	}
	var old *SA
	for _, b := range slices.Backward(s.sas) { // the peer has the youngest most likely
		if b.Successor == a && b.State == Replaced && b.maySend() {
			old = b
			break
		}
	}
	if old == nil && a.State == Mature {
		old = s.justReplaced(now, a)
	}
	if old == nil {
		return
	}
	old.Successor, old.State = nil, Mature
	if old.pending != nil { // it never sent
		old.State = InboundOnly
	}
	if a.Unwanted {
		s.host.StartDelete(now, old, reason)
		return
	}
	a.Successor = old
	s.RetryRekey(now, old, revertDelay)
}

// justReplaced is the SA of a's lineage that was replaced last, if that is not
// long ago and no other one is alive.
func (s *Set) justReplaced(now time.Time, a *SA) (old *SA) {
	for _, b := range s.sas {
		switch {
		case b == a || b.Info.ID != a.Info.ID:
		case b.State == Mature || b.State == InboundOnly:
			return nil
		case b.State == Replaced && b.maySend() && now.Sub(b.replaced) < undecided && (old == nil || b.replaced.After(old.replaced)):
			old = b
		}
	}
	return old
}

// maySend reports whether a has an outbound side, or can have one.
func (a *SA) maySend() bool { return len(a.out) > 0 || a.pending != nil }

// StopSendingOn takes the outbound side of a replaced SA away for good: the peer
// is told to delete it.
func (s *Set) StopSendingOn(a *SA) {
	wipe(a.pending)
	out := a.out
	if a.pending != nil {
		out = nil // it was never there
	}
	a.pending, a.out = nil, nil
	if len(out) > 0 {
		s.removeIDs(a, out)
	}
}

// undecided is for how long after it was replaced an SA may turn out to be the
// one that the peer keeps.
const undecided = 30 * time.Second

// revertDelay leaves the peer the time to delete the old SA too.
const revertDelay = 10 * time.Second

// endsLineage reports whether the program has to be told when a goes: it was
// alive, and nothing takes its place.
func (s *Set) endsLineage(a *SA) bool {
	return a.State != Larval && a.Successor == nil && s.find(func(b *SA) bool {
		return b != a && b.Info.ID == a.Info.ID && (b.State == Mature || b.State == InboundOnly)
	}) == nil
}

func (s *Set) tellEnd(now time.Time, a *SA, reason ike.DownReason, err error, sessionEnds bool) {
	t := a.counts()
	if t.ended {
		return
	}
	t.ended = true
	s.host.Emit(ike.ChildDown{EventHeader: s.host.EventHeader(now), Child: a.Info, Reason: reason, Err: err,
		In: t.in, Out: t.out, SessionEnds: sessionEnds})
}

// Lost tells the end of an SA that was discarded because a successor was
// expected, which did not come.
func (s *Set) Lost(now time.Time, a *SA, reason ike.DownReason, err error) {
	if s.endsLineage(a) {
		s.tellEnd(now, a, reason, err, false)
	}
}

// downSilent ends an SA that the events never told of.
const downSilent ike.DownReason = 255

// Discard removes an SA that never came to life for the program: the loser of
// a collision, or one whose exchange failed after installation.
func (s *Set) Discard(now time.Time, a *SA) { s.Remove(now, a, downSilent, nil, false) }

// StopSending takes the outbound SAs and policies of all SAs away, so that
// those of another session are used. They still receive.
func (s *Set) StopSending(now time.Time) {
	s.silent = true
	for _, a := range s.sas {
		wipe(a.pending)
		a.pending = nil
		out, plane, owner := a.out, s.plane, spd.Owner(a.Info.ID)
		a.out = nil
		inbound, setPolicies := s.policies(a), !a.Config.NoPolicies
		s.cleanup(a, func(ctx context.Context) (any, error) {
			var errs error
			if setPolicies {
				errs = plane.SetPolicies(ctx, owner, inbound)
			}
			t, err := remove(ctx, plane, nil, out)
			return t, errors.Join(errs, err)
		}, nil)
	}
}

// RemoveAll empties the set, without lingering, since the session ends. done is
// called when nothing is installed any more and all counters have been told.
func (s *Set) RemoveAll(now time.Time, reason ike.DownReason, err error, done func(now time.Time)) {
	for _, a := range s.sas {
		wipe(a.pending)
		a.pending = nil
	}
	for _, a := range slices.Clone(s.sas) {
		s.remove(now, a, reason, err, false, true)
	}
	if s.removing == 0 {
		done(now)
		return
	}
	s.empty = done
}

// drop takes a out of the set and stops its timers.
func (s *Set) drop(now time.Time, a *SA) {
	if a.State == Gone {
		return
	}
	a.State = Gone
	for _, t := range []*Timer{&a.soft, &a.hard, &a.grace} {
		s.host.StopTimer(t)
	}
	s.sas = slices.DeleteFunc(s.sas, func(b *SA) bool { return b == a })
	s.host.Removed(now, a)
}

// removeNow removes what is installed of a, and its policies with the last of
// its lineage. It runs even if the session ends.
func (s *Set) removeNow(a *SA, done func(now time.Time)) {
	wipe(a.pending)
	a.pending = nil
	in, out, plane := a.in, a.out, s.plane
	owner, setPolicies := spd.Owner(a.Info.ID), !a.Config.NoPolicies
	var policies []spd.Policy
	for _, b := range s.sas {
		if b != a && b.Info.ID == a.Info.ID && (b.State >= InboundOnly && b.State < Deleting || b.State == Larval && len(b.in) > 0) {
			policies = s.appendPolicies(policies, b)
		}
	}
	s.cleanup(a, func(ctx context.Context) (any, error) {
		var errs error
		if setPolicies {
			errs = plane.SetPolicies(ctx, owner, policies)
		}
		t, err := remove(ctx, plane, in, out)
		return t, errors.Join(errs, err)
	}, done)
}

// removeIDs removes some SAs and counts them.
func (s *Set) removeIDs(a *SA, ids []spd.SAID) {
	plane := s.plane
	s.cleanup(a, func(ctx context.Context) (any, error) { return remove(ctx, plane, nil, ids) }, nil)
}

// cleanup removes something of a, and counts what that has passed.
func (s *Set) cleanup(a *SA, run func(ctx context.Context) (any, error), done func(now time.Time)) {
	s.removing++
	s.host.Cleanup(ike.JobRemove, uint64(a.Info.ID), run, func(now time.Time, v any, err error) {
		s.removing--
		s.count(now, a, v, err)
		if done != nil {
			done(now)
		}
		if s.removing == 0 && s.empty != nil {
			s.empty(now)
			s.empty = nil
		}
	})
}

func (s *Set) count(now time.Time, a *SA, v any, err error) {
	if t, ok := v.(total); ok {
		sum := a.counts()
		sum.in, sum.out = sum.in.Add(t.in), sum.out.Add(t.out)
	}
	if err != nil {
		s.host.Emit(ike.Warning{EventHeader: s.host.EventHeader(now), Err: err})
	}
}

// remove removes the SAs of a bundle and returns the counters of the outermost
// ones; an SA that is gone already is no error.
func remove(ctx context.Context, plane spd.DataPlane, in, out []spd.SAID) (total, error) {
	var t total
	var errs error
	one := func(id spd.SAID, sum *spd.Counters, counts bool) {
		c, err := plane.Remove(ctx, id)
		switch {
		case errors.Is(err, spd.ErrNotFound):
		case err != nil:
			errs = errors.Join(errs, err)
		case counts:
			*sum = sum.Add(c)
		}
	}
	for i, id := range out {
		one(id, &t.out, i == len(out)-1)
	}
	for i, id := range in {
		one(id, &t.in, i == len(in)-1)
	}
	return t, errs
}
