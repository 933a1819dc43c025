package netstack

import (
	"sync"

	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/racoon3/racoon/esp/internal/offload"
)

// queue holds packets between the stack and the goroutine that sends them.
type queue struct {
	max    int
	signal chan struct{} // has a token when there are packets

	mu     sync.Mutex
	list   []queued
	spare  []queued
	closed bool
}

// queued is a packet that shares its payload with the stack, but not its
// headers: when TCP sends a segment again, it writes them to the same memory.
type queued struct {
	header  [offload.MaxHeader]byte
	size    int // of header
	upper   int // where its transport header begins
	payload *stack.PacketBuffer
}

func (q *queue) init(max int) {
	q.max = max
	q.signal = make(chan struct{}, 1)
}

// put queues packets and returns how many found room; -1 if the queue is
// closed.
func (q *queue) put(pkts []*stack.PacketBuffer) int {
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return -1
	}
	n := min(len(pkts), q.max-len(q.list))
	first := len(q.list) == 0
	for _, p := range pkts[:n] {
		q.add(p)
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

func (q *queue) add(p *stack.PacketBuffer) {
	if n := len(q.list); n < cap(q.list) {
		q.list = q.list[:n+1]
	} else {
		q.list = append(q.list, queued{})
	}
	e := &q.list[len(q.list)-1]
	e.upper = copy(e.header[:], p.NetworkHeader().Slice())
	e.size = e.upper + copy(e.header[e.upper:], p.TransportHeader().Slice())
	e.payload = p.Clone()
}

// take returns all packets. The list is the caller's until the next call.
func (q *queue) take() []queued {
	q.mu.Lock()
	defer q.mu.Unlock()
	list := q.list
	q.list, q.spare = q.spare[:0], list
	return list
}

// close takes the last packets.
func (q *queue) close() []queued {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	return q.take()
}
