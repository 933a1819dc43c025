package esp

import (
	"encoding/binary"
	"net/netip"

	"github.com/racoon3/racoon/spd"
)

// A flow is what an IP packet's headers say about it.
type flow struct {
	spd.Flow
	fragment bool // any fragment, the first included
}

const (
	ipv4HeaderSize = 20
	ipv6HeaderSize = 40
	udpHeaderSize  = 8

	protoHopByHop = 0
	protoICMP     = 1
	protoTCP      = 6
	protoUDP      = 17
	protoRouting  = 43
	protoFragment = 44
	protoESP      = 50
	protoAH       = 51
	protoICMPv6   = 58
	protoDstOpts  = 60
	protoDCCP     = 33
	protoSCTP     = 132
	protoMH       = 135
	protoUDPLite  = 136
)

// ipLength returns the length of the IP packet at the beginning of b, by its
// own header, and whether there is a whole well-formed one. More octets may
// follow.
func ipLength(b []byte) (int, bool) {
	if len(b) < ipv4HeaderSize {
		return 0, false
	}
	switch b[0] >> 4 {
	case 4:
		h, n := int(b[0]&0xf)*4, int(binary.BigEndian.Uint16(b[2:]))
		return n, h >= ipv4HeaderSize && h <= n && n <= len(b)
	case 6:
		if len(b) < ipv6HeaderSize {
			return 0, false
		}
		n := ipv6HeaderSize + int(binary.BigEndian.Uint16(b[4:]))
		return n, n <= len(b)
	}
	return 0, false
}

// parseFlow reads the flow of an IP packet for which ipLength has said that it
// is whole. It reports false if the headers do not fit in the packet.
func parseFlow(b []byte) (f flow, ok bool) {
	if b[0]>>4 == 4 {
		f.Src = netip.AddrFrom4([4]byte(b[12:]))
		f.Dst = netip.AddrFrom4([4]byte(b[16:]))
		f.Protocol = b[9]
		frag := binary.BigEndian.Uint16(b[6:])
		f.fragment = frag&0x3fff != 0
		f.ports(b[int(b[0]&0xf)*4:], frag&0x1fff != 0)
		return f, true
	}

	f.Src = netip.AddrFrom16([16]byte(b[8:]))
	f.Dst = netip.AddrFrom16([16]byte(b[24:]))
	if f.Src.Is4In6() || f.Dst.Is4In6() {
		return f, false // must not be on the wire (RFC 4291 2.5.5.2), and matches no selector
	}
	f.Protocol = b[6]
	upper := ipv6HeaderSize
	later := false // a fragment other than the first
	for {
		rest := b[upper:]
		var size int
		switch f.Protocol {
		case protoHopByHop, protoRouting, protoDstOpts:
			if len(rest) < 8 {
				return f, false
			}
			size = (int(rest[1]) + 1) * 8
		case protoFragment:
			if len(rest) < 8 {
				return f, false
			}
			size = 8
			frag := binary.BigEndian.Uint16(rest[2:])
			f.fragment = f.fragment || frag&^6 != 0
			later = frag&0xfff8 != 0
		default:
			f.ports(rest, later)
			return f, true
		}
		if size > len(rest) {
			return f, false
		}
		f.Protocol = rest[0]
		upper += size
		if later {
			// What follows is the middle of something.
			f.Opaque = true
			return f, true
		}
	}
}

// ports reads the ports from the upper layer header.
func (f *flow) ports(b []byte, later bool) {
	f.Opaque = true
	if later {
		return
	}
	switch f.Protocol {
	case protoTCP, protoUDP, protoUDPLite, protoSCTP, protoDCCP:
		if len(b) >= 4 {
			f.Opaque = false
			f.SrcPort, f.DstPort = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
		}
	case protoICMP, protoICMPv6:
		if len(b) >= 2 {
			f.Opaque = false
			f.SrcPort = binary.BigEndian.Uint16(b)
		}
	case protoMH:
		if len(b) >= 3 {
			f.Opaque = false
			f.SrcPort = uint16(b[2]) << 8
		}
	}
}
