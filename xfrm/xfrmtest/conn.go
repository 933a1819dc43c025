package xfrmtest

import (
	"context"
	"errors"
	"net"
	"sync"

	"github.com/racoon3/racoon/xfrm"
)

// conn is a netlink socket of a [Kernel].
type conn struct {
	kernel *Kernel
	port   uint32
	groups xfrm.Groups

	mu       sync.Mutex
	queue    [][]byte
	overflow bool
	closed   bool
	wake     chan struct{} // has a token when there is something
}

// Dial is an [xfrm.Dialer].
func (k *Kernel) Dial(p xfrm.Protocol, groups xfrm.Groups) (xfrm.Conn, error) {
	if p != xfrm.ProtocolXFRM {
		return nil, errors.New("xfrmtest: the kernel has XFRM only")
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.lastPort++
	c := &conn{kernel: k, port: k.lastPort, groups: groups, wake: make(chan struct{}, 1)}
	k.conns[c] = true
	return c, nil
}

func (c *conn) Send(b []byte) error {
	c.mu.Lock()
	closed := c.closed
	c.mu.Unlock()
	if closed {
		return net.ErrClosed
	}
	for h, body := range xfrm.Messages(b) {
		if body.Err != nil {
			return nil // as Linux: silence
		}
		c.kernel.handle(c, h, body.Data)
	}
	return nil
}

func (c *conn) Receive(ctx context.Context, b []byte) (int, error) {
	for {
		c.mu.Lock()
		switch {
		case c.closed:
			c.mu.Unlock()
			return 0, net.ErrClosed
		case c.overflow:
			c.overflow = false
			c.mu.Unlock()
			return 0, xfrm.ErrOverflow
		case len(c.queue) > 0:
			d := c.queue[0]
			c.queue = c.queue[1:]
			c.mu.Unlock()
			if len(d) > len(b) {
				return 0, &xfrm.ParseError{Reason: "datagram is too large"}
			}
			return copy(b, d), nil
		}
		c.mu.Unlock()
		select {
		case <-c.wake:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

func (c *conn) Close() error {
	c.kernel.mu.Lock()
	delete(c.kernel.conns, c)
	c.kernel.mu.Unlock()
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.signal()
	return nil
}

func (c *conn) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// put queues a datagram for the reader; what there is no room for is lost, and
// it learns that.
func (c *conn) put(b []byte, limit int) {
	c.mu.Lock()
	if len(c.queue) >= limit {
		c.overflow = true
	} else {
		c.queue = append(c.queue, b)
	}
	c.mu.Unlock()
	c.signal()
}

// Inject sends a datagram, whatever is in it, to every socket that listens to
// one of the groups.
func (k *Kernel) Inject(groups xfrm.Groups, datagram []byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.inject(groups, datagram)
}

func (k *Kernel) inject(groups xfrm.Groups, datagram []byte) {
	for c := range k.conns {
		if c.groups&groups != 0 {
			c.put(datagram, k.eventQueue())
		}
	}
}

func (k *Kernel) eventQueue() int {
	if k.EventQueue > 0 {
		return k.EventQueue
	}
	return 1 << 20
}

// multicast sends a message that is nobody's answer, or a notification of what
// the request h has done.
func (k *Kernel) multicast(g xfrm.Groups, h xfrm.Header, m xfrm.Message) {
	if k.LoseEvents {
		for c := range k.conns {
			if c.groups&g != 0 {
				c.mu.Lock()
				c.overflow = true
				c.mu.Unlock()
				c.signal()
			}
		}
		return
	}
	k.inject(g, xfrm.AppendMessage(nil, xfrm.Header{Type: uint16(m.MessageType()), Seq: h.Seq, Port: h.Port}, m.Append))
}
