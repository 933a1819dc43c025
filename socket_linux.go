package racoon

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"sync/atomic"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"

	"github.com/racoon3/racoon/ike"
)

const takesTOS = true // the traffic class of a datagram in a control message

// batchScratch is what a sender on Linux keeps between its writes.
type batchScratch struct {
	ms    []ipv4.Message
	addrs []net.UDPAddr
	ips   [][16]byte
	bufs  [][2][]byte
	oob   []byte
}

// batchIO serves a UDP socket with recvmmsg and sendmmsg.
type batchIO struct {
	pc    *ipv4.PacketConn // its batch calls serve either family
	conn  *net.UDPConn
	local netip.AddrPort
	info  bool
	v6    bool
	in    []ipv4.Message
	oob   []byte
	noGSO atomic.Bool // the system refused a segmented datagram once
}

func newUDPIO(c *net.UDPConn, local netip.AddrPort) (packetIO, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	b := &batchIO{pc: ipv4.NewPacketConn(c), conn: c, local: local, v6: local.Addr().Is6()}
	if local.Addr().IsUnspecified() {
		b.info = true
		if err := wantPacketInfo(raw, b.v6); err != nil {
			return nil, err
		}
	}
	return b, nil
}

func (c *batchIO) read(ms []inbound) (int, error) {
	if len(c.in) < len(ms) {
		c.in = make([]ipv4.Message, len(ms))
		c.oob = make([]byte, len(ms)*controlSize)
		bufs := make([][]byte, len(ms))
		for i := range c.in {
			c.in[i].Buffers = bufs[i : i+1]
		}
	}
	for i := range ms {
		m := &c.in[i]
		m.Buffers[0] = ms[i].buf
		m.OOB = c.oob[i*controlSize : (i+1)*controlSize]
		m.Addr, m.N, m.NN, m.Flags = nil, 0, 0, 0
	}
	n, err := c.pc.ReadBatch(c.in[:len(ms)], 0)
	if err != nil {
		return 0, err
	}
	got := 0
	for i := range n {
		m := &c.in[i]
		from, ok := m.Addr.(*net.UDPAddr)
		if !ok {
			continue
		}
		info := parseControl(m.OOB[:m.NN])
		ms[i].n, ms[i].segment, ms[i].tos = m.N, info.segment, info.tos
		ms[i].path = pathOf(c.local, info.dst, from.AddrPort(), info.ifindex)
		if got != i {
			ms[got], ms[i] = ms[i], ms[got]
		}
		got++
	}
	return got, nil
}

func (c *batchIO) write(ms []outbound, s *scratch) (sent int, first error) {
	if len(ms) == 1 && ms[0].marker == nil && ms[0].segment == 0 {
		return c.writeOne(ms[0])
	}
	b := &s.batch
	b.prepare(len(ms))
	for i := range ms {
		c.fill(b, i, &ms[i])
	}
	for at := 0; at < len(ms); {
		n, err := c.pc.WriteBatch(b.ms[at:len(ms)], 0)
		if n < 0 {
			n = 0
		}
		for i := at; i < at+n; i++ {
			sent += segments(&ms[i])
		}
		at += n
		if err == nil {
			continue
		}
		// The first of the rest was refused.
		if at < len(ms) {
			if ms[at].segment > 0 && (errors.Is(err, unix.EIO) || errors.Is(err, unix.EINVAL)) {
				// EIO is a device that cannot segment; EINVAL is only this batch,
				// such as one that would have to be fragmented.
				if errors.Is(err, unix.EIO) {
					c.noGSO.Store(true)
				}
				var k int
				k, err = writeEach(ms[at:at+1], s, c.send)
				sent += k
			}
			at++
		}
		if first == nil {
			first = err
		}
		if errors.Is(err, net.ErrClosed) {
			break
		}
	}
	return sent, first
}

func segments(m *outbound) int {
	if m.segment == 0 {
		return 1
	}
	return (len(m.b) + m.segment - 1) / m.segment
}

// writeOne spares the common single datagram the work of a batch.
func (c *batchIO) writeOne(m outbound) (int, error) {
	if err := c.send(m.b, m.path, m.tos); err != nil {
		return 0, err
	}
	return 1, nil
}

func (c *batchIO) send(b []byte, p ike.Path, tos byte) error {
	var control [controlSize]byte
	oob := control[:0]
	if c.info {
		oob = appendSource(oob, p, c.v6)
	}
	oob = appendTOS(oob, p, tos)
	_, _, err := c.conn.WriteMsgUDPAddrPort(b, oob, withZone(p))
	return err
}

// prepare makes room for n messages.
func (b *batchScratch) prepare(n int) {
	if len(b.ms) < n {
		n = max(n, 16)
		b.ms = make([]ipv4.Message, n)
		b.addrs = make([]net.UDPAddr, n)
		b.ips = make([][16]byte, n)
		b.bufs = make([][2][]byte, n)
	}
	if cap(b.oob) < n*controlSize {
		b.oob = make([]byte, 0, n*controlSize)
	}
	b.oob = b.oob[:0]
}

func (c *batchIO) fill(b *batchScratch, i int, m *outbound) {
	msg := &b.ms[i]
	to := withZone(m.path)
	addr := &b.addrs[i]
	if to.Addr().Is4() {
		a := to.Addr().As4()
		addr.IP = append(b.ips[i][:0], a[:]...)
	} else {
		b.ips[i] = to.Addr().As16()
		addr.IP = b.ips[i][:]
	}
	addr.Port, addr.Zone = int(to.Port()), to.Addr().Zone()
	msg.Addr = addr
	if m.marker != nil {
		b.bufs[i] = [2][]byte{m.marker, m.b}
		msg.Buffers = b.bufs[i][:2]
	} else {
		b.bufs[i][0] = m.b
		msg.Buffers = b.bufs[i][:1]
	}
	begin := len(b.oob)
	if c.info {
		b.oob = appendSource(b.oob, m.path, c.v6)
	}
	b.oob = appendTOS(b.oob, m.path, m.tos)
	if m.segment > 0 && m.segment < len(m.b) {
		var data []byte
		b.oob, data = appendControl(b.oob, unix.SOL_UDP, unix.UDP_SEGMENT, 2)
		binary.NativeEndian.PutUint16(data, uint16(m.segment))
	}
	msg.OOB = b.oob[begin:len(b.oob):len(b.oob)]
}

// segmented reports whether several datagrams may be sent as one (UDP GSO,
// Linux 4.18).
func (c *batchIO) segmented() bool { return !c.noGSO.Load() }

// carryESP makes the kernel put received datagrams of one flow together (UDP
// GRO, Linux 5.0; older ones refuse) and tell their traffic class.
func (c *batchIO) carryESP() {
	raw, err := c.conn.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		// Beyond the system's limit, where privilege allows.
		_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, espBuffer)
		_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, espBuffer)
	})
	raw.Control(func(fd uintptr) {
		unix.SetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_GRO, 1)
		if c.v6 {
			unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_RECVTCLASS, 1)
		} else {
			unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_RECVTOS, 1)
		}
	})
}

// parseSegment reads the size of coalesced datagrams.
func parseSegment(h *unix.Cmsghdr, data []byte) int {
	if h.Level == unix.SOL_UDP && h.Type == unix.UDP_GRO && len(data) >= 2 {
		return int(binary.NativeEndian.Uint16(data))
	}
	return 0
}
