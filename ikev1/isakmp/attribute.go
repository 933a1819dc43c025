package isakmp

import (
	"encoding/binary"
	"strconv"
)

// MaxAttributes is how many attributes one transform may have: more than a
// private group (RFC 2409 5.6) needs, and too few to make a small datagram
// cost much memory.
const MaxAttributes = 32

// An Attribute is a data attribute (RFC 2408 3.3) of a transform. What Type
// and Value mean depends on the protocol of the proposal: [Phase1Attribute]
// for ISAKMP, [Phase2Attribute] for the others.
type Attribute struct {
	Type  uint16 // 15 bits
	Basic bool   // type and value without a length (AF bit)
	Value uint16 // the value if Basic
	Data  []byte // the value if not
}

// Basic returns an attribute in the form without a length.
func Basic[T, V ~uint8 | ~uint16](t T, v V) Attribute {
	return Attribute{Type: uint16(t), Basic: true, Value: uint16(v)}
}

// Variable returns an attribute in the form with a length.
func Variable[T ~uint8 | ~uint16](t T, data []byte) Attribute {
	return Attribute{Type: uint16(t), Data: data}
}

// Uint returns the value as a number. ok is false if it has no octet or does
// not fit 64 bits; leading zeros do not count.
func (a *Attribute) Uint() (v uint64, ok bool) {
	if a.Basic {
		return uint64(a.Value), true
	}
	for _, c := range a.Data {
		if v>>56 != 0 {
			return 0, false
		}
		v = v<<8 | uint64(c)
	}
	return v, len(a.Data) > 0
}

func (a *Attribute) append(dst []byte) []byte {
	if a.Basic {
		dst = binary.BigEndian.AppendUint16(dst, 0x8000|a.Type)
		return binary.BigEndian.AppendUint16(dst, a.Value)
	}
	dst = binary.BigEndian.AppendUint16(dst, a.Type&^0x8000)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(a.Data)))
	return append(dst, a.Data...)
}

// ParseAttributes decodes attributes that are not in a payload of their own:
// the data of RESPONDER-LIFETIME (RFC 2407 4.6.3.1). At most [MaxAttributes].
func ParseAttributes(b []byte) ([]Attribute, error) {
	n, e := countAttributes(PayloadNotify, b, 0, MaxAttributes)
	if e != nil {
		return nil, e
	}
	return appendAttributes(make([]Attribute, 0, n), b), nil
}

// AppendAttributes appends attributes in wire form. It does not check that
// they fit it.
func AppendAttributes(dst []byte, as ...Attribute) []byte {
	for i := range as {
		dst = as[i].append(dst)
	}
	return dst
}

// appendAttributes decodes attributes that countAttributes has found sound.
func appendAttributes(dst []Attribute, b []byte) []Attribute {
	for len(b) > 0 {
		a, n := nextAttribute(b)
		dst = append(dst, a)
		b = b[n:]
	}
	return dst
}

// nextAttribute reads the attribute at the start of b; n is its length on the
// wire. A negative n says that it is cut short.
func nextAttribute(b []byte) (a Attribute, n int) {
	if len(b) < 4 {
		return a, -1
	}
	t := binary.BigEndian.Uint16(b)
	a.Type = t &^ 0x8000
	if t&0x8000 != 0 {
		a.Basic, a.Value = true, binary.BigEndian.Uint16(b[2:])
		return a, 4
	}
	n = 4 + int(binary.BigEndian.Uint16(b[2:]))
	if n > len(b) {
		return a, -1
	}
	if n > 4 {
		a.Data = b[4:n:n]
	}
	return a, n
}

// countAttributes checks the attributes that fill b and counts them.
func countAttributes(t PayloadType, b []byte, off, limit int) (int, *ParseError) {
	count := 0
	for ; len(b) > 0; count++ {
		_, n := nextAttribute(b)
		if n < 0 {
			return 0, syntaxError(t, off, "attribute is cut short")
		}
		if count == limit {
			return 0, syntaxError(t, off, "more than "+strconv.Itoa(limit)+" attributes")
		}
		b, off = b[n:], off+n
	}
	return count, nil
}

func (a *Attribute) fault() string {
	if a.Type > 0x7fff || len(a.Data) > 0xffff || a.Basic && a.Data != nil || !a.Basic && a.Value != 0 {
		return "attribute " + strconv.Itoa(int(a.Type)) + " has no wire form"
	}
	return ""
}
