package esp

import "encoding/binary"

// The ECN field is the two low bits of the TOS or traffic class octet (RFC
// 3168).
const (
	ecnMask   = 3
	ecnNotECT = 0
	ecnECT1   = 1
	ecnECT0   = 2
	ecnCE     = 3
)

// tosOf returns the TOS octet of an IPv4 header or the traffic class of an
// IPv6 one.
func tosOf(header []byte) uint8 {
	if header[0]>>4 == 4 {
		return header[1]
	}
	return uint8(binary.BigEndian.Uint16(header) >> 4)
}

// setTOS writes it, and corrects an IPv4 header's checksum.
func setTOS(header []byte, tos uint8) {
	was := binary.BigEndian.Uint16(header)
	if header[0]>>4 == 4 {
		header[1] = tos
		check := adjust(binary.BigEndian.Uint16(header[10:]), was, binary.BigEndian.Uint16(header))
		binary.BigEndian.PutUint16(header[10:], check)
		return
	}
	binary.BigEndian.PutUint16(header, was&0xf00f|uint16(tos)<<4)
}

// outerTOS is the outer header's octet for a packet whose own is inner: DSCP
// and ECN copied (RFC 4301 section 5.1.2.1, RFC 6040 section 4.1), unless
// options say otherwise. Without ECN the field is zero, which is RFC 6040's
// compatibility mode.
func outerTOS(inner uint8, noDSCP, noECN bool) uint8 {
	if noDSCP {
		inner &= ecnMask
	}
	if noECN {
		inner &^= ecnMask
	}
	return inner
}

// propagateECN gives an inner packet the congestion marks of its outer header
// (RFC 6040 section 4.2, figure 4). It reports false if the packet must be
// dropped: it was marked on the way, but its sender would not understand.
func propagateECN(header []byte, outer uint8) bool {
	if outer&ecnMask == ecnNotECT {
		return true
	}
	inner := tosOf(header)
	is := inner & ecnMask
	switch outer & ecnMask {
	case ecnCE:
		if is == ecnNotECT {
			return false
		}
		is = ecnCE
	case ecnECT1:
		if is == ecnECT0 {
			is = ecnECT1
		}
	}
	if is != inner&ecnMask {
		setTOS(header, inner&^ecnMask|is)
	}
	return true
}
