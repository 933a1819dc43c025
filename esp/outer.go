package esp

import (
	"encoding/binary"
	"net/netip"

	"github.com/racoon3/racoon/natt"
)

// defaultTTL is that of headers which are made here (RFC 1700).
const defaultTTL = 64

// putIPv4Header writes a header without options for a packet of n octets,
// addresses and checksum left to the caller.
func putIPv4Header(b []byte, n int, proto, tos uint8, df bool) {
	b[0], b[1] = 0x45, tos
	binary.BigEndian.PutUint16(b[2:], uint16(n))
	binary.BigEndian.PutUint32(b[4:], 0)
	if df {
		b[6] = ipv4DF >> 8
	}
	b[8], b[9] = defaultTTL, proto
}

// putIPv6Header writes a header for n octets of payload, addresses left to the
// caller.
func putIPv6Header(b []byte, n int, next, tos uint8) {
	binary.BigEndian.PutUint32(b, 6<<28|uint32(tos)<<20)
	binary.BigEndian.PutUint16(b[4:], uint16(n))
	b[6], b[7] = next, defaultTTL
}

// putHeader writes the IP header of a packet from src to dst with n octets of
// payload into the octets before payload, and returns where it begins. It
// reports false if there is no room, or if the addresses do not go together.
func putHeader(buf []byte, payload, n int, src, dst netip.Addr, proto, tos uint8, df bool) (start int, ok bool) {
	src, dst = src.Unmap(), dst.Unmap()
	if src.Is4() != dst.Is4() || !src.IsValid() {
		return 0, false
	}
	if src.Is4() {
		start = payload - ipv4HeaderSize
		if start < 0 || ipv4HeaderSize+n > 0xffff {
			return 0, false
		}
		h := buf[start:payload]
		putIPv4Header(h, ipv4HeaderSize+n, proto, tos, df)
		s, d := src.As4(), dst.As4()
		copy(h[12:], s[:])
		copy(h[16:], d[:])
		setIPv4Checksum(h)
		return start, true
	}
	start = payload - ipv6HeaderSize
	if start < 0 || n > 0xffff {
		return 0, false
	}
	h := buf[start:payload]
	putIPv6Header(h, n, proto, tos)
	s, d := src.As16(), dst.As16()
	copy(h[8:], s[:])
	copy(h[24:], d[:])
	return start, true
}

// WithOuterHeader puts the outer IP header, and with UDPEncap the UDP header,
// and a marker, before the datagram, in place, and returns the IP packet: for links that
// carry whole packets instead of sockets that add headers. It reports false if
// the buffer has no room for them (56 octets at most before the datagram), the
// addresses are not of one family, or the packet would be too long. The UDP
// checksum is zero over IPv4, as RFC 3948 section 2.1 wants it.
func (d *Datagram) WithOuterHeader() (Packet, bool) {
	p, proto := d.Packet, uint8(protoESP)
	if d.UDPEncap {
		p.Start -= udpHeaderSize
		if d.NonIKE {
			p.Start -= natt.NonIKEMarkerSize
		}
		if p.Start < 0 || p.Len() > 0xffff {
			return Packet{}, false
		}
		proto = protoUDP
		u := p.Bytes()
		if d.NonIKE {
			clear(u[udpHeaderSize : udpHeaderSize+natt.NonIKEMarkerSize])
		}
		binary.BigEndian.PutUint16(u, d.Local.Port())
		binary.BigEndian.PutUint16(u[2:], d.Remote.Port())
		binary.BigEndian.PutUint16(u[4:], uint16(len(u)))
		binary.BigEndian.PutUint16(u[6:], 0)
		if l := d.Local.Addr().Unmap(); l.Is6() {
			// Over IPv6 it is not optional (RFC 8200 section 8.1).
			s, r := l.As16(), d.Remote.Addr().As16()
			c := ^fold(sum(sum(sum(uint64(len(u))+protoUDP, s[:]), r[:]), u))
			if c == 0 {
				c = 0xffff
			}
			binary.BigEndian.PutUint16(u[6:], c)
		}
	}
	start, ok := putHeader(p.Buf, p.Start, p.Len(), d.Local.Addr(), d.Remote.Addr(), proto, d.TOS, d.DF)
	p.Start = start
	return p, ok
}
