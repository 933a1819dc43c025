package racoon

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// memoryNetwork carries datagrams between connections in this process, in
// virtual time when in a synctest bubble.
type memoryNetwork struct {
	mu    sync.Mutex
	conns map[netip.AddrPort]*memoryConn
	lost  bool
}

func newMemoryNetwork() *memoryNetwork {
	return &memoryNetwork{conns: make(map[netip.AddrPort]*memoryConn)}
}

// cut loses all datagrams, or with false carries them again.
func (n *memoryNetwork) cut(yes bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lost = yes
}

// listen returns the two sockets of a host.
func (n *memoryNetwork) listen(addr string) []Listen {
	a := netip.MustParseAddr(addr)
	return []Listen{
		{Conn: n.conn(netip.AddrPortFrom(a, 500))},
		{Conn: n.conn(netip.AddrPortFrom(a, 4500)), NATT: true},
	}
}

func (n *memoryNetwork) conn(a netip.AddrPort) *memoryConn {
	c := &memoryConn{net: n, addr: a, in: make(chan memoryDatagram, 256), closed: make(chan struct{})}
	n.mu.Lock()
	n.conns[a] = c
	n.mu.Unlock()
	return c
}

type memoryDatagram struct {
	from netip.AddrPort
	b    []byte
}

type memoryConn struct {
	net    *memoryNetwork
	addr   netip.AddrPort
	in     chan memoryDatagram
	closed chan struct{}
	once   sync.Once
}

func (c *memoryConn) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case d := <-c.in:
		return copy(b, d.b), net.UDPAddrFromAddrPort(d.from), nil
	case <-c.closed:
		return 0, nil, net.ErrClosed
	}
}

func (c *memoryConn) WriteTo(b []byte, to net.Addr) (int, error) {
	dst := to.(*net.UDPAddr).AddrPort()
	n := c.net
	n.mu.Lock()
	defer n.mu.Unlock()
	if peer := n.conns[dst]; peer != nil && !n.lost {
		select {
		case peer.in <- memoryDatagram{c.addr, append([]byte(nil), b...)}:
		default:
		}
	}
	return len(b), nil
}

func (c *memoryConn) Close() error {
	c.once.Do(func() {
		close(c.closed)
		c.net.mu.Lock()
		defer c.net.mu.Unlock()
		if c.net.conns[c.addr] == c {
			delete(c.net.conns, c.addr)
		}
	})
	return nil
}

func (c *memoryConn) LocalAddr() net.Addr              { return net.UDPAddrFromAddrPort(c.addr) }
func (c *memoryConn) SetDeadline(time.Time) error      { return nil }
func (c *memoryConn) SetReadDeadline(time.Time) error  { return nil }
func (c *memoryConn) SetWriteDeadline(time.Time) error { return nil }
