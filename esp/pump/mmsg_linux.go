package pump

import (
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// msgSocket sends and receives many datagrams in one system call.
type msgSocket struct {
	raw     syscall.RawConn
	v6      bool // of AF_INET6, and may carry IPv4 as well
	wild    bool // several local addresses
	port    uint16
	noGSO   atomic.Bool
	writers sync.Pool // of *msgWriter
}

func (c *msgSocket) initSocket(raw syscall.RawConn, v6 bool, local netip.AddrPort) {
	c.raw, c.v6, c.wild, c.port = raw, v6, local.Addr().IsUnspecified(), local.Port()
	c.writers.New = func() any { return newMsgWriter(c) }
}

// tellPaths makes the kernel tell the traffic class of datagrams, and their
// local address if the socket has several.
func (c *msgSocket) tellPaths(fd int) {
	unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_RECVTOS, 1)
	if c.wild {
		unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
	}
	if c.v6 {
		unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVTCLASS, 1)
		if c.wild {
			unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
		}
	}
}

// enlargeBuffers goes beyond the system's limit where that is allowed.
func enlargeBuffers(fd int) {
	for _, o := range [][2]int{{unix.SO_RCVBUFFORCE, unix.SO_RCVBUF}, {unix.SO_SNDBUFFORCE, unix.SO_SNDBUF}} {
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, o[0], socketBuffer) != nil {
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, o[1], socketBuffer)
		}
	}
}

// mmsghdr is struct mmsghdr of recvmmsg(2) and sendmmsg(2).
type mmsghdr struct {
	unix.Msghdr
	n uint32
}

const (
	writeMessages = 64
	controlSpace  = 128
	maxSegments   = 64    // UDP_MAX_SEGMENTS of the first kernels that had it
	maxSegmented  = 65000 // octets of a datagram that is to be cut
)

// msgReader is the state of the goroutine that receives.
type msgReader struct {
	c       *msgSocket
	do      func(fd uintptr) bool
	n       int
	err     error
	msgs    []mmsghdr
	iov     []unix.Iovec
	names   []unix.RawSockaddrInet6
	control [][controlSpace]byte
	bufs    [][]byte
}

// newMsgReader makes room for n messages of size octets at a time.
func newMsgReader(c *msgSocket, n, size int) *msgReader {
	r := &msgReader{
		c: c, msgs: make([]mmsghdr, n), iov: make([]unix.Iovec, n), names: make([]unix.RawSockaddrInet6, n),
		control: make([][controlSpace]byte, n), bufs: make([][]byte, n),
	}
	r.do = r.attempt
	for i := range r.msgs {
		r.bufs[i] = make([]byte, size)
		r.iov[i] = iovec(r.bufs[i])
		r.msgs[i].Iov = &r.iov[i]
		r.msgs[i].SetIovlen(1)
		r.msgs[i].Name = (*byte)(unsafe.Pointer(&r.names[i]))
		r.msgs[i].Control = &r.control[i][0]
	}
	return r
}

// message returns the i-th message, and how large the datagrams in it are that
// the kernel has put together, 0 if it is one. It fills in w what is known.
func (r *msgReader) message(i int, w *way) (b []byte, segment int) {
	m := &r.msgs[i]
	return r.bufs[i][:m.n], w.parse(r.control[i][:m.Controllen], r.c.port)
}

func (r *msgReader) attempt(fd uintptr) bool {
	for i := range r.msgs {
		r.msgs[i].Namelen = unix.SizeofSockaddrInet6
		r.msgs[i].SetControllen(controlSpace)
	}
	for {
		n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&r.msgs[0])), uintptr(len(r.msgs)), 0, 0, 0)
		switch errno {
		case 0:
			r.n, r.err = int(n), nil
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			return false
		default:
			r.n, r.err = 0, os.NewSyscallError("recvmmsg", errno)
		}
		return true
	}
}

// way is what datagrams have in common that are handled together.
type way struct {
	local, remote netip.AddrPort
	tos           byte
}

// parse reads control messages, and returns the size of datagrams that the
// kernel has put together.
func (w *way) parse(b []byte, port uint16) (segment int) {
	for len(b) >= unix.SizeofCmsghdr {
		h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
		size := int(h.Len)
		if size < unix.SizeofCmsghdr || size > len(b) {
			return segment
		}
		data := b[unix.CmsgLen(0):size]
		switch {
		case h.Level == unix.SOL_UDP && h.Type == unix.UDP_GRO && len(data) >= 4:
			segment = int(*(*int32)(unsafe.Pointer(&data[0])))
		case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_TOS && len(data) >= 1:
			w.tos = data[0]
		case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_TCLASS && len(data) >= 4:
			w.tos = byte(*(*int32)(unsafe.Pointer(&data[0])))
		case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
			w.local = netip.AddrPortFrom(netip.AddrFrom4((*unix.Inet4Pktinfo)(unsafe.Pointer(&data[0])).Addr), port)
		case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
			w.local = netip.AddrPortFrom(netip.AddrFrom16((*unix.Inet6Pktinfo)(unsafe.Pointer(&data[0])).Addr).Unmap(), port)
		}
		b = b[min(len(b), unix.CmsgSpace(size-unix.CmsgLen(0))):]
	}
	return segment
}

// addrPortOf reads a socket address of either family.
func addrPortOf(a *unix.RawSockaddrInet6) netip.AddrPort {
	if a.Family == unix.AF_INET {
		a := (*unix.RawSockaddrInet4)(unsafe.Pointer(a))
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), swapped(a.Port))
	}
	return netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), swapped(a.Port))
}

// swapped is a port between host and network order.
func swapped(p uint16) uint16 {
	b := (*[2]byte)(unsafe.Pointer(&p))
	return uint16(b[0])<<8 | uint16(b[1])
}

// msgWriter is the state of a goroutine that sends.
type msgWriter struct {
	c       *msgSocket
	do      func(fd uintptr) bool
	next, n int // of the messages
	err     error
	msgs    [writeMessages]mmsghdr
	count   [writeMessages]int // packets in each
	control [writeMessages][controlSpace]byte
	name    unix.RawSockaddrInet6
	common  [controlSpace]byte // what the control messages of all have in common
	iov     []unix.Iovec
}

func newMsgWriter(c *msgSocket) *msgWriter {
	w := &msgWriter{c: c}
	w.do = w.attempt
	return w
}

// attempt sends until everything is sent, something is refused, or the socket
// would block.
func (w *msgWriter) attempt(fd uintptr) bool {
	for w.next < w.n {
		n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&w.msgs[w.next])), uintptr(w.n-w.next), 0, 0, 0)
		switch errno {
		case 0:
			w.next += int(n)
		case unix.EINTR:
		case unix.EAGAIN:
			return false
		default:
			w.err = os.NewSyscallError("sendmmsg", errno)
			return true
		}
	}
	return true
}

func (c *msgSocket) send(local, remote netip.AddrPort, tos byte, packets [][]byte) (sent int, first error) {
	w := c.writers.Get().(*msgWriter)
	defer c.writers.Put(w)
	size := w.address(remote)
	common := w.prepare(local, remote, tos)
	for len(packets) > 0 {
		k := w.fill(packets, size, common)
		n, err := w.flush(packets[:k])
		sent += n
		if err != nil && first == nil {
			first = err
		}
		packets = packets[k:]
	}
	return sent, first
}

// address sets the destination and returns its size.
func (w *msgWriter) address(to netip.AddrPort) uint32 {
	if !w.c.v6 {
		a := (*unix.RawSockaddrInet4)(unsafe.Pointer(&w.name))
		*a = unix.RawSockaddrInet4{Family: unix.AF_INET, Port: swapped(to.Port()), Addr: to.Addr().Unmap().As4()}
		return unix.SizeofSockaddrInet4
	}
	w.name = unix.RawSockaddrInet6{Family: unix.AF_INET6, Port: swapped(to.Port()), Addr: to.Addr().As16()}
	return unix.SizeofSockaddrInet6
}

// prepare makes the control messages that all datagrams have, and returns
// their length.
func (w *msgWriter) prepare(local, remote netip.AddrPort, tos byte) int {
	b := w.common[:0]
	if w.c.wild && local.Addr().IsValid() && !local.Addr().IsUnspecified() {
		if a := local.Addr(); a.Unmap().Is4() {
			d := control(&b, unix.IPPROTO_IP, unix.IP_PKTINFO, unix.SizeofInet4Pktinfo)
			(*unix.Inet4Pktinfo)(d).Spec_dst = a.Unmap().As4()
		} else {
			d := control(&b, unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, unix.SizeofInet6Pktinfo)
			(*unix.Inet6Pktinfo)(d).Addr = a.As16()
		}
	}
	if tos != 0 {
		level, typ := int32(unix.IPPROTO_IP), int32(unix.IP_TOS)
		if !remote.Addr().Unmap().Is4() {
			level, typ = unix.IPPROTO_IPV6, unix.IPV6_TCLASS
		}
		*(*int32)(control(&b, level, typ, 4)) = int32(tos)
	}
	return len(b)
}

// control appends a control message of n octets, and returns where these are.
func control(b *[]byte, level, typ int32, n int) unsafe.Pointer {
	at := len(*b)
	*b = (*b)[:at+unix.CmsgSpace(n)]
	clear((*b)[at:])
	h := (*unix.Cmsghdr)(unsafe.Pointer(&(*b)[at]))
	h.Level, h.Type = level, typ
	h.SetLen(unix.CmsgLen(n))
	return unsafe.Pointer(&(*b)[at+unix.CmsgLen(0)])
}

// fill makes messages of as many packets as there is room for, and returns how
// many these are. Packets of one size go together; a shorter one may end such
// a run.
func (w *msgWriter) fill(packets [][]byte, nameSize uint32, common int) int {
	if cap(w.iov) < len(packets) {
		w.iov = make([]unix.Iovec, 0, max(len(packets), 128)) // before anything points into it
	}
	w.iov = w.iov[:0]
	w.next, w.n = 0, 0
	gso := !w.c.noGSO.Load()
	done := 0
	for done < len(packets) && w.n < writeMessages {
		from := len(w.iov)
		size := len(packets[done])
		total, n := 0, 0
		for done+n < len(packets) {
			k := len(packets[done+n])
			if n > 0 && (!gso || n == maxSegments || k > size || k == 0 || total+k > maxSegmented) {
				break
			}
			w.iov = append(w.iov, iovec(packets[done+n]))
			total += k
			n++
			if k < size {
				break
			}
		}
		m := &w.msgs[w.n]
		*m = mmsghdr{}
		m.Name, m.Namelen = (*byte)(unsafe.Pointer(&w.name)), nameSize
		m.Iov = &w.iov[from]
		m.SetIovlen(n)
		c := w.control[w.n][:copy(w.control[w.n][:], w.common[:common])]
		if n > 1 {
			*(*uint16)(control(&c, unix.SOL_UDP, unix.UDP_SEGMENT, 2)) = uint16(size)
		}
		if len(c) > 0 {
			m.Control = &c[0]
			m.SetControllen(len(c))
		}
		w.count[w.n] = n
		w.n++
		done += n
	}
	return done
}

// flush sends the messages, which hold packets.
func (w *msgWriter) flush(packets [][]byte) (sent int, first error) {
	at := 0 // of packets
	for w.next < w.n {
		from := w.next
		w.err = nil
		err := w.c.raw.Write(w.do)
		if err == nil {
			err = w.err
		}
		for _, n := range w.count[from:w.next] {
			sent += n
			at += n
		}
		if err == nil {
			continue
		}
		if w.next == from && w.err == nil {
			return sent, net.ErrClosed
		}
		// This message was refused.
		n := w.count[w.next]
		if n > 1 {
			// Maybe for its being large: the device cannot cut it, or the
			// datagrams need to be fragmented.
			if errno, ok := err.(*os.SyscallError); ok && errno.Err == unix.EIO {
				w.c.noGSO.Store(true)
			}
			var k int
			k, err = w.separately(packets[at : at+n])
			sent += k
		}
		at += n
		w.next++
		if err != nil && first == nil {
			first = err
		}
	}
	return sent, first
}

// separately sends the packets of the message that was refused one by one.
func (w *msgWriter) separately(packets [][]byte) (sent int, first error) {
	m := w.msgs[w.next]
	// UDP_SEGMENT is the last of the control messages.
	if n := int(m.Controllen) - unix.CmsgSpace(2); n > 0 {
		m.SetControllen(n)
	} else {
		m.Control = nil
		m.SetControllen(0)
	}
	v := &msgWriter{c: w.c}
	v.do = v.attempt
	for _, p := range packets {
		b := iovec(p)
		v.msgs[0] = m
		v.msgs[0].Iov = &b
		v.msgs[0].SetIovlen(1)
		v.next, v.n = 0, 1
		v.err = nil
		err := w.c.raw.Write(v.do)
		if err == nil {
			err = v.err
		}
		if err == nil {
			sent++
		} else if first == nil {
			first = err
		}
	}
	return sent, first
}
