package esp

import "sync/atomic"

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
