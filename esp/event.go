package esp

import (
	"sync"
	"sync/atomic"

	"github.com/racoon3/racoon/spd"
)

// events is the bounded channel of what happens. Events are rare, or limited,
// so one lock does.
type events struct {
	mu     sync.Mutex
	ch     chan spd.Event
	lost   uint64
	closed bool
}

// emit hands on an event, and reports whether there was room. The last place
// of the channel is kept for the OverflowEvent, so that whoever falls behind
// learns of it even if nothing else ever happens.
func (e *events) emit(ev spd.Event) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return false
	}
	free := cap(e.ch) - len(e.ch)
	if e.lost > 0 && free > 2 {
		e.ch <- spd.OverflowEvent{Lost: e.lost}
		e.lost = 0
		free--
	}
	if free > 1 {
		e.ch <- ev
		return true
	}
	e.lost++
	if free == 1 {
		e.ch <- spd.OverflowEvent{Lost: e.lost}
		e.lost = 0
	}
	return false
}

func (e *events) close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.closed {
		e.closed = true
		close(e.ch)
	}
}

// limiter bounds events that anyone can cause: so many a second.
type limiter struct {
	second atomic.Int64
	n      atomic.Int32
}

const limitPerSecond = 16

func (l *limiter) allow(now int64) bool {
	s := now / 1e9
	if was := l.second.Load(); was != s && l.second.CompareAndSwap(was, s) {
		l.n.Store(0)
	}
	return l.n.Add(1) <= limitPerSecond
}
