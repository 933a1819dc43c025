package spd

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// protocolWords are the names of IP protocols in selectors; the first of
// several for one number is the one printed.
var protocolWords = []struct {
	word   string
	number uint8
}{
	{"icmp", 1}, {"igmp", 2}, {"ipip", 4}, {"tcp", 6}, {"udp", 17}, {"dccp", 33}, {"ipv6", 41}, {"gre", 47},
	{"esp", 50}, {"ah", 51}, {"icmp6", 58}, {"ipv6-icmp", 58}, {"icmpv6", 58}, {"ospf", 89}, {"ipcomp", 108},
	{"vrrp", 112}, {"l2tp", 115}, {"sctp", 132}, {"mh", 135}, {"udplite", 136},
}

func protocolName(n uint8) string {
	for _, w := range protocolWords {
		if w.number == n {
			return w.word
		}
	}
	return strconv.Itoa(int(n))
}

// String returns the selector in the form that [ParseTrafficSelector] reads:
// "10.1.0.0/16", "10.0.0.1-10.0.0.9[tcp/80]", "fe80::1[icmp6/128/0]".
func (ts TrafficSelector) String() string {
	if ts.Valid() != nil {
		return fmt.Sprintf("invalid(%v-%v[%d/%d-%d])", ts.First, ts.Last, ts.Protocol, ts.Ports.First, ts.Ports.Last)
	}
	b := make([]byte, 0, 64)
	if p, ok := ts.Prefix(); ok && !ts.IsHost() {
		b = p.AppendTo(b)
	} else {
		b = ts.First.AppendTo(b)
		if !ts.IsHost() {
			b = append(b, '-')
			b = ts.Last.AppendTo(b)
		}
	}
	if ts.Protocol == 0 && ts.Ports == AnyPort {
		return string(b)
	}
	b = append(b, '[')
	if ts.Protocol == 0 {
		b = append(b, "any"...)
	} else {
		b = append(b, protocolName(ts.Protocol)...)
	}
	switch {
	case ts.Ports == AnyPort:
	case ts.Ports == OpaquePort:
		b = append(b, "/opaque"...)
	case hasMessageType(ts.Protocol):
		b = appendMessageTypes(append(b, '/'), ts.Protocol, ts.Ports)
	default:
		b = strconv.AppendUint(append(b, '/'), uint64(ts.Ports.First), 10)
		if ts.Ports.Last != ts.Ports.First {
			b = strconv.AppendUint(append(b, '-'), uint64(ts.Ports.Last), 10)
		}
	}
	return string(append(b, ']'))
}

// appendMessageTypes writes "8" for a type with all its codes, "8/0" for one
// code, and ranges of either. The Mobility Header has no codes: there "5" is
// the type alone.
func appendMessageTypes(b []byte, protocol uint8, r PortRange) []byte {
	allCodes := uint8(255)
	if protocol == protoMH {
		allCodes = 0
	}
	bare := uint8(r.First) == 0 && uint8(r.Last) == allCodes
	one := func(b []byte, v uint16) []byte {
		b = strconv.AppendUint(b, uint64(v>>8), 10)
		if !bare {
			b = strconv.AppendUint(append(b, '/'), uint64(v&255), 10)
		}
		return b
	}
	b = one(b, r.First)
	if same := r.First == r.Last || bare && r.First>>8 == r.Last>>8; !same {
		b = one(append(b, '-'), r.Last)
	}
	return b
}

func (s Selector) String() string { return s.Local.String() + " === " + s.Remote.String() }

// String returns "any", "opaque", "80" or "1024-65535".
func (p PortRange) String() string {
	switch p {
	case AnyPort:
		return "any"
	case OpaquePort:
		return "opaque"
	}
	if p.First == p.Last {
		return strconv.Itoa(int(p.First))
	}
	return fmt.Sprintf("%d-%d", p.First, p.Last)
}

// ParseTrafficSelector reads a traffic selector: an address, a prefix or a
// range of addresses, then optionally a protocol by name or number and its
// ports in brackets:
//
//	10.1.0.0/16
//	10.0.0.1-10.0.0.9
//	2001:db8::/32[tcp/443]
//	192.0.2.7[udp/5000-5100]
//	192.0.2.7[17]
//	192.0.2.0/24[icmp/8]       all codes of type 8
//	192.0.2.0/24[icmp/3/4]     code 4 of type 3
//	2001:db8::1[mh/5]          Mobility Header type 5
//	192.0.2.7[tcp/opaque]      packets whose ports are not visible
//
// Errors wrap [ErrSelector] and name the part that is wrong.
func ParseTrafficSelector(s string) (TrafficSelector, error) {
	fail := func(format string, args ...any) (TrafficSelector, error) {
		return TrafficSelector{}, fmt.Errorf("%w %q: %s", ErrSelector, clip(s), fmt.Sprintf(format, args...))
	}
	addrs, rest, bracket := strings.Cut(s, "[")
	var ts TrafficSelector
	if first, last, isRange := strings.Cut(addrs, "-"); isRange {
		var err error
		if ts.First, err = netip.ParseAddr(first); err != nil {
			return fail("%q is not an IP address", clip(first))
		}
		if ts.Last, err = netip.ParseAddr(last); err != nil {
			return fail("%q is not an IP address", clip(last))
		}
		ts.Ports = AnyPort
	} else if strings.Contains(addrs, "/") {
		p, err := netip.ParsePrefix(addrs)
		if err != nil {
			return fail("%q is not a prefix", clip(addrs))
		}
		if p != p.Masked() {
			return fail("bits are set after the prefix length; write %v for the network or %v for the address", p.Masked(), p.Addr())
		}
		ts = FromPrefix(p)
	} else {
		a, err := netip.ParseAddr(addrs)
		if err != nil {
			return fail("%q is not an IP address, prefix or range", clip(addrs))
		}
		ts = TrafficSelector{First: a, Last: a, Ports: AnyPort}
	}
	if bracket {
		inner, ok := strings.CutSuffix(rest, "]")
		if !ok {
			return fail("missing ]")
		}
		protocol, ports, hasPorts := strings.Cut(inner, "/")
		if ts.Protocol, ok = parseProtocol(protocol); !ok {
			return fail("%q is not an IP protocol name or a number from 1 to 255", clip(protocol))
		}
		if hasPorts {
			if ts.Ports, ok = parsePorts(ts.Protocol, ports); !ok {
				return fail("%q is not a port, a range of ports or \"opaque\"", clip(ports))
			}
		}
	}
	if err := ts.Valid(); err != nil {
		return fail("%s", strings.TrimPrefix(err.Error(), ErrSelector.Error()+": "))
	}
	return ts, nil
}

// MustParseTrafficSelector is ParseTrafficSelector for constants in tests and
// examples; it panics on an error.
func MustParseTrafficSelector(s string) TrafficSelector {
	ts, err := ParseTrafficSelector(s)
	if err != nil {
		panic(err)
	}
	return ts
}

// UnmarshalText implements [encoding.TextUnmarshaler].
func (ts *TrafficSelector) UnmarshalText(b []byte) (err error) {
	*ts, err = ParseTrafficSelector(string(b))
	return err
}

// MarshalText implements [encoding.TextMarshaler]; an invalid selector is an
// error.
func (ts TrafficSelector) MarshalText() ([]byte, error) {
	if err := ts.Valid(); err != nil {
		return nil, err
	}
	return []byte(ts.String()), nil
}

func parseProtocol(s string) (uint8, bool) {
	if s == "any" {
		return 0, true
	}
	for _, w := range protocolWords {
		if w.word == s {
			return w.number, true
		}
	}
	n, err := strconv.ParseUint(s, 10, 8)
	return uint8(n), err == nil && n != 0
}

func parsePorts(protocol uint8, s string) (PortRange, bool) {
	switch s {
	case "any":
		return AnyPort, true
	case "opaque":
		return OpaquePort, true
	}
	first, last, isRange := strings.Cut(s, "-")
	if !isRange {
		last = first
	}
	if !hasMessageType(protocol) {
		f, err1 := strconv.ParseUint(first, 10, 16)
		l, err2 := strconv.ParseUint(last, 10, 16)
		return PortRange{uint16(f), uint16(l)}, err1 == nil && err2 == nil && f <= l
	}
	f, _, ok1 := parseMessageType(protocol, first)
	_, l, ok2 := parseMessageType(protocol, last)
	return PortRange{f, l}, ok1 && ok2 && f <= l
}

// parseMessageType reads "type" or "type/code" and returns the lowest and the
// highest value it stands for.
func parseMessageType(protocol uint8, s string) (low, high uint16, ok bool) {
	t, c, hasCode := strings.Cut(s, "/")
	typ, err := strconv.ParseUint(t, 10, 8)
	if err != nil {
		return 0, 0, false
	}
	if !hasCode {
		low = uint16(typ) << 8
		if protocol == protoMH {
			return low, low, true
		}
		return low, low | 255, true
	}
	code, err := strconv.ParseUint(c, 10, 8)
	if err != nil {
		return 0, 0, false
	}
	low = uint16(typ)<<8 | uint16(code)
	return low, low, true
}

// clip bounds what an error message quotes.
func clip(s string) string {
	if len(s) > 64 {
		return s[:61] + "..."
	}
	return s
}
