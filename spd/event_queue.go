package spd

import "sync"

// An EventQueue is the bounded channel of a data plane's events, for those who
// write one: whoever reads too slowly loses events, and is told so by an
// [OverflowEvent] where they are missing. The last place is kept for it, so
// that it comes even if nothing else ever happens. It may be used by several
// goroutines at once. Use [NewEventQueue].
type EventQueue struct {
	mu     sync.Mutex
	ch     chan Event
	lost   uint64
	closed bool
}

// NewEventQueue returns a queue for so many events, at least 4.
func NewEventQueue(size int) *EventQueue {
	return &EventQueue{ch: make(chan Event, max(size, 4))}
}

// Events returns the channel to read from.
func (q *EventQueue) Events() <-chan Event { return q.ch }

// Emit adds an event, and reports whether there was room for it. It does not
// wait. After Close it does nothing.
func (q *EventQueue) Emit(ev Event) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false
	}
	free := cap(q.ch) - len(q.ch)
	if q.lost > 0 && free > 2 {
		q.ch <- OverflowEvent{Lost: q.lost}
		q.lost = 0
		free--
	}
	if free > 1 {
		q.ch <- ev
		return true
	}
	q.lost++
	if free == 1 {
		q.ch <- OverflowEvent{Lost: q.lost}
		q.lost = 0
	}
	return false
}

// Close closes the channel, whose events can still be read. It may be called
// again.
func (q *EventQueue) Close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.closed {
		q.closed = true
		close(q.ch)
	}
}
