package spd

// eventQueue keeps events for one reader, who polls or, once channel was
// called, receives. It is bounded: what does not fit is counted, and an
// OverflowEvent stands where events are missing.
type eventQueue struct {
	limit  int
	queue  []Event
	lost   uint64
	ch     chan Event
	closed bool
}

func (q *eventQueue) add(e Event) {
	if q.closed {
		return
	}
	if q.ch == nil {
		switch {
		case len(q.queue) < q.limit:
			q.queue = append(q.queue, e)
		default:
			q.lost++
		}
		return
	}
	// The channel has one place more than limit: for the OverflowEvent that
	// follows the last event there was room for.
	if len(q.ch) >= q.limit {
		if q.lost++; len(q.ch) == q.limit {
			q.ch <- OverflowEvent{Lost: q.lost}
			q.lost = 0
		}
		return
	}
	if q.lost > 0 && len(q.ch) < q.limit {
		q.ch <- OverflowEvent{Lost: q.lost}
		q.lost = 0
		if len(q.ch) >= q.limit {
			q.lost++
			return
		}
	}
	q.ch <- e
}

func (q *eventQueue) poll() []Event {
	r := q.queue
	q.queue = nil
	if q.lost > 0 && q.ch == nil {
		r = append(r, OverflowEvent{Lost: q.lost})
		q.lost = 0
	}
	return r
}

func (q *eventQueue) channel() <-chan Event {
	if q.ch == nil {
		q.ch = make(chan Event, q.limit+1)
		waiting := q.poll()
		if q.closed {
			close(q.ch)
			return q.ch
		}
		for _, e := range waiting {
			q.add(e)
		}
	}
	return q.ch
}

func (q *eventQueue) close() {
	if !q.closed && q.ch != nil {
		close(q.ch)
	}
	q.closed = true
}
