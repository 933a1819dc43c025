// Package schedule is the deadline queue of a sans-IO protocol core.
//
// A core reads no clock and starts no goroutine: it is asked for the time of its next deadline, and told when
// that time has come. It may hold tens of thousands of deadlines (retransmission, liveness, lifetimes) for as many
// IKE SAs, so a deadline must cost neither a goroutine nor an allocation.
//
// An owner embeds one [Timer] per kind of deadline; the [Queue] of the core arranges them. Setting a timer that is already
// set moves it. Nothing is allocated by Set but the amortised growth of one slice, and Stop and Set need O(log n).
//
//	type ikeSA struct {
//		retransmit schedule.Timer[*ikeSA]
//		liveness   schedule.Timer[*ikeSA]
//	}
//
//	sa.retransmit.Owner = sa
//	q.Set(&sa.retransmit, now.Add(time.Second))
//
//	func (c *Core) PollTimeout() (time.Time, bool) { return c.q.Next() }
//
//	func (c *Core) HandleTimeout(now time.Time) {
//		for t, ok := c.q.Pop(now); ok; t, ok = c.q.Pop(now) {
//			switch sa := t.Owner; t {
//			case &sa.retransmit: // ...
//			case &sa.liveness: // ...
//			}
//		}
//	}
//
// Timers with the same deadline fire in the order in which they were set, so a simulation replays exactly.
package schedule
