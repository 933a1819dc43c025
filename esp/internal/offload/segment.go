package offload

import (
	"encoding/binary"
	"errors"
)

// ErrMalformed is for packets that are not what they are said to be.
var ErrMalformed = errors.New("offload: malformed packet")

const (
	protoTCP = 6
	protoUDP = 17

	ipv4Header = 20
	ipv6Header = 40

	tcpFIN = 0x01
	tcpPSH = 0x08
	tcpACK = 0x10
	tcpCWR = 0x80

	// MaxHeader is more than any header that a Segmenter takes: IPv6 with
	// extensions and TCP with options.
	MaxHeader = 192
)

// A Segmenter cuts one packet into segments. Its packets' payload is copied by
// the caller, who may have it in any form.
type Segmenter struct {
	header [MaxHeader]byte
	size   int // of header
	upper  int // where TCP or UDP begins in it
	proto  uint8
	done   int // octets of payload
	id     uint16
	seq    uint32
}

// Reset begins with a packet. header are its IP and TCP or UDP headers, upper
// is where the latter begin. Lengths and checksums in them do not count.
func (s *Segmenter) Reset(header []byte, upper int, proto uint8) error {
	least := ipv4Header
	if len(header) > 0 && header[0]>>4 == 6 {
		least = ipv6Header
	}
	switch {
	case upper < least || len(header) > MaxHeader,
		proto == protoTCP && len(header) < upper+20,
		proto == protoUDP && len(header) != upper+8,
		proto != protoTCP && proto != protoUDP:
		return ErrMalformed
	case least == ipv4Header && int(header[0]&15)*4 != upper:
		return ErrMalformed
	}
	s.size, s.upper, s.proto, s.done = copy(s.header[:], header), upper, proto, 0
	s.id = binary.BigEndian.Uint16(header[4:])
	h := s.header[upper:s.size]
	if proto == protoTCP {
		if int(h[12]>>4)*4 != len(h) {
			return ErrMalformed
		}
		s.seq = binary.BigEndian.Uint32(h[4:])
	}
	return nil
}

// HeaderSize returns the octets before the payload of each segment.
func (s *Segmenter) HeaderSize() int { return s.size }

// Finish makes packet, in which the payload stands already behind HeaderSize
// octets, the next segment: it writes the headers. more says that another
// segment follows.
func (s *Segmenter) Finish(packet []byte, more bool) {
	n := len(packet) - s.size
	copy(packet, s.header[:s.size])
	ip, up := packet[:s.upper], packet[s.upper:]
	if ip[0]>>4 == 4 {
		binary.BigEndian.PutUint16(ip[2:], uint16(len(packet)))
		binary.BigEndian.PutUint16(ip[4:], s.id)
		setIPv4Checksum(ip)
		s.id++
	} else {
		binary.BigEndian.PutUint16(ip[4:], uint16(len(packet)-ipv6Header))
	}
	if s.proto == protoTCP {
		binary.BigEndian.PutUint32(up[4:], s.seq+uint32(s.done))
		if more {
			up[13] &^= tcpFIN | tcpPSH
		}
		if s.done > 0 {
			up[13] &^= tcpCWR // for the first only (RFC 3168 section 6.1.2)
		}
		setChecksum(ip, up, s.proto, 16)
	} else {
		binary.BigEndian.PutUint16(up[4:], uint16(len(up)))
		setChecksum(ip, up, s.proto, 6)
	}
	s.done += n
}

// setChecksum makes the checksum at octet at of an upper layer right.
func setChecksum(ip, up []byte, proto uint8, at int) {
	up[at], up[at+1] = 0, 0
	c := ^Fold(Sum(pseudoHeader(ip, proto, len(up)), up))
	if c == 0 && proto == protoUDP {
		c = 0xffff // 0 means none (RFC 768)
	}
	binary.BigEndian.PutUint16(up[at:], c)
}

// CompleteChecksum finishes a checksum that was left to the interface: the
// field at start+offset holds the sum of the pseudo-header, and the packet is
// summed from start on.
func CompleteChecksum(packet []byte, start, offset int) error {
	if start < 0 || offset < 0 || start+offset+2 > len(packet) {
		return ErrMalformed
	}
	c := ^Fold(Sum(0, packet[start:]))
	if c == 0 {
		c = 0xffff // the same number, and UDP's 0 means none
	}
	binary.BigEndian.PutUint16(packet[start+offset:], c)
	return nil
}
