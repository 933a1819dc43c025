package racoon

// A signal is an event that others may wait for. Most are never waited for, so
// the channel is made when somebody does. It is guarded by the mutex of
// whatever it belongs to.
type signal struct {
	c     chan struct{}
	fired bool
}

// channel returns a channel that is closed by fire.
func (s *signal) channel() <-chan struct{} {
	if s.c == nil {
		s.c = make(chan struct{})
		if s.fired {
			close(s.c)
		}
	}
	return s.c
}

// fire is called once.
func (s *signal) fire() {
	s.fired = true
	if s.c != nil {
		close(s.c)
	}
}
