//go:build linux || darwin || freebsd || netbsd || openbsd

package racoon

import (
	"encoding/binary"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/racoon3/racoon/ike"
)

// controlSize is room for the control messages of one datagram.
const controlSize = 128

// hasPacketInfo says that a wildcard socket can tell the local address of a
// datagram on this system.
const hasPacketInfo = true

// wantPacketInfo makes the system tell the destination of each datagram.
func wantPacketInfo(raw syscall.RawConn, v6 bool) error {
	var err error
	cerr := raw.Control(func(fd uintptr) {
		if v6 {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
			return
		}
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, recvInfo4, 1)
	})
	if cerr != nil {
		return cerr
	}
	return err
}

// parseControl reads control messages.
func parseControl(b []byte) (info packetInfo) {
	for len(b) >= unix.SizeofCmsghdr {
		h, data, rest, err := unix.ParseOneSocketControlMessage(b)
		if err != nil {
			return info
		}
		b = rest
		switch {
		case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_PKTINFO && len(data) >= 20:
			info.dst = netip.AddrFrom16([16]byte(data[:16])).Unmap()
			info.ifindex = binary.NativeEndian.Uint32(data[16:])
		case h.Level == unix.IPPROTO_IP && h.Type == recvInfo4Type:
			if a, ifindex, ok := parseInfo4(data); ok {
				info.dst, info.ifindex = a, ifindex
			}
		case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_TOS && len(data) >= 1:
			info.tos = data[0]
		case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_TCLASS && len(data) >= 4:
			info.tos = byte(binary.NativeEndian.Uint32(data))
		default:
			info.segment = max(info.segment, parseSegment(&h, data))
		}
	}
	return info
}

// appendSource appends the control message that makes a wildcard socket send
// from the path's local address.
func appendSource(b []byte, p ike.Path, v6 bool) []byte {
	src := p.Local.Addr()
	if !src.IsValid() || src.IsUnspecified() {
		return b
	}
	if !v6 {
		b, data := appendControl(b, unix.IPPROTO_IP, sendInfo4Type, sendInfo4Size)
		putInfo4(data, src, p.Interface)
		return b
	}
	b, data := appendControl(b, unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, 20)
	a := src.As16()
	copy(data, a[:])
	binary.NativeEndian.PutUint32(data[16:], p.Interface)
	return b
}

// appendTOS appends the control message that sets the traffic class.
func appendTOS(b []byte, p ike.Path, tos byte) []byte {
	if tos == 0 || !takesTOS {
		return b
	}
	level, typ := int32(unix.IPPROTO_IP), int32(unix.IP_TOS)
	if p.Remote.Addr().Is6() {
		level, typ = unix.IPPROTO_IPV6, unix.IPV6_TCLASS
	}
	b, data := appendControl(b, level, typ, 4)
	binary.NativeEndian.PutUint32(data, uint32(tos))
	return b
}

// appendControl appends a control message with room for n octets.
func appendControl(b []byte, level, typ int32, n int) (all, data []byte) {
	at := len(b)
	b = append(b, make([]byte, unix.CmsgSpace(n))...)
	putControlHeader(b[at:], level, typ, unix.CmsgLen(n))
	return b, b[at+unix.CmsgLen(0):][:n]
}
