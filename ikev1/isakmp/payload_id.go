package isakmp

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
	"strconv"

	"github.com/racoon3/racoon/internal/trace"
	"github.com/racoon3/racoon/spd"
)

// ID is the Identification payload (RFC 2408 3.8, RFC 2407 4.6.2): IDii and
// IDir in phase 1, IDci and IDcr in Quick Mode.
type ID struct {
	Type     IDType
	Protocol uint8  // IP protocol number, 0 for any; in phase 1 0 or UDP
	Port     uint16 // 0 for any; in phase 1 0 or 500
	Data     []byte
}

// PayloadType returns PayloadID.
func (ID) PayloadType() PayloadType { return PayloadID }

func (p *ID) parse(b []byte) *ParseError {
	if len(b) < 4 {
		return syntaxError(PayloadID, len(b), "identity is cut short")
	}
	p.Type, p.Protocol, p.Port = IDType(b[0]), b[1], binary.BigEndian.Uint16(b[2:])
	if len(b) > 4 {
		p.Data = b[4:]
	}
	if f := p.fault(); f != "" {
		return syntaxError(PayloadID, 4, f)
	}
	return nil
}

func (p *ID) fault() string {
	n, ok := len(p.Data), true
	switch p.Type {
	case IDIPv4Addr:
		ok = n == 4
	case IDIPv4AddrSubnet, IDIPv4AddrRange:
		ok = n == 8
	case IDIPv6Addr:
		ok = n == 16
	case IDIPv6AddrSubnet, IDIPv6AddrRange:
		ok = n == 32
	case IDFQDN, IDUserFQDN, IDDERASN1DN, IDDERASN1GN, IDKeyID:
		ok = n > 0
	}
	if !ok {
		return p.Type.String() + " of " + strconv.Itoa(n) + " octets"
	}
	return ""
}

func (p *ID) is4() bool {
	return p.Type == IDIPv4Addr || p.Type == IDIPv4AddrSubnet || p.Type == IDIPv4AddrRange
}

func (p *ID) addr(off int) netip.Addr {
	if p.is4() {
		return netip.AddrFrom4([4]byte(p.Data[off:]))
	}
	return netip.AddrFrom16([16]byte(p.Data[off:]))
}

// Addr returns the address of an ID_IPV4_ADDR or ID_IPV6_ADDR, else the zero
// Addr.
func (p *ID) Addr() netip.Addr {
	if p.Type != IDIPv4Addr && p.Type != IDIPv6Addr || p.fault() != "" {
		return netip.Addr{}
	}
	return p.addr(0)
}

// Prefix returns the subnet of an ID_IPV4_ADDR_SUBNET or ID_IPV6_ADDR_SUBNET
// with its host bits, or a single address as a prefix. It is an error if the
// identity is something else or its mask has a hole.
func (p *ID) Prefix() (netip.Prefix, error) {
	if a := p.Addr(); a.IsValid() {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	if p.Type != IDIPv4AddrSubnet && p.Type != IDIPv6AddrSubnet || p.fault() != "" {
		return netip.Prefix{}, syntaxError(PayloadID, 0, p.Type.String()+" is no subnet")
	}
	half := len(p.Data) / 2
	n, ok := maskBits(p.Data[half:])
	if !ok {
		return netip.Prefix{}, syntaxError(PayloadID, 4+half, "netmask with a hole")
	}
	return netip.PrefixFrom(p.addr(0), n), nil
}

// Range returns the first and last address of any identity that is an address,
// a subnet or a range. It is an error if the identity is something else, if
// its mask has a hole, or if the range is reversed.
func (p *ID) Range() (first, last netip.Addr, err error) {
	if (p.Type == IDIPv4AddrRange || p.Type == IDIPv6AddrRange) && p.fault() == "" {
		first, last = p.addr(0), p.addr(len(p.Data)/2)
		if last.Less(first) {
			return netip.Addr{}, netip.Addr{}, syntaxError(PayloadID, 4, "range is reversed")
		}
		return first, last, nil
	}
	px, err := p.Prefix()
	if err != nil {
		return netip.Addr{}, netip.Addr{}, err
	}
	ts := spd.FromPrefix(px)
	return ts.First, ts.Last, nil
}

// TrafficSelector returns an identity of Quick Mode as a traffic selector: its
// addresses, protocol and port (0 is any). It is an error if the identity has
// no addresses, or if they and the port are no valid selector: a port without
// a protocol, an IPv4-mapped IPv6 address.
func (p *ID) TrafficSelector() (spd.TrafficSelector, error) {
	first, last, err := p.Range()
	if err != nil {
		return spd.TrafficSelector{}, err
	}
	ts := spd.TrafficSelector{First: first, Last: last, Ports: spd.AnyPort, Protocol: p.Protocol}
	if p.Port != 0 {
		ts.Ports = spd.PortRange{First: p.Port, Last: p.Port}
	}
	if ts.Valid() != nil {
		return spd.TrafficSelector{}, syntaxError(PayloadID, 1, "port without a protocol, or IPv4-mapped address")
	}
	return ts, nil
}

// NewAddrID returns an ID_IPV4_ADDR or ID_IPV6_ADDR.
func NewAddrID(a netip.Addr) ID {
	p := ID{Type: IDIPv6Addr, Data: a.AsSlice()}
	if a.Is4() {
		p.Type = IDIPv4Addr
	}
	return p
}

// NewSelectorID returns the identity of Quick Mode that says ts: an address, a
// subnet, or else a range, with ts's protocol. ok is false if no identity can
// say it, because ts is not valid or has more than one port but not all.
func NewSelectorID(ts spd.TrafficSelector) (p ID, ok bool) {
	if ts.Valid() != nil {
		return ID{}, false
	}
	v4 := ts.First.Is4()
	if px, isPrefix := ts.Prefix(); ts.IsHost() {
		p = NewAddrID(ts.First)
	} else if isPrefix {
		p.Type = IDIPv6AddrSubnet
		if v4 {
			p.Type = IDIPv4AddrSubnet
		}
		p.Data = appendMask(px.Addr().AsSlice(), px.Bits(), px.Addr().BitLen())
	} else {
		p.Type = IDIPv6AddrRange
		if v4 {
			p.Type = IDIPv4AddrRange
		}
		p.Data = append(ts.First.AsSlice(), ts.Last.AsSlice()...)
	}
	p.Protocol = ts.Protocol
	switch {
	case ts.Ports == spd.AnyPort:
	case ts.Ports.First == ts.Ports.Last && ts.Ports.First != 0:
		p.Port = ts.Ports.First
	default:
		return ID{}, false
	}
	return p, true
}

// maskBits returns the length of a netmask of 4 or 16 octets. ok is false if
// it has a hole.
func maskBits(m []byte) (n int, ok bool) {
	for i, c := range m {
		if c == 0xff {
			n += 8
			continue
		}
		ones := bits.LeadingZeros8(^c)
		if c<<ones != 0 {
			return 0, false
		}
		for _, c := range m[i+1:] {
			if c != 0 {
				return 0, false
			}
		}
		return n + ones, true
	}
	return n, true
}

// appendMask appends a netmask of n ones in size bits.
func appendMask(dst []byte, n, size int) []byte {
	for ; size > 0; n, size = n-8, size-8 {
		dst = append(dst, ^byte(0xff>>min(max(n, 0), 8)))
	}
	return dst
}

// AppendBody appends the payload without its generic header: IDii_b of RFC
// 2409.
func (p ID) AppendBody(dst []byte) []byte {
	dst = append(dst, byte(p.Type), p.Protocol, byte(p.Port>>8), byte(p.Port))
	return append(dst, p.Data...)
}

// String returns the payload as a trace shows it, the identity quoted.
func (p ID) String() string { return string(p.appendText(nil)) }

func (p ID) appendText(b []byte) []byte {
	b = append(b, "ID("...)
	b = append(append(b, p.Type.String()...), ' ')
	b = p.appendData(b)
	if p.Protocol != 0 || p.Port != 0 {
		b = strconv.AppendUint(append(b, " proto "...), uint64(p.Protocol), 10)
	}
	if p.Port != 0 {
		b = strconv.AppendUint(append(b, " port "...), uint64(p.Port), 10)
	}
	return append(b, ')')
}

func (p *ID) appendData(b []byte) []byte {
	switch p.Type {
	case IDIPv4Addr, IDIPv6Addr:
		if a := p.Addr(); a.IsValid() {
			return a.AppendTo(b)
		}
	case IDIPv4AddrSubnet, IDIPv6AddrSubnet:
		if px, err := p.Prefix(); err == nil {
			return px.AppendTo(b)
		}
		fallthrough
	case IDIPv4AddrRange, IDIPv6AddrRange:
		if p.fault() == "" {
			sep := byte('-')
			if p.Type == IDIPv4AddrSubnet || p.Type == IDIPv6AddrSubnet {
				sep = '/'
			}
			return p.addr(len(p.Data) / 2).AppendTo(append(p.addr(0).AppendTo(b), sep))
		}
	case IDFQDN, IDUserFQDN:
		return trace.AppendQuoted(b, p.Data)
	case IDDERASN1DN:
		return appendDN(b, p.Data)
	case IDKeyID:
		if trace.Printable(p.Data) {
			return trace.AppendQuoted(b, p.Data)
		}
	}
	return trace.AppendHex(b, p.Data)
}
