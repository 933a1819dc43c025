package esp

import (
	"encoding/binary"
	"net/netip"
)

// sum adds b to a one's complement sum (RFC 1071), which fold turns into the
// 16 bits of a checksum field.
func sum(acc uint64, b []byte) uint64 {
	for len(b) >= 4 {
		acc += uint64(binary.BigEndian.Uint32(b))
		b = b[4:]
	}
	if len(b) >= 2 {
		acc += uint64(binary.BigEndian.Uint16(b))
		b = b[2:]
	}
	if len(b) > 0 {
		acc += uint64(b[0]) << 8
	}
	return acc
}

func fold(acc uint64) uint16 {
	for acc > 0xffff {
		acc = acc>>16 + acc&0xffff
	}
	return uint16(acc)
}

// setIPv4Checksum computes the header checksum of an IPv4 header.
func setIPv4Checksum(header []byte) {
	binary.BigEndian.PutUint16(header[10:], 0)
	binary.BigEndian.PutUint16(header[10:], ^fold(sum(0, header)))
}

// adjust returns the checksum that a packet with the checksum old has after
// its 16-bit word was changes to is (RFC 1624 equation 3).
func adjust(old, was, is uint16) uint16 {
	return ^fold(uint64(^old) + uint64(^was) + uint64(is))
}

// adjustAddr is adjust for an address of a pseudo-header.
func adjustAddr(old uint16, was, is netip.Addr) uint16 {
	w, i := was.As16(), is.As16() // IPv4 in mapped form: the prefix cancels out
	return ^fold(uint64(^old) + uint64(^fold(sum(0, w[:]))) + sum(0, i[:]))
}
