package netstack

import (
	"sync"

	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// queue holds packets between the stack and the goroutine that sends them.
type queue struct {
	max    int
	signal chan struct{} // has a token when there are packets

	mu     sync.Mutex
	list   []*stack.PacketBuffer
	spare  []*stack.PacketBuffer
	closed bool
}

func (q *queue) init(max int) {
	q.max = max
	q.signal = make(chan struct{}, 1)
}

// put queues copies, which share the payload, and returns how many found
// room; -1 if the queue is closed.
func (q *queue) put(pkts []*stack.PacketBuffer) int {
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return -1
	}
	n := min(len(pkts), q.max-len(q.list))
	first := len(q.list) == 0
	for _, p := range pkts[:n] {
		q.list = append(q.list, p.Clone())
	}
	q.mu.Unlock()
	if first && n > 0 {
		select {
		case q.signal <- struct{}{}:
		default:
		}
	}
	return n
}

// take returns all packets. The list is the caller's until the next call.
func (q *queue) take() []*stack.PacketBuffer {
	q.mu.Lock()
	defer q.mu.Unlock()
	list := q.list
	q.list, q.spare = q.spare[:0], list
	return list
}

// close takes the last packets.
func (q *queue) close() []*stack.PacketBuffer {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	return q.take()
}
