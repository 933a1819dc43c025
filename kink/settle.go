package kink

import (
	"slices"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/child"
)

// settled: the Child SA is there. Where another one is for the same traffic, one
// of them goes: the older one, unless both sides have made one at the same time.
// Then that with the lowest SPI stays, since both sides know the SPIs.
//
// An SA is deleted by who has made its successor, since it knows that both sides
// have that; of two that were made at the same time, by who has made it.
func (c *creation) settled(now time.Time) {
	s, a := c.s, c.sa
	c.ended = true
	c.keyShare.Wipe()
	if a.State == child.Gone { // deleted before it was settled
		s.AcquireDone(c.acquire, errOvertaken)
		if c.old != nil && c.initiator {
			s.Children.RetryRekey(now, c.old, s.ep.Jitter(retryDelay, 0.5))
		}
		return
	}
	if c.initiator && c.old != nil {
		c.old.Rekeying = false
	}
	s.AcquireDone(c.acquire, nil)
	if c.unwanted {
		defer s.StartDelete(now, a, ike.DownLocal)
	}
	var others []*child.SA // of other lineages
	var old *child.SA
	for _, b := range slices.Backward(s.Children.All()) {
		switch {
		case b == a || !s.carries(b, c.cfg.Name, c.local, c.remote):
		case b.Info.ID != a.Info.ID:
			others = append(others, b)
		case old == nil:
			old = b
		}
	}
	switch {
	case old == nil && a.EndTold():
		if c.old != nil { // it has gone meanwhile
			a.Anew()
		}
		s.tellUp(now, a)
	case old == nil && c.old != nil: // it is about to go
		s.replace(now, c.old, a)
	case old == nil: // it has replaced another one already
		s.Children.Activate(now, a)
	case !c.crosses(now, old):
		s.replace(now, old, a)
		s.retire(now, old, a.Initiator)
	case c.wins(old):
		s.replace(now, old, a)
		s.retire(now, old, old.Initiator)
	default:
		s.Children.Replace(now, a, old)
		s.retire(now, a, a.Initiator)
		return
	}
	for _, b := range others {
		switch {
		case !c.crosses(now, b):
			s.retire(now, b, a.Initiator)
		case c.wins(b):
			s.retire(now, b, b.Initiator)
		default:
			s.retire(now, a, a.Initiator)
		}
	}
}

// meanwhile is how much younger than what it replaces an SA of the other side's
// may be to be taken for made at the same time: a CREATE may have been lost a few
// times before it arrives. So nobody replaces an SA of the other side's before.
const meanwhile = 15 * time.Second

// crosses reports whether both sides have made an SA at the same time. Both come
// to the same result.
func (c *creation) crosses(now time.Time, old *child.SA) bool {
	return old.Initiator != c.sa.Initiator && (now.Sub(old.Info.Installed) < meanwhile || c.initiator && old.Info.Installed.After(c.begun))
}

func (c *creation) wins(over *child.SA) bool { return c.sa.LowestSPI() < over.LowestSPI() }

// early is how long this side has to wait before it replaces an SA.
func early(now time.Time, a *child.SA) time.Duration {
	if a.Initiator {
		return 0
	}
	return max(0, a.Info.Installed.Add(meanwhile+meanwhile/3).Sub(now))
}

// tellUp tells that a Child SA has come up that continues none.
func (s *session) tellUp(now time.Time, a *child.SA) {
	a.Told()
	s.Children.Activate(now, a)
	s.Emit(ike.ChildUp{EventHeader: s.EventHeader(now), Child: a.Info})
}

// replace lets next take over from old.
func (s *session) replace(now time.Time, old, next *child.SA) {
	old.Rekeying = false
	s.Children.Replace(now, old, next)
	s.Children.Activate(now, next)
	s.Emit(ike.ChildRekeyed{EventHeader: s.EventHeader(now), Child: next.Info, Old: old.Info.ChildSPIs, Initiator: next.Initiator})
}

// retireAfter is what a replaced SA is given before its DELETE: what is on its
// way may still use it, and the peer may have to find out that it is replaced.
const retireAfter = 3 * time.Second

// retire deletes a superfluous SA in a while. If that is up to the peer, this side
// gives it time to get the last message and to delete it: but it may not know of
// the SA any more.
func (s *session) retire(now time.Time, a *child.SA, ours bool) {
	if a.State == child.Gone || s.retiring[a] != nil {
		return
	}
	after := retireAfter
	if !ours {
		after = 2*s.cycle() - s.ep.Jitter(s.cycle(), 1) // not when the peer may retire the other one
	}
	t := &child.Timer{}
	t.Owner = func(now time.Time) {
		if a.State < child.Deleting {
			s.StartDelete(now, a, ike.DownReplaced)
		}
	}
	if s.retiring == nil {
		s.retiring = make(map[*child.SA]*child.Timer)
	}
	s.retiring[a] = t
	s.ep.SetTimer(t, now.Add(after))
}
