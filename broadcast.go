package racoon

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/racoon3/racoon/ike"
)

// EventsLost tells a subscriber that it was too slow: so many events were
// dropped at this point of the stream. Its other fields are those of the
// event that comes next.
type EventsLost struct {
	ike.EventHeader
	Count uint64
}

// Subscribe returns a stream of the events of all sessions: the types of
// package ike, and EventsLost. It begins now and is closed when ctx ends or the
// Manager stops. A subscriber that does not keep up loses events; it is never
// waited for. State that the events speak of can be seen in the sessions
// already.
//
//	for ev := range m.Subscribe(ctx) {
//		switch ev := ev.(type) {
//		case ike.SessionUp:
//			...
//		}
//	}
func (m *Manager) Subscribe(ctx context.Context) <-chan ike.Event { return m.events.subscribe(ctx) }

// broadcaster gives each event to all subscribers.
type broadcaster struct {
	buffer int
	lost   atomic.Uint64 // over all subscribers

	mu     sync.Mutex
	subs   map[*subscriber]bool
	closed bool
}

type subscriber struct {
	ch      chan ike.Event
	lost    uint64
	unwatch func() bool
}

func (b *broadcaster) init(buffer int) {
	b.buffer = buffer
	b.subs = make(map[*subscriber]bool)
}

func (b *broadcaster) subscribe(ctx context.Context) <-chan ike.Event {
	s := &subscriber{ch: make(chan ike.Event, b.buffer+2)}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		close(s.ch)
		return s.ch
	}
	b.subs[s] = true
	s.unwatch = context.AfterFunc(ctx, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.subs[s] {
			delete(b.subs, s)
			close(s.ch)
		}
	})
	return s.ch
}

func (b *broadcaster) publish(ev ike.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for s := range b.subs {
		// Only publish sends, so room seen here is still there below. The last
		// place is kept for an EventsLost.
		room := cap(s.ch) - len(s.ch)
		switch {
		case s.lost > 0 && room >= 3:
			s.ch <- EventsLost{EventHeader: ev.Header(), Count: s.lost}
			s.lost = 0
			s.ch <- ev
		case s.lost == 0 && room >= 2:
			s.ch <- ev
		default:
			s.lost++
			b.lost.Add(1)
		}
	}
}

func (b *broadcaster) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	for s := range b.subs {
		s.unwatch()
		if s.lost > 0 {
			s.ch <- EventsLost{Count: s.lost}
		}
		close(s.ch)
	}
	clear(b.subs)
}
