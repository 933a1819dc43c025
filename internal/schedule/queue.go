package schedule

import (
	"math"
	"time"
)

// Timer is one deadline of an owner. The zero value is a timer that is not set. A Timer must not be copied
// or moved in memory while it is set.
type Timer[T any] struct {
	// Owner is whatever the holder wants back from Pop: usually a pointer to the struct the timer is embedded in.
	// The queue does not look at it.
	Owner T

	seq uint64 // order of Set, which decides between equal deadlines
	pos int32  // index in the queue's heap plus one; 0 is "not set"
}

// Active reports whether the timer is set.
func (t *Timer[T]) Active() bool { return t.pos != 0 }

// Queue orders timers by their deadlines. The zero value is an empty queue. A queue is not safe for
// concurrent use: like the core that owns it, it belongs to one goroutine.
//
// Deadlines with a monotonic clock reading are compared by it, so a step of the wall clock moves none of them;
// a driver should not mix times with and without one.
type Queue[T any] struct {
	heap []entry[T] // 4-ary: half the depth of a binary heap, and the children of a node share a cache line
	base time.Time  // deadlines are kept as nanoseconds since the first one
	seq  uint64
}

// entry keeps the key beside the pointer, so that sifting touches the heap's own memory and a timer only when it moves.
type entry[T any] struct {
	at int64
	t  *Timer[T]
}

const (
	arity     = 4
	minShrink = 1024          // never give back memory below this capacity
	atOnce    = math.MinInt64 // the key of the zero time
)

// Len returns the number of timers that are set.
func (q *Queue[T]) Len() int { return len(q.heap) }

// Set arranges for t to fire at the given time, which may have passed already; a timer that is set is moved. The zero time
// is due at once. Set panics if t is set in another queue, which is a mistake of the caller's.
func (q *Queue[T]) Set(t *Timer[T], at time.Time) {
	key := q.key(at)
	q.seq++
	t.seq = q.seq
	if t.pos == 0 {
		q.heap = append(q.heap, entry[T]{})
		q.up(len(q.heap)-1, entry[T]{key, t})
		return
	}
	if !q.holds(t) {
		panic("schedule: timer is set in another queue")
	}
	// A moved timer is newer than any other of the same deadline: it can only have become earlier if its key has.
	i := int(t.pos) - 1
	if key < q.heap[i].at {
		q.up(i, entry[T]{key, t})
	} else {
		q.down(i, entry[T]{key, t})
	}
}

// Stop cancels t and reports whether it was set in this queue.
func (q *Queue[T]) Stop(t *Timer[T]) bool {
	if !q.holds(t) {
		return false
	}
	q.remove(int(t.pos) - 1)
	return true
}

// Next returns the earliest deadline, and false when no timer is set.
func (q *Queue[T]) Next() (time.Time, bool) {
	if len(q.heap) == 0 {
		return time.Time{}, false
	}
	return q.time(q.heap[0].at), true
}

// At returns the deadline of t, and false when it is not set in this queue.
func (q *Queue[T]) At(t *Timer[T]) (time.Time, bool) {
	if !q.holds(t) {
		return time.Time{}, false
	}
	return q.time(q.heap[t.pos-1].at), true
}

// Pop removes the earliest timer whose deadline is not after now and returns it; false when none is due. The timer is no
// longer set, and may be set again at once.
func (q *Queue[T]) Pop(now time.Time) (*Timer[T], bool) {
	if len(q.heap) == 0 || q.heap[0].at > q.key(now) {
		return nil, false
	}
	t := q.heap[0].t
	q.remove(0)
	return t, true
}

func (q *Queue[T]) holds(t *Timer[T]) bool {
	i := int(t.pos) - 1
	return i >= 0 && i < len(q.heap) && q.heap[i].t == t
}

func (q *Queue[T]) key(at time.Time) int64 {
	if at.IsZero() {
		return atOnce
	}
	if q.base.IsZero() {
		q.base = at
	}
	// Sub saturates after 292 years.
	return max(int64(at.Sub(q.base)), atOnce+1)
}

func (q *Queue[T]) time(key int64) time.Time {
	if key == atOnce {
		return time.Time{}
	}
	return q.base.Add(time.Duration(key))
}

func (q *Queue[T]) remove(i int) {
	q.heap[i].t.pos = 0
	n := len(q.heap) - 1
	last := q.heap[n]
	q.heap[n] = entry[T]{} // let the owner be collected
	q.heap = q.heap[:n]
	if i < n {
		if i > 0 && less(last, q.heap[(i-1)/arity]) {
			q.up(i, last)
		} else {
			q.down(i, last)
		}
	}
	// After a flood the memory goes back; halving at a quarter keeps this amortised.
	if c := cap(q.heap); c > minShrink && n < c/4 {
		q.heap = append(make([]entry[T], 0, c/2), q.heap...)
	}
}

func less[T any](a, b entry[T]) bool {
	return a.at < b.at || a.at == b.at && a.t.seq < b.t.seq
}

// up places e at i or above it.
func (q *Queue[T]) up(i int, e entry[T]) {
	h := q.heap
	for i > 0 {
		p := (i - 1) / arity
		if !less(e, h[p]) {
			break
		}
		h[i] = h[p]
		h[i].t.pos = int32(i + 1)
		i = p
	}
	h[i] = e
	e.t.pos = int32(i + 1)
}

// down places e at i or below it.
func (q *Queue[T]) down(i int, e entry[T]) {
	h := q.heap
	for {
		first := arity*i + 1
		if first >= len(h) {
			break
		}
		c := first
		for j := first + 1; j < min(first+arity, len(h)); j++ {
			if less(h[j], h[c]) {
				c = j
			}
		}
		if !less(h[c], e) {
			break
		}
		h[i] = h[c]
		h[i].t.pos = int32(i + 1)
		i = c
	}
	h[i] = e
	e.t.pos = int32(i + 1)
}
