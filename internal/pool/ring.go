package pool

// ring is a list of released entries, in order of their release. It links
// the entries themselves.
type ring struct {
	head entry
	len  int
}

func (r *ring) init() { r.head.prev, r.head.next = &r.head, &r.head }

func (r *ring) add(e *entry) {
	e.prev, e.next = r.head.prev, &r.head
	e.prev.next, e.next.prev = e, e
	r.len++
}

func (r *ring) remove(e *entry) {
	e.prev.next, e.next.prev = e.next, e.prev
	e.prev, e.next = nil, nil
	r.len--
}

func (r *ring) oldest() *entry {
	if r.len == 0 {
		return nil
	}
	return r.head.next
}
