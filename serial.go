package racoon

import (
	"context"
	"sync"
)

// serial runs functions one after the other: what the Manager itself asks of
// the data plane, where policies must be set in order.
type serial struct {
	mu    sync.Mutex
	queue []func(ctx context.Context)
	busy  int
	wake  chan struct{}
}

func (s *serial) signal() chan struct{} {
	if s.wake == nil {
		s.wake = make(chan struct{}, 1)
	}
	return s.wake
}

// add queues f. What is queued is bounded by what asks: one function for each
// peer at a reload, one for each acquire that waits.
func (s *serial) add(f func(ctx context.Context)) {
	s.mu.Lock()
	s.queue = append(s.queue, f)
	s.busy++
	wake := s.signal()
	s.mu.Unlock()
	select {
	case wake <- struct{}{}:
	default:
	}
}

// len returns how many functions have not returned yet.
func (s *serial) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.busy
}

func (s *serial) run(stop <-chan struct{}) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s.mu.Lock()
	wake := s.signal()
	s.mu.Unlock()
	for {
		s.mu.Lock()
		todo := s.queue
		s.queue = nil
		s.mu.Unlock()
		for _, f := range todo {
			one, done := context.WithTimeout(ctx, jobTimeout)
			f(one)
			done()
			s.mu.Lock()
			s.busy--
			s.mu.Unlock()
		}
		if len(todo) > 0 {
			continue
		}
		select {
		case <-wake:
		case <-stop:
			return
		}
	}
}
