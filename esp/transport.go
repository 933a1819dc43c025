package esp

import (
	"encoding/binary"
	"net/netip"
)

// transportPayload returns the payload of an IP packet for transport mode, and
// its protocol. The header itself is not carried: the socket that sends the
// datagram makes another one, so IPv4 options are lost. It reports false for
// packets that transport mode cannot carry: fragments (RFC 4301 section 7),
// and IPv6 with extension headers that belong before ESP (RFC 4303 section
// 3.1.1).
func transportPayload(p Packet) (payload Packet, next uint8, ok bool) {
	b := p.Bytes()
	if b[0]>>4 == 4 {
		if binary.BigEndian.Uint16(b[6:])&(ipv4MF|maxFragmentID) != 0 {
			return p, 0, false
		}
		p.Start += int(b[0]&0xf) * 4
		return p, b[9], true
	}
	switch b[6] {
	case protoHopByHop, protoRouting, protoFragment:
		return p, 0, false
	}
	p.Start += ipv6HeaderSize
	return p, b[6], true
}

// translation is what NATs between two hosts in transport mode do to the
// addresses: as the sender of a packet sees them, and as the receiver does.
type translation struct {
	srcWas, dstWas netip.Addr
}

// fixChecksum corrects the transport checksum of a packet's payload, which its
// sender computed with other addresses than those the receiver sees (RFC 3948
// section 3.1.2). An invalid address is one that no NAT has changed.
func (t translation) fixChecksum(payload []byte, proto uint8, src, dst netip.Addr) {
	var at int
	switch proto {
	case protoTCP:
		at = 16
	case protoUDP, protoUDPLite:
		at = 6
	case protoICMPv6:
		at = 2
	case protoDCCP:
		at = 6
	default:
		return
	}
	if len(payload) < at+2 {
		return
	}
	field := payload[at : at+2]
	check := binary.BigEndian.Uint16(field)
	if proto == protoUDP && check == 0 {
		return // not used
	}
	if t.srcWas.IsValid() && t.srcWas != src {
		check = adjustAddr(check, t.srcWas, src)
	}
	if t.dstWas.IsValid() && t.dstWas != dst {
		check = adjustAddr(check, t.dstWas, dst)
	}
	if proto == protoUDP && check == 0 {
		check = 0xffff
	}
	binary.BigEndian.PutUint16(field, check)
}
