package pcap

import (
	"encoding/binary"
	"iter"
	"net/netip"
	"time"
)

// An IP is an IP packet of a capture.
type IP struct {
	Src, Dst netip.Addr
	Protocol uint8  // upper-layer protocol, behind IPv6 extension headers
	Fragment bool   // not the first fragment: Payload does not begin with a header
	More     bool   // more fragments follow
	Payload  []byte // as far as captured; padding of the link layer is cut
}

// A Datagram is a UDP datagram of a capture.
type Datagram struct {
	Time     time.Time
	Src, Dst netip.AddrPort
	Payload  []byte
	Cut      bool // the capture, or IP fragmentation, left less than the UDP length says
}

// IP returns the IP packet in p; ok is false if there is none.
func (p Packet) IP() (ip IP, ok bool) {
	b := p.Data
	skip := 0
	switch p.LinkType {
	case LinkRaw, LinkRaw12, LinkIPv4, LinkIPv6:
	case LinkNull, LinkLoop:
		skip = 4
	case LinkEthernet:
		skip = 14
		for len(b) >= skip && (b[skip-2] == 0x81 && b[skip-1] == 0 || b[skip-2] == 0x88 && b[skip-1] == 0xa8) {
			skip += 4
		}
	case LinkSLL:
		skip = 16
	case LinkSLL2:
		skip = 20
	default:
		return IP{}, false
	}
	if len(b) <= skip {
		return IP{}, false
	}
	return ParseIP(b[skip:])
}

// ParseIP reads an IPv4 or IPv6 packet; ok is false if it is neither.
func ParseIP(b []byte) (ip IP, ok bool) {
	if len(b) == 0 {
		return IP{}, false
	}
	switch b[0] >> 4 {
	case 4:
		return parseIPv4(b)
	case 6:
		return parseIPv6(b)
	}
	return IP{}, false
}

func parseIPv4(b []byte) (IP, bool) {
	if len(b) < 20 {
		return IP{}, false
	}
	head, total := int(b[0]&0xf)*4, int(binary.BigEndian.Uint16(b[2:]))
	if head < 20 || head > len(b) || total < head {
		return IP{}, false
	}
	frag := binary.BigEndian.Uint16(b[6:])
	return IP{
		Src:      netip.AddrFrom4([4]byte(b[12:])),
		Dst:      netip.AddrFrom4([4]byte(b[16:])),
		Protocol: b[9],
		Fragment: frag&0x1fff != 0,
		More:     frag&0x2000 != 0,
		Payload:  b[head:min(total, len(b))],
	}, true
}

func parseIPv6(b []byte) (IP, bool) {
	if len(b) < 40 {
		return IP{}, false
	}
	ip := IP{
		Src:      netip.AddrFrom16([16]byte(b[8:])),
		Dst:      netip.AddrFrom16([16]byte(b[24:])),
		Protocol: b[6],
		Payload:  b[40:min(40+int(binary.BigEndian.Uint16(b[4:])), len(b))],
	}
	for {
		n := 8
		switch ip.Protocol {
		case 0, 43, 60: // hop-by-hop, routing, destination options
			if len(ip.Payload) >= 2 {
				n += int(ip.Payload[1]) * 8
			}
		case 44: // fragment
			if len(ip.Payload) >= 4 {
				frag := binary.BigEndian.Uint16(ip.Payload[2:])
				ip.Fragment, ip.More = frag>>3 != 0, frag&1 != 0
			}
		default:
			return ip, true
		}
		if len(ip.Payload) < n {
			return ip, false
		}
		last := ip.Fragment
		ip.Protocol, ip.Payload = ip.Payload[0], ip.Payload[n:]
		if last {
			return ip, true
		}
	}
}

// UDP returns the UDP datagram in p; ok is false if there is none.
func (p Packet) UDP() (d Datagram, ok bool) {
	ip, ok := p.IP()
	if !ok || ip.Protocol != 17 || ip.Fragment || len(ip.Payload) < 8 {
		return Datagram{}, false
	}
	u := ip.Payload
	d = Datagram{
		Time: p.Time,
		Src:  netip.AddrPortFrom(ip.Src, binary.BigEndian.Uint16(u)),
		Dst:  netip.AddrPortFrom(ip.Dst, binary.BigEndian.Uint16(u[2:])),
	}
	n := int(binary.BigEndian.Uint16(u[4:]))
	if n < 8 {
		return Datagram{}, false
	}
	d.Cut = n > len(u)
	d.Payload = u[8:min(n, len(u))]
	return d, true
}

// UDP iterates over the UDP datagrams among the packets. IP fragments are not
// put together: a first fragment is a datagram that is Cut.
func UDP(packets []Packet) iter.Seq[Datagram] {
	return func(yield func(Datagram) bool) {
		for _, p := range packets {
			if d, ok := p.UDP(); ok && !yield(d) {
				return
			}
		}
	}
}
