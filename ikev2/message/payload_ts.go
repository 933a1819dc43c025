package message

import (
	"encoding/binary"
	"net/netip"
	"strconv"

	"github.com/racoon3/racoon/internal/trace"
	"github.com/racoon3/racoon/spd"
)

// TS is the Traffic Selector payload, TSi or TSr (RFC 7296 3.13).
type TS struct {
	Critical  bool
	Responder bool // TSr, else TSi
	Selectors []TrafficSelector
}

// A TrafficSelector is one selector of a [TS].
//
// For address ranges the embedded selector is set; First may be above Last and
// the ports may be reversed, as the peer sent them: Valid tells. For other
// types (Fibre Channel, security labels, unknown ones) Raw is set to what
// follows the length field, and of the embedded selector the Protocol only.
type TrafficSelector struct {
	Type TSType
	spd.TrafficSelector
	Raw []byte
}

const (
	tsHeaderLen = 4  // selector type, protocol, length
	ts4Len      = 16 // TS_IPV4_ADDR_RANGE
	ts6Len      = 40 // TS_IPV6_ADDR_RANGE
)

// NewTrafficSelector returns the wire selector for s: TS_IPV4_ADDR_RANGE or
// TS_IPV6_ADDR_RANGE, after the family of s.First.
func NewTrafficSelector(s spd.TrafficSelector) TrafficSelector {
	t := TSIPv6AddrRange
	if s.First.Is4() {
		t = TSIPv4AddrRange
	}
	return TrafficSelector{Type: t, TrafficSelector: s}
}

// Valid reports whether the selector is an address range that can match
// something: addresses in order, and ports in order, or OPAQUE.
func (t *TrafficSelector) Valid() bool {
	return (t.Type == TSIPv4AddrRange || t.Type == TSIPv6AddrRange) &&
		t.First.IsValid() && t.First.BitLen() == t.Last.BitLen() && !t.Last.Less(t.First) &&
		(t.Ports.First <= t.Ports.Last || t.Ports == spd.OpaquePort)
}

// PayloadType returns PayloadTSi or PayloadTSr.
func (p TS) PayloadType() PayloadType {
	if p.Responder {
		return PayloadTSr
	}
	return PayloadTSi
}

func (p *TS) parse(b []byte) *ParseError {
	t := p.PayloadType()
	if len(b) < 4 {
		return syntaxError(t, len(b), "traffic selectors are cut short")
	}
	n := int(b[0])
	if n == 0 {
		return syntaxError(t, 0, "no traffic selectors")
	}
	// The count may lie; what it can make us allocate is bounded by the octets.
	if n*tsHeaderLen > len(b)-4 {
		return syntaxError(t, 0, strconv.Itoa(n)+" selectors in "+strconv.Itoa(len(b)-4)+" octets")
	}
	p.Selectors = make([]TrafficSelector, 0, n)
	off := 4
	for range n {
		size, e := parseSelector(t, b[off:], off, &p.Selectors)
		if e != nil {
			return e
		}
		off += size
	}
	if off != len(b) {
		return syntaxError(t, off, strconv.Itoa(len(b)-off)+" octets after the last selector")
	}
	return nil
}

func parseSelector(t PayloadType, b []byte, off int, dst *[]TrafficSelector) (int, *ParseError) {
	if len(b) < tsHeaderLen {
		return 0, syntaxError(t, off, "traffic selector is cut short")
	}
	n := int(binary.BigEndian.Uint16(b[2:]))
	if n < tsHeaderLen || n > len(b) {
		return 0, syntaxError(t, off+2, "traffic selector length "+strconv.Itoa(n))
	}
	s := TrafficSelector{Type: TSType(b[0])}
	s.Protocol = b[1]
	switch s.Type {
	case TSIPv4AddrRange, TSIPv6AddrRange:
		size := ts4Len
		if s.Type == TSIPv6AddrRange {
			size = ts6Len
		}
		if n != size {
			return 0, syntaxError(t, off+2, s.Type.String()+" of "+strconv.Itoa(n)+" octets")
		}
		s.Ports = spd.PortRange{First: binary.BigEndian.Uint16(b[4:]), Last: binary.BigEndian.Uint16(b[6:])}
		half := (n - 8) / 2
		s.First, _ = netip.AddrFromSlice(b[8 : 8+half])
		s.Last, _ = netip.AddrFromSlice(b[8+half : n])
	default:
		s.Raw = b[tsHeaderLen:n:n]
	}
	*dst = append(*dst, s)
	return n, nil
}

// AppendBody appends the payload without its generic header.
func (p TS) AppendBody(dst []byte) []byte {
	dst = append(dst, byte(len(p.Selectors)), 0, 0, 0)
	for i := range p.Selectors {
		dst = p.Selectors[i].append(dst)
	}
	return dst
}

func (s *TrafficSelector) append(dst []byte) []byte {
	start := len(dst)
	dst = append(dst, byte(s.Type), s.Protocol, 0, 0)
	switch s.Type {
	case TSIPv4AddrRange:
		dst = s.appendPorts(dst)
		if s.First.Is4() && s.Last.Is4() { // else fault() speaks
			first, last := s.First.As4(), s.Last.As4()
			dst = append(append(dst, first[:]...), last[:]...)
		}
	case TSIPv6AddrRange:
		dst = s.appendPorts(dst)
		if s.First.Is6() && s.Last.Is6() {
			first, last := s.First.As16(), s.Last.As16()
			dst = append(append(dst, first[:]...), last[:]...)
		}
	default:
		dst = append(dst, s.Raw...)
	}
	binary.BigEndian.PutUint16(dst[start+2:], uint16(len(dst)-start))
	return dst
}

func (s *TrafficSelector) appendPorts(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint16(dst, s.Ports.First)
	return binary.BigEndian.AppendUint16(dst, s.Ports.Last)
}

func (p *TS) fault() string {
	if n := len(p.Selectors); n == 0 || n > 255 {
		return strconv.Itoa(n) + " selectors"
	}
	for i := range p.Selectors {
		s := &p.Selectors[i]
		ok := len(s.Raw) <= 0xffff-tsHeaderLen
		switch s.Type {
		case TSIPv4AddrRange:
			ok = s.First.Is4() && s.Last.Is4()
		case TSIPv6AddrRange:
			ok = s.First.Is6() && s.Last.Is6()
		}
		if !ok {
			return "selector " + strconv.Itoa(i) + ": addresses do not fit " + s.Type.String()
		}
	}
	return ""
}

// String returns the payload as a trace shows it.
func (p TS) String() string { return string(p.appendText(nil)) }

func (p TS) appendText(b []byte) []byte {
	b = append(append(b, p.PayloadType().String()...), '(')
	for i := range p.Selectors {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = p.Selectors[i].appendText(b)
	}
	return append(b, ')')
}

// String returns the selector as a trace shows it: protocol, addresses as a
// prefix where they are one, and ports.
func (s TrafficSelector) String() string { return string(s.appendText(nil)) }

func (s *TrafficSelector) appendText(b []byte) []byte {
	if s.Type != TSIPv4AddrRange && s.Type != TSIPv6AddrRange {
		b = append(append(b, s.Type.String()...), ' ')
		return trace.AppendHex(b, s.Raw)
	}
	if p, ok := rangePrefix(s.First, s.Last); ok {
		b = p.AppendTo(b)
	} else {
		b = s.First.AppendTo(b)
		b = s.Last.AppendTo(append(b, '-'))
	}
	if s.Protocol != 0 {
		b = append(b, " proto "...)
		b = strconv.AppendUint(b, uint64(s.Protocol), 10)
	}
	switch s.Ports {
	case spd.AnyPort:
	case spd.OpaquePort:
		b = append(b, " port opaque"...)
	default:
		b = append(b, " port "...)
		b = strconv.AppendUint(b, uint64(s.Ports.First), 10)
		if s.Ports.First != s.Ports.Last {
			b = strconv.AppendUint(append(b, '-'), uint64(s.Ports.Last), 10)
		}
	}
	return b
}

// rangePrefix returns the prefix that covers exactly first to last.
func rangePrefix(first, last netip.Addr) (netip.Prefix, bool) {
	if !first.IsValid() || first.BitLen() != last.BitLen() {
		return netip.Prefix{}, false
	}
	f, l := first.As16(), last.As16()
	bits := 0
	for bits < 128 && (f[bits/8]^l[bits/8])&(0x80>>(bits%8)) == 0 {
		bits++
	}
	for i := bits; i < 128; i++ { // the rest: all zeros to all ones
		m := byte(0x80) >> (i % 8)
		if f[i/8]&m != 0 || l[i/8]&m == 0 {
			return netip.Prefix{}, false
		}
	}
	return netip.PrefixFrom(first, bits-(128-first.BitLen())), true
}
