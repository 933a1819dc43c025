package pfkey

import "sync"

// notes is the bounded channel of notifications. The last place is kept for
// the word that some were lost, so that whoever falls behind learns of it.
type notes struct {
	mu     sync.Mutex
	ch     chan Notification
	lost   uint64
	closed bool
}

func (n *notes) init(size int) { n.ch = make(chan Notification, size+1) }

func (n *notes) add(x Notification) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return
	}
	free := cap(n.ch) - len(n.ch)
	if n.lost > 0 && free > 1 {
		n.ch <- Notification{Lost: n.lost}
		n.lost = 0
		free--
	}
	if free > 1 {
		n.ch <- x
		return
	}
	n.lost++
	n.tell()
}

// lose counts notifications that were lost elsewhere.
func (n *notes) lose(count uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return
	}
	n.lost += count
	n.tell()
}

// tell says how many were lost, if there is room; if not, the next add does.
func (n *notes) tell() {
	if len(n.ch) < cap(n.ch) {
		n.ch <- Notification{Lost: n.lost}
		n.lost = 0
	}
}

func (n *notes) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.closed {
		n.closed = true
		close(n.ch)
	}
}
