package isakmp

import (
	"encoding/binary"
	"strconv"
)

// Situation is the situation bitmap of the IPsec DOI (RFC 2407 4.2).
type Situation uint32

// Situation bits.
const (
	SituationIdentityOnly Situation = 0x01
	SituationSecrecy      Situation = 0x02
	SituationIntegrity    Situation = 0x04
)

// String returns the names of the bits.
func (s Situation) String() string {
	var b []byte
	for i, name := range [...]string{"SIT_IDENTITY_ONLY", "SIT_SECRECY", "SIT_INTEGRITY"} {
		if s&(1<<i) != 0 {
			b = append(append(b, '|'), name...)
		}
	}
	if rest := s >> 3 << 3; rest != 0 || len(b) == 0 {
		b = strconv.AppendUint(append(b, "|0x"...), uint64(rest), 16)
	}
	return string(b[1:])
}

// Labels is the security label that follows the situation bitmap with
// [SituationSecrecy] or [SituationIntegrity] (RFC 2407 4.6.1). This project's
// negotiation refuses it; it is decoded to be shown and returned.
type Labels struct {
	Domain    uint32 // Labeled Domain Identifier
	Secrecy   Label  // with SituationSecrecy
	Integrity Label  // with SituationIntegrity
}

// A Label is a level and a category bitmap.
type Label struct {
	Level        []byte // at most 65535 octets, padding not included
	CategoryBits uint16 // length of Categories in bits
	Categories   []byte // bitmap in the octets that CategoryBits need
}

// padded returns n rounded up to the next 32-bit boundary.
func padded(n int) int { return (n + 3) &^ 3 }

func (l *Labels) parse(b []byte, s Situation) (int, *ParseError) {
	if len(b) < 4 {
		return 0, syntaxError(PayloadSA, 0, "no labeled domain identifier")
	}
	l.Domain = binary.BigEndian.Uint32(b)
	off := 4
	for _, part := range [...]struct {
		bit   Situation
		label *Label
	}{{SituationSecrecy, &l.Secrecy}, {SituationIntegrity, &l.Integrity}} {
		if s&part.bit == 0 {
			continue
		}
		n := 0
		if part.label.Level, _, n = labelField(b[off:], 1); n < 0 {
			return 0, syntaxError(PayloadSA, off, "level is cut short")
		}
		off += n
		if part.label.Categories, part.label.CategoryBits, n = labelField(b[off:], 8); n < 0 {
			return 0, syntaxError(PayloadSA, off, "categories are cut short")
		}
		off += n
	}
	return off, nil
}

// labelField reads a length in units of which unit make an octet, two reserved
// octets, and so many octets, padded. A negative n says that it is cut short.
func labelField(b []byte, unit int) (value []byte, length uint16, n int) {
	if len(b) < 4 {
		return nil, 0, -1
	}
	length = binary.BigEndian.Uint16(b)
	size := (int(length) + unit - 1) / unit
	n = 4 + padded(size)
	if n > len(b) {
		return nil, 0, -1
	}
	if size > 0 {
		value = b[4 : 4+size : 4+size]
	}
	return value, length, n
}

func (l *Labels) append(dst []byte, s Situation) []byte {
	dst = binary.BigEndian.AppendUint32(dst, l.Domain)
	if s&SituationSecrecy != 0 {
		dst = l.Secrecy.append(dst)
	}
	if s&SituationIntegrity != 0 {
		dst = l.Integrity.append(dst)
	}
	return dst
}

func (l *Label) append(dst []byte) []byte {
	dst = appendLabelField(dst, uint16(len(l.Level)), l.Level)
	return appendLabelField(dst, l.CategoryBits, l.Categories)
}

func appendLabelField(dst []byte, length uint16, value []byte) []byte {
	dst = append(dst, byte(length>>8), byte(length), 0, 0)
	dst = append(dst, value...)
	for range padded(len(value)) - len(value) {
		dst = append(dst, 0)
	}
	return dst
}

func (l *Labels) fault() string {
	for _, x := range [...]*Label{&l.Secrecy, &l.Integrity} {
		if len(x.Level) > 0xffff || len(x.Categories) != (int(x.CategoryBits)+7)/8 {
			return "label has no wire form"
		}
	}
	return ""
}
