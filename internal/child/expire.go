package child

import (
	"context"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/spd"
)

// HandleDataPlane applies an event of the data plane to the SA it concerns and
// reports whether it was one of the set's.
func (s *Set) HandleDataPlane(now time.Time, ev spd.Event) bool {
	switch ev := ev.(type) {
	case spd.ExpireEvent:
		a := s.byID(ev.ID)
		if a == nil {
			return false
		}
		if ev.Hard {
			a.hardExpired(now)
		} else {
			a.softExpired(now)
		}
		return true
	case spd.FirstPacketEvent:
		a := s.byID(ev.ID)
		if a == nil {
			return false
		}
		s.Activate(now, a)
		return true
	}
	return false
}

func (s *Set) byID(id spd.SAID) *SA {
	return s.find(func(a *SA) bool {
		ids := a.in
		if id.Direction == spd.Out {
			ids = a.out
		}
		for _, i := range ids {
			if i.SPI == id.SPI && i.Protocol == id.Protocol && (!id.Dst.IsValid() || i.Dst == id.Dst) {
				return true
			}
		}
		return false
	})
}

// softExpired begins the rekey.
func (a *SA) softExpired(now time.Time) {
	if a.State != Mature && a.State != InboundOnly || a.Rekeying || a.Config.NoRekey {
		return
	}
	a.set.host.StartRekey(now, a)
}

// hardExpired ends an SA that was not replaced in time.
func (a *SA) hardExpired(now time.Time) {
	if a.State >= Deleting {
		return
	}
	a.set.host.StartDelete(now, a, ike.DownExpired)
}

func (a *SA) graceOver(now time.Time) { a.set.Remove(now, a, ike.DownReplaced, nil, false) }

// RetryRekey tries the rekey of a again after a delay; the hard lifetime still
// counts.
func (s *Set) RetryRekey(now time.Time, a *SA, after time.Duration) {
	a.Rekeying = false
	if a.State == Mature || a.State == InboundOnly {
		s.host.SetTimer(&a.soft, now.Add(after))
	}
}

// LastUsed asks the data plane when a packet last came in on any SA of the set,
// and when one was last sent; the zero time if none was.
func (s *Set) LastUsed(done func(now, received, sent time.Time)) {
	var in, out []spd.SAID
	for _, a := range s.sas {
		in, out = append(in, a.in...), append(out, a.out...)
	}
	plane := s.plane
	type used struct{ received, sent time.Time }
	s.host.Job(ike.JobQuery, 0, func(ctx context.Context) (any, error) {
		last := func(ids []spd.SAID) (t time.Time) {
			for _, id := range ids {
				if c, err := plane.Query(ctx, id); err == nil && c.LastUsed.After(t) {
					t = c.LastUsed
				}
			}
			return t
		}
		return used{last(in), last(out)}, nil
	}, func(now time.Time, v any, _ error) {
		u, _ := v.(used)
		done(now, u.received, u.sent)
	}, nil)
}

// Received asks the data plane how many packets have come in on an SA; 0 if it
// does not know.
func (s *Set) Received(a *SA, done func(now time.Time, packets uint64)) {
	ids, plane := a.in, s.plane
	s.host.Job(ike.JobQuery, 0, func(ctx context.Context) (any, error) {
		var n uint64
		for _, id := range ids {
			if c, err := plane.Query(ctx, id); err == nil {
				n = max(n, c.Packets)
			}
		}
		return n, nil
	}, func(now time.Time, v any, _ error) {
		n, _ := v.(uint64)
		done(now, n)
	}, nil)
}

// Move changes the outer addresses of all SAs of the set.
func (s *Set) Move(to spd.Endpoints) {
	for _, a := range s.sas {
		ids := append(append([]spd.SAID(nil), a.in...), a.out...)
		if len(ids) == 0 {
			continue
		}
		if a.pending != nil {
			a.pending.SetEndpoints(to)
		}
		plane := s.plane
		s.host.Cleanup(ike.JobMove, uint64(a.Info.ID), func(ctx context.Context) (any, error) {
			for _, id := range ids {
				if err := plane.MovePeer(ctx, id, to); err != nil {
					return nil, err
				}
			}
			return nil, nil
		}, func(now time.Time, _ any, err error) {
			if err != nil {
				s.host.Emit(ike.Warning{EventHeader: s.host.EventHeader(now), Err: err})
			}
		})
		// The data plane knows the SA by its new destination from now on.
		for i := range a.in {
			a.in[i].Dst = to.Local.Addr()
		}
		for i := range a.out {
			a.out[i].Dst = to.Remote.Addr()
		}
	}
}
