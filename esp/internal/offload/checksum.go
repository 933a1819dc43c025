package offload

import (
	"encoding/binary"
	"math/bits"
)

// Sum adds the 16-bit words of b, an odd octet at the end padded with zero, to
// a sum in progress (RFC 1071). The result is for Sum and [Fold] only.
func Sum(initial uint64, b []byte) uint64 {
	// Words are added in host order, eight octets at a time with the carry
	// brought round; Fold puts that right (RFC 1071 section 2(B)).
	s, c := initial, uint64(0)
	for len(b) >= 64 {
		x := b[:64:64]
		s, c = bits.Add64(s, binary.NativeEndian.Uint64(x), c)
		s, c = bits.Add64(s, binary.NativeEndian.Uint64(x[8:]), c)
		s, c = bits.Add64(s, binary.NativeEndian.Uint64(x[16:]), c)
		s, c = bits.Add64(s, binary.NativeEndian.Uint64(x[24:]), c)
		s, c = bits.Add64(s, binary.NativeEndian.Uint64(x[32:]), c)
		s, c = bits.Add64(s, binary.NativeEndian.Uint64(x[40:]), c)
		s, c = bits.Add64(s, binary.NativeEndian.Uint64(x[48:]), c)
		s, c = bits.Add64(s, binary.NativeEndian.Uint64(x[56:]), c)
		b = b[64:]
	}
	for len(b) >= 8 {
		s, c = bits.Add64(s, binary.NativeEndian.Uint64(b), c)
		b = b[8:]
	}
	if len(b) > 0 {
		var last [8]byte
		copy(last[:], b)
		s, c = bits.Add64(s, binary.NativeEndian.Uint64(last[:]), c)
	}
	s, c = bits.Add64(s, 0, c)
	return s + c
}

// Fold returns the 16-bit one's complement sum, not yet complemented.
func Fold(s uint64) uint16 {
	s = s>>32 + s&0xffffffff
	s = s>>32 + s&0xffffffff
	s = s>>16 + s&0xffff
	s = s>>16 + s&0xffff
	var b [2]byte
	binary.NativeEndian.PutUint16(b[:], uint16(s))
	return binary.BigEndian.Uint16(b[:])
}

// word is a value in network order as Sum adds it.
func word(v uint16) uint64 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], v)
	return uint64(binary.NativeEndian.Uint16(b[:]))
}

// pseudoHeader returns the sum of the pseudo-header of an IP packet with n
// octets of upper layer (RFC 9293 section 3.1, RFC 8200 section 8.1).
func pseudoHeader(ip []byte, proto uint8, n int) uint64 {
	addresses := ip[12:20]
	if ip[0]>>4 == 6 {
		addresses = ip[8:40]
	}
	return Sum(word(uint16(proto))+word(uint16(n)), addresses)
}

// setIPv4Checksum makes the checksum of an IPv4 header right.
func setIPv4Checksum(h []byte) {
	h[10], h[11] = 0, 0
	binary.BigEndian.PutUint16(h[10:], ^Fold(Sum(0, h)))
}
