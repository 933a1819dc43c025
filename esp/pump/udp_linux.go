package pump

import (
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// udpSystem is what a UDPConn has on Linux: with UDP_SEGMENT and UDP_GRO many
// datagrams go through the kernel as one.
type udpSystem struct {
	msgSocket
	reading *msgReader
	packets [][]byte
}

func (c *UDPConn) init() error {
	raw, err := c.conn.SyscallConn()
	if err != nil {
		return err
	}
	var serr error
	err = raw.Control(func(fd uintptr) {
		s := int(fd)
		domain, err := unix.GetsockoptInt(s, unix.SOL_SOCKET, unix.SO_DOMAIN)
		if err != nil {
			serr = os.NewSyscallError("getsockopt SO_DOMAIN", err)
			return
		}
		c.initSocket(raw, domain == unix.AF_INET6, c.local)
		c.tellPaths(s)
		enlargeBuffers(s)
		// Old kernels can do without these.
		unix.SetsockoptInt(s, unix.SOL_UDP, unix.UDP_GRO, 1)
		if _, err := unix.GetsockoptInt(s, unix.SOL_UDP, unix.UDP_SEGMENT); err != nil {
			c.noGSO.Store(true)
		}
	})
	if err == nil {
		err = serr
	}
	c.reading = newMsgReader(&c.msgSocket, 8, maxPacket)
	return err
}

// receive reads once and hands on what came.
func (c *UDPConn) receive(h Handler) error {
	r := c.reading
	if err := c.raw.Read(r.do); err != nil {
		return net.ErrClosed
	}
	if r.err != nil {
		return r.err
	}
	var last way
	for i := range r.n {
		w := way{c.local, addrPortOf(&r.names[i]), 0}
		b, segment := r.message(i, &w)
		if w != last {
			c.flush(h, &last)
			last = w
		}
		if segment <= 0 {
			segment = len(b)
		}
		for len(b) > 0 {
			n := min(segment, len(b))
			c.packets = append(c.packets, b[:n:n])
			b = b[n:]
		}
	}
	c.flush(h, &last)
	return nil
}

func (c *UDPConn) flush(h Handler, w *way) {
	if len(c.packets) > 0 {
		h.HandleESP(w.local, w.remote, w.tos, c.packets)
		c.packets = c.packets[:0]
	}
}
