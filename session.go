package racoon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/spd"
)

// A Session is one authenticated relation with a peer: an IKE SA and its
// successors through rekeys, with their Child SAs. Its methods may be called by
// several goroutines at once, also after it has ended.
//
// Methods with a context wait until what they order is done. When the context ends
// first they return its error; what was ordered goes on all the same, and the
// events tell what became of it. They fail with [ErrSessionEnded] when the session
// is over, with [ErrClosed] when the Manager has ended, and with [ErrBusy] when more
// is ordered than is carried out.
type Session struct {
	m    *Manager
	id   ike.SessionID
	peer string

	// What follows is guarded by the registry's mutex.
	state    sessionPhase
	path     ike.Path
	info     ike.SessionInfo
	begun    time.Time
	up       time.Time
	rekeys   int
	place    int // among the peer's in the registry
	children []ChildSA
	creating []string     // Child SAs that the Manager has ordered
	past     *pastTraffic // of Child SAs that are gone, nil for nothing
	call     *call        // the attempt that made it, until it is decided
	replaces ike.SessionID
	done     signal // it has ended, and its Child SAs are removed
	err      error
	reason   ike.DownReason
}

type sessionPhase uint8

const (
	connecting sessionPhase = iota
	established
	ended
)

// A ChildSA describes a Child SA of a session as it is now.
type ChildSA struct {
	ike.ChildInfo
	Rekeys int // how often it has been replaced
}

type pastTraffic struct {
	in, out spd.Counters
	last    []string // names of those that ended as the session does
}

// ErrSessionEnded is what calls on a session fail with that is over.
var ErrSessionEnded = errors.New("racoon: session has ended")

// ID returns the session's ID, as events name it. It never changes.
func (s *Session) ID() ike.SessionID { return s.id }

// Peer returns the name of the configured peer.
func (s *Session) Peer() string { return s.peer }

// Up reports whether the session is established.
func (s *Session) Up() bool {
	defer s.m.reg.lock()()
	return s.state == established
}

// Info returns what was negotiated; it changes when the IKE SA is rekeyed.
func (s *Session) Info() ike.SessionInfo {
	defer s.m.reg.lock()()
	return s.info
}

// Path returns the addresses that the session uses; they change with NAT
// mappings and mobile peers.
func (s *Session) Path() ike.Path {
	defer s.m.reg.lock()()
	return s.path
}

// Established returns when the session came up.
func (s *Session) Established() time.Time {
	defer s.m.reg.lock()()
	return s.up
}

// ChildSAs returns the Child SAs, oldest first.
func (s *Session) ChildSAs() []ChildSA {
	defer s.m.reg.lock()()
	return slices.Clone(s.children)
}

// Done returns a channel that is closed when the session has ended.
func (s *Session) Done() <-chan struct{} {
	defer s.m.reg.lock()()
	return s.done.channel()
}

// Err returns nil while the session is up, then why it ended: ErrSessionEnded
// with the reason.
func (s *Session) Err() error {
	defer s.m.reg.lock()()
	return s.endError()
}

func (s *Session) endError() error {
	switch {
	case s.state != ended:
		return nil
	case s.err != nil:
		return fmt.Errorf("%w: %v: %w", ErrSessionEnded, s.reason, s.err)
	}
	return fmt.Errorf("%w: %v", ErrSessionEnded, s.reason)
}

// do runs f on the session's worker.
func (s *Session) do(ctx context.Context, f func(now time.Time, c core) error) error {
	if err := s.Err(); err != nil {
		return err
	}
	err := s.m.workerOf(s.id).do(ctx, f)
	if errors.Is(err, ike.ErrNoSession) {
		return ErrSessionEnded
	}
	return err
}

// Rekey replaces the IKE SA by one with new keys and waits until it is there.
// Child SAs are not touched.
func (s *Session) Rekey(ctx context.Context) error {
	return s.await(ctx, func(now time.Time, c core) error { return c.RekeyIKE(now, s.id) }, func(ev ike.Event) (bool, error) {
		if f, ok := ev.(ike.RekeyFailed); ok && f.Child == 0 {
			return true, f.Err
		}
		_, ok := ev.(ike.SessionRekeyed)
		return ok, nil
	})
}

// RekeyChild replaces a Child SA by one with new keys and waits until it is
// there. The old one takes packets that are on their way for a moment more.
func (s *Session) RekeyChild(ctx context.Context, id ike.ChildID) error {
	return s.await(ctx, func(now time.Time, c core) error { return c.RekeyChild(now, s.id, id) }, func(ev ike.Event) (bool, error) {
		switch ev := ev.(type) {
		case ike.ChildRekeyed:
			return ev.Child.ID == id, nil
		case ike.ChildDown:
			return ev.Child.ID == id, ev.Err
		case ike.RekeyFailed:
			return ev.Child == id, ev.Err
		}
		return false, nil
	})
}

// CreateChild brings up a configured Child SA by its name and waits until it
// is there. The error explains what did not fit.
func (s *Session) CreateChild(ctx context.Context, name string) error {
	return s.await(ctx, func(now time.Time, c core) error { return c.CreateChild(now, s.id, name, 0, nil) }, func(ev ike.Event) (bool, error) {
		switch ev := ev.(type) {
		case ike.ChildUp:
			return ev.Child.Name == name, nil
		case ike.ChildFailed:
			return ev.Name == name, ev.Err
		}
		return false, nil
	})
}

// DeleteChild deletes a Child SA and waits until it is gone.
func (s *Session) DeleteChild(ctx context.Context, id ike.ChildID) error {
	return s.await(ctx, func(now time.Time, c core) error { return c.DeleteChild(now, s.id, id) }, func(ev ike.Event) (bool, error) {
		d, ok := ev.(ike.ChildDown)
		return ok && d.Child.ID == id, nil
	})
}

// Reauthenticate begins to prove the identities anew, break-before-make or
// make-before-break as the peer's configuration says, and returns when it has
// begun. A new session takes the place of this one, which ends.
func (s *Session) Reauthenticate(ctx context.Context) error {
	return s.do(ctx, func(now time.Time, c core) error { return c.Reauthenticate(now, s.id) })
}

// CheckLiveness asks the peer for a sign of life, and returns when it is asked. A
// peer that does not answer in the configured time ends the session with
// ike.DownDead; Done tells that, and LastAlive of Stats that it has answered.
func (s *Session) CheckLiveness(ctx context.Context) error {
	return s.do(ctx, func(now time.Time, c core) error { return c.CheckLiveness(now, s.id) })
}

// Delete ends the session: it tells the peer and waits until all is removed.
// A peer with StartAlways stays down until it is called again.
func (s *Session) Delete(ctx context.Context) error {
	err := s.do(ctx, func(now time.Time, c core) error { return c.Delete(now, s.id, ike.DownLocal) })
	if err != nil && !errors.Is(err, ErrSessionEnded) {
		return err
	}
	select {
	case <-s.Done():
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// await gives an order and waits for the event that answers it.
func (s *Session) await(ctx context.Context, order func(now time.Time, c core) error, answered func(ev ike.Event) (bool, error)) error {
	w := &watch{answered: answered, done: make(chan error, 1)}
	if !s.m.reg.watch(s, w) {
		return s.Err()
	}
	defer s.m.reg.unwatch(s, w)
	if err := s.do(ctx, order); err != nil {
		return err
	}
	select {
	case err := <-w.done:
		return err
	case <-s.Done():
		return s.Err()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// SessionStats are a session's counters. They go on through rekeys.
type SessionStats struct {
	Established time.Time
	LastAlive   time.Time // last authenticated message from the peer
	IKERekeys   int
	Exchanges   uint64 // requests and responses
	// Received and Sent sum up all Child SAs, also those that are gone.
	Received, Sent spd.Counters
	Children       []ChildStats // present ones
}

// ChildStats are a Child SA's counters, summed over its rekeys.
type ChildStats struct {
	ChildSA
	Received, Sent spd.Counters
}

// Stats asks the protocol and the data plane for the session's counters. For
// a session that has ended it returns the final ones.
func (s *Session) Stats(ctx context.Context) (SessionStats, error) {
	st, err := ask(ctx, s.m.workerOf(s.id), func(c core) (ike.SessionState, error) {
		st, ok := c.Session(s.id)
		if !ok {
			return st, ErrSessionEnded
		}
		return st, nil
	})
	unlock := s.m.reg.lock()
	out := SessionStats{Established: s.up, LastAlive: st.LastAlive, IKERekeys: s.rekeys, Exchanges: st.Exchanges}
	if s.past != nil {
		out.Received, out.Sent = s.past.in, s.past.out
	}
	known := slices.Clone(s.children)
	unlock()
	if errors.Is(err, ErrSessionEnded) || errors.Is(err, ErrClosed) {
		return out, nil
	}
	if err != nil {
		return out, err
	}
	at := make(map[ike.ChildID]int)
	for _, c := range st.Children {
		i, again := at[c.ID] // while it is rekeyed there are two
		if !again {
			i = len(out.Children)
			at[c.ID] = i
			cs := ChildStats{ChildSA: ChildSA{ChildInfo: c.ChildInfo}, Received: c.FormerIn, Sent: c.FormerOut}
			for _, k := range known {
				if k.ID == c.ID {
					cs.ChildSA = k
				}
			}
			out.Children = append(out.Children, cs)
		}
		for _, q := range []struct {
			ids []spd.SAID
			sum *spd.Counters
		}{{c.InSA, &out.Children[i].Received}, {c.OutSA, &out.Children[i].Sent}} {
			if len(q.ids) == 0 {
				continue
			}
			// The outermost transform counts for the bundle.
			n, err := s.m.cfg.DataPlane.Query(ctx, q.ids[len(q.ids)-1])
			if err == nil {
				*q.sum = q.sum.Add(n)
			} else if ctx.Err() != nil {
				return out, context.Cause(ctx)
			}
		}
	}
	for _, c := range out.Children {
		out.Received, out.Sent = out.Received.Add(c.Received), out.Sent.Add(c.Sent)
	}
	return out, nil
}
