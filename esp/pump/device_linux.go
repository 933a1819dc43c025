package pump

import (
	"encoding/binary"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/tun"

	"github.com/racoon3/racoon/esp"
	"github.com/racoon3/racoon/esp/internal/offload"
)

// vnetHeader is the size of struct virtio_net_hdr (Virtual I/O Device
// specification, section 5.1.6), which stands before each packet of a device
// with IFF_VNET_HDR.
const vnetHeader = 10

// vnetInner serves a device that takes and gives large packets, through its
// file: its own Read and Write would copy them once more.
type vnetInner struct {
	raw syscall.RawConn
}

func newInner(dev tun.Device) (inner, error) {
	if f := dev.File(); f != nil {
		raw, err := f.SyscallConn()
		if err == nil && hasVnetHeader(raw) {
			return &vnetInner{raw}, nil
		}
	}
	return newPlainInner(dev)
}

// hasVnetHeader reports whether raw is a TUN device with plain packets behind a
// header of vnetHeader octets.
func hasVnetHeader(raw syscall.RawConn) (ok bool) {
	raw.Control(func(fd uintptr) {
		ifr, err := unix.NewIfreq("")
		if err != nil || unix.IoctlIfreq(int(fd), unix.TUNGETIFF, ifr) != nil {
			return
		}
		size, err := unix.IoctlGetInt(int(fd), unix.TUNGETVNETHDRSZ)
		flags := ifr.Uint16()
		ok = err == nil && size == vnetHeader && flags&unix.IFF_TUN != 0 && flags&unix.IFF_NO_PI != 0 && flags&unix.IFF_VNET_HDR != 0
	})
	return ok
}

// Numbers of packets that are protected and sent together: reading goes on
// until there are enough, or none is left.
const (
	slots       = 128
	enoughSlots = 40
)

func (d *vnetInner) newSource() source {
	s := &vnetSource{raw: d.raw, buf: make([]byte, vnetHeader+maxPacket)}
	s.grow(1500)
	s.wait = func(fd uintptr) bool { return s.attempt(fd) || s.err != unix.EAGAIN }
	s.poll = func(fd uintptr) bool { s.attempt(fd); return true }
	return s
}

type vnetSource struct {
	raw        syscall.RawConn
	wait, poll func(fd uintptr) bool

	buf []byte // what was read
	n   int
	err error

	// A large packet that is being cut.
	cut  offload.Segmenter
	size int    // of a segment's payload
	rest []byte // payload
	more bool   // there is one

	slots    [slots][]byte
	slotSize int
	list     []esp.Packet
}

func (s *vnetSource) attempt(fd uintptr) bool {
	for {
		s.n, s.err = unix.Read(int(fd), s.buf)
		if s.err != unix.EINTR {
			return s.err == nil
		}
	}
}

func (s *vnetSource) read() ([]esp.Packet, bool, error) {
	s.list = s.list[:0]
	if s.more {
		s.segments()
	}
	how := s.wait
	for len(s.list) < enoughSlots {
		if len(s.list) > 0 {
			how = s.poll
		}
		if s.raw.Read(how) != nil {
			return nil, false, os.ErrClosed
		}
		if s.err != nil {
			if len(s.list) > 0 && s.err == unix.EAGAIN {
				break
			}
			if len(s.list) == 0 {
				return nil, false, closedError(s.err)
			}
			break
		}
		if err := s.packet(s.buf[:s.n]); err != nil && len(s.list) == 0 {
			return nil, false, err
		}
	}
	return s.list, s.more, nil
}

// closedError gives the error of a device that went away its usual name.
func closedError(err error) error {
	if err == unix.EBADFD {
		return os.ErrClosed
	}
	return os.NewSyscallError("read", err)
}

// packet takes apart what was read.
func (s *vnetSource) packet(b []byte) error {
	if len(b) <= vnetHeader {
		return offload.ErrMalformed
	}
	h, b := b[:vnetHeader], b[vnetHeader:]
	flags, kind := h[0], h[1]&^unix.VIRTIO_NET_HDR_GSO_ECN
	size := int(binary.NativeEndian.Uint16(h[4:]))
	start, offset := int(binary.NativeEndian.Uint16(h[6:])), int(binary.NativeEndian.Uint16(h[8:]))
	if kind == unix.VIRTIO_NET_HDR_GSO_NONE {
		if flags&unix.VIRTIO_NET_HDR_F_NEEDS_CSUM != 0 {
			if err := offload.CompleteChecksum(b, start, offset); err != nil {
				return err
			}
		}
		copy(s.slot(len(b)), b)
		return nil
	}

	header := start
	proto := uint8(unix.IPPROTO_TCP)
	switch kind {
	case unix.VIRTIO_NET_HDR_GSO_TCPV4, unix.VIRTIO_NET_HDR_GSO_TCPV6:
		if start+20 > len(b) {
			return offload.ErrMalformed
		}
		header += int(b[start+12]>>4) * 4 // the header's own length field may count more
	case unix.VIRTIO_NET_HDR_GSO_UDP_L4:
		proto = unix.IPPROTO_UDP
		header += 8
	default:
		return offload.ErrMalformed
	}
	if header > len(b) || size == 0 {
		return offload.ErrMalformed
	}
	if err := s.cut.Reset(b[:header], start, proto); err != nil {
		return err
	}
	s.rest, s.size, s.more = b[header:], size, true
	s.segments()
	return nil
}

// segments cuts as much as there are slots for.
func (s *vnetSource) segments() {
	header := s.cut.HeaderSize()
	for s.more && len(s.list) < slots {
		n := min(s.size, len(s.rest))
		b := s.slot(header + n)
		copy(b[header:], s.rest[:n])
		s.rest = s.rest[n:]
		s.more = len(s.rest) > 0
		s.cut.Finish(b, s.more)
	}
}

// slot returns the next slot, for a packet of n octets.
func (s *vnetSource) slot(n int) []byte {
	i := len(s.list)
	if need := esp.Headroom + n + esp.Tailroom; need > len(s.slots[i]) {
		if need > s.slotSize {
			s.grow(n)
		}
		// The old one may be in the list.
		s.slots[i] = make([]byte, s.slotSize)
	}
	p := esp.Packet{Buf: s.slots[i], Start: esp.Headroom, End: esp.Headroom + n}
	s.list = append(s.list, p)
	return p.Bytes()
}

// grow makes slots for packets of n octets from now on.
func (s *vnetSource) grow(n int) { s.slotSize = (esp.Headroom + n + esp.Tailroom + 63) &^ 63 }

func (d *vnetInner) newSink() sink {
	s := &vnetSink{raw: d.raw}
	s.merge.Verify = true // the kernel believes a merged packet's checksum
	s.do = s.writeGroups
	return s
}

type vnetSink struct {
	raw   syscall.RawConn
	do    func(fd uintptr) bool
	merge offload.Merger

	next   int // of the groups
	taken  int // packets
	err    error
	header [vnetHeader]byte
	iov    []unix.Iovec
}

func (s *vnetSink) write(list []esp.Packet) (int, error) {
	for _, p := range list {
		s.merge.Add(p.Bytes())
	}
	s.next, s.taken, s.err = 0, 0, nil
	err := s.raw.Write(s.do)
	s.merge.Reset()
	if err == nil {
		err = s.err
	}
	return s.taken, err
}

// writeGroups writes groups until all are written, or the device would block.
func (s *vnetSink) writeGroups(fd uintptr) bool {
	for groups := s.merge.Groups(); s.next < len(groups); s.next++ {
		g := &groups[s.next]
		s.header = [vnetHeader]byte{}
		s.iov = append(s.iov[:0], iovec(s.header[:]), iovec(g.Head))
		if len(g.Tails) > 0 {
			s.large(g)
		}
		_, _, errno := unix.Syscall(unix.SYS_WRITEV, fd, uintptr(unsafe.Pointer(unsafe.SliceData(s.iov))), uintptr(len(s.iov)))
		switch errno {
		case 0:
			s.taken += 1 + len(g.Tails)
		case unix.EAGAIN:
			return false
		case unix.EINTR:
			s.next--
		default:
			if s.err == nil {
				s.err = errno
			}
		}
	}
	return true
}

// large fills in the header of a large packet.
func (s *vnetSink) large(g *offload.Group) {
	g.Finish()
	h := &s.header
	h[0] = unix.VIRTIO_NET_HDR_F_NEEDS_CSUM
	h[1] = unix.VIRTIO_NET_HDR_GSO_TCPV4
	if g.Head[0]>>4 == 6 {
		h[1] = unix.VIRTIO_NET_HDR_GSO_TCPV6
	}
	binary.NativeEndian.PutUint16(h[2:], uint16(g.Header))
	binary.NativeEndian.PutUint16(h[4:], uint16(g.Size))
	binary.NativeEndian.PutUint16(h[6:], uint16(g.Upper))
	binary.NativeEndian.PutUint16(h[8:], 16)
	for _, t := range g.Tails {
		s.iov = append(s.iov, iovec(t))
	}
}

func iovec(b []byte) unix.Iovec {
	v := unix.Iovec{Base: unsafe.SliceData(b)}
	v.SetLen(len(b))
	return v
}
