package spd

import (
	"errors"
	"fmt"
	"iter"
	"net/netip"
)

// A TrafficSelector names one side of a flow: an address range, a port range
// and an upper-layer protocol (RFC 7296 3.13.1, RFC 4301 4.4.1.1). The zero
// value is not valid; AnyIPv4 and AnyIPv6 match everything of a family.
// Values are comparable with ==.
//
// For ICMP, ICMPv6 and the Mobility Header the port fields carry the message
// type and code as RFC 7296 3.13.1 packs them: type in the high octet, code
// in the low one (the MH type in the high octet).
type TrafficSelector struct {
	First, Last netip.Addr // inclusive, same family, First <= Last
	Ports       PortRange
	Protocol    uint8 // IP protocol number, 0 for any
}

// A PortRange is an inclusive range of ports (or ICMP type/code values).
// {0, 65535} is ANY; {65535, 0} is OPAQUE: the ports are not visible, as in a
// non-first fragment (RFC 7296 3.13.1). ANY includes OPAQUE, every other
// range excludes it.
type PortRange struct{ First, Last uint16 }

// AnyPort and OpaquePort are the two special port ranges.
var (
	AnyPort    = PortRange{0, 65535}
	OpaquePort = PortRange{65535, 0}
)

// AnyIPv4 and AnyIPv6 select all traffic of their family.
var (
	AnyIPv4 = FromPrefix(netip.MustParsePrefix("0.0.0.0/0"))
	AnyIPv6 = FromPrefix(netip.MustParsePrefix("::/0"))
)

// A Selector is the pair of traffic selectors of a policy, seen from this
// host: Local is the side whose packets this host sends or forwards out,
// Remote the peer's.
type Selector struct{ Local, Remote TrafficSelector }

// IP protocol numbers whose port fields have a meaning of their own.
const (
	protoICMP   = 1
	protoICMPv6 = 58
	protoMH     = 135 // IPv6 Mobility Header
)

// hasMessageType reports whether the port fields of protocol p hold a message
// type and code instead of ports (RFC 4301 4.4.1.3).
func hasMessageType(p uint8) bool {
	return p == protoICMP || p == protoICMPv6 || p == protoMH
}

// ErrSelector is what all errors about traffic selectors wrap.
var ErrSelector = errors.New("spd: invalid traffic selector")

// FromPrefix returns the selector of all traffic of p; host bits are ignored.
// An invalid or IPv4-mapped prefix gives an invalid selector.
func FromPrefix(p netip.Prefix) TrafficSelector {
	if !p.IsValid() || p.Addr().Is4In6() {
		return TrafficSelector{Ports: AnyPort}
	}
	is4 := p.Addr().Is4()
	host := p.Addr().BitLen() - p.Bits()
	a := toAddr128(p.Addr())
	return TrafficSelector{First: a.firstOfBlock(host).addr(is4), Last: a.lastOfBlock(host).addr(is4), Ports: AnyPort}
}

// FromAddr returns the selector of all traffic of one address. An
// IPv4-mapped IPv6 address counts as IPv4; a zone is dropped.
func FromAddr(a netip.Addr) TrafficSelector {
	a = a.Unmap().WithZone("")
	return TrafficSelector{First: a, Last: a, Ports: AnyPort}
}

// FromRange returns the selector of all traffic of the addresses first to
// last, both included. Valid tells whether they are in order.
func FromRange(first, last netip.Addr) TrafficSelector {
	return TrafficSelector{First: first, Last: last, Ports: AnyPort}
}

// WithProtocol returns ts for one IP protocol and a port range.
func (ts TrafficSelector) WithProtocol(protocol uint8, ports PortRange) TrafficSelector {
	ts.Protocol, ts.Ports = protocol, ports
	return ts
}

// Valid returns nil if ts is well formed, else an error that wraps
// [ErrSelector] and says what is wrong.
func (ts TrafficSelector) Valid() error {
	switch {
	case !ts.First.IsValid() || !ts.Last.IsValid():
		return fmt.Errorf("%w: no address", ErrSelector)
	case ts.First.Is4In6() || ts.Last.Is4In6():
		return fmt.Errorf("%w: IPv4-mapped IPv6 address", ErrSelector)
	case ts.First.Is4() != ts.Last.Is4():
		return fmt.Errorf("%w: %v and %v are of different families", ErrSelector, ts.First, ts.Last)
	case ts.First.Zone() != "" || ts.Last.Zone() != "":
		return fmt.Errorf("%w: address with a zone", ErrSelector)
	case ts.Last.Less(ts.First):
		return fmt.Errorf("%w: first address %v is above the last, %v", ErrSelector, ts.First, ts.Last)
	case !ts.Ports.valid():
		return fmt.Errorf("%w: first port %d is above the last, %d", ErrSelector, ts.Ports.First, ts.Ports.Last)
	case ts.Protocol == 0 && ts.Ports != AnyPort && ts.Ports != OpaquePort:
		return fmt.Errorf("%w: ports %d-%d without a protocol", ErrSelector, ts.Ports.First, ts.Ports.Last)
	}
	return nil
}

// Valid is nil if both sides are valid and of one family.
func (s Selector) Valid() error {
	if err := s.Local.Valid(); err != nil {
		return fmt.Errorf("local side: %w", err)
	}
	if err := s.Remote.Valid(); err != nil {
		return fmt.Errorf("remote side: %w", err)
	}
	if s.Local.Is4() != s.Remote.Is4() {
		return fmt.Errorf("%w: %v and %v are of different families", ErrSelector, s.Local, s.Remote)
	}
	if !s.Local.pairs(s.Remote) {
		return fmt.Errorf("%w: %v and %v are of different protocols", ErrSelector, s.Local, s.Remote)
	}
	return nil
}

// Is4 reports whether ts selects IPv4 traffic.
func (ts TrafficSelector) Is4() bool { return ts.First.Is4() }

// Is6 reports whether ts selects IPv6 traffic.
func (ts TrafficSelector) Is6() bool { return ts.First.Is6() }

// IsHost reports whether ts selects a single address.
func (ts TrafficSelector) IsHost() bool { return ts.First.IsValid() && ts.First == ts.Last }

// pairs reports whether a packet can have its one side in ts and its other in
// o: same family, and the same protocol unless one says any.
func (ts TrafficSelector) pairs(o TrafficSelector) bool {
	return ts.Is4() == o.Is4() && (ts.Protocol == o.Protocol || ts.Protocol == 0 || o.Protocol == 0)
}

// Contains reports whether all traffic of o is traffic of ts. It is false if
// either is invalid.
func (ts TrafficSelector) Contains(o TrafficSelector) bool {
	return ts.First.Is4() == o.First.Is4() &&
		(ts.Protocol == 0 || ts.Protocol == o.Protocol) &&
		ts.Ports.Contains(o.Ports) &&
		!o.First.Less(ts.First) && !ts.Last.Less(o.Last) &&
		ts.Valid() == nil && o.Valid() == nil
}

// ContainsAddr reports whether a is in the address range, whatever the ports.
func (ts TrafficSelector) ContainsAddr(a netip.Addr) bool {
	return a.Is4() == ts.First.Is4() && ts.First.IsValid() && a.IsValid() &&
		!a.Less(ts.First) && !ts.Last.Less(a)
}

// Overlaps reports whether some traffic belongs to both.
func (ts TrafficSelector) Overlaps(o TrafficSelector) bool {
	_, ok := ts.Intersect(o)
	return ok
}

// Intersect returns the traffic that belongs to both, and false if there is
// none or either is invalid. The intersection of OPAQUE ports with ANY is
// OPAQUE, with any other range it is empty (RFC 4301 4.4.1.1).
func (ts TrafficSelector) Intersect(o TrafficSelector) (TrafficSelector, bool) {
	if !ts.pairs(o) || ts.Valid() != nil || o.Valid() != nil {
		return TrafficSelector{}, false
	}
	r := ts
	if o.Protocol != 0 {
		r.Protocol = o.Protocol
	}
	var ok bool
	if r.Ports, ok = ts.Ports.intersect(o.Ports); !ok {
		return TrafficSelector{}, false
	}
	if r.First.Less(o.First) {
		r.First = o.First
	}
	if o.Last.Less(r.Last) {
		r.Last = o.Last
	}
	if r.Last.Less(r.First) {
		return TrafficSelector{}, false
	}
	return r, true
}

// Contains reports whether every flow of o is one of s.
func (s Selector) Contains(o Selector) bool {
	return s.Local.Contains(o.Local) && s.Remote.Contains(o.Remote)
}

// Overlaps reports whether some flow belongs to both.
func (s Selector) Overlaps(o Selector) bool {
	return s.Local.Overlaps(o.Local) && s.Remote.Overlaps(o.Remote)
}

// Reverse returns s seen from the peer.
func (s Selector) Reverse() Selector { return Selector{Local: s.Remote, Remote: s.Local} }

func (p PortRange) valid() bool { return p.First <= p.Last || p == OpaquePort }

// Contains reports whether every port of o is one of p. ANY contains OPAQUE.
func (p PortRange) Contains(o PortRange) bool {
	if p == AnyPort || p == o {
		return p.valid() && o.valid()
	}
	return p.First <= o.First && o.First <= o.Last && o.Last <= p.Last
}

// Has reports whether a packet with this port, or one whose ports cannot be
// seen (opaque), is in the range.
func (p PortRange) Has(port uint16, opaque bool) bool {
	if opaque {
		return p == AnyPort || p == OpaquePort
	}
	return p.First <= port && port <= p.Last
}

func (p PortRange) intersect(o PortRange) (PortRange, bool) {
	switch {
	case p == AnyPort || p == o:
		return o, true
	case o == AnyPort:
		return p, true
	case p == OpaquePort || o == OpaquePort:
		return PortRange{}, false
	}
	r := PortRange{max(p.First, o.First), min(p.Last, o.Last)}
	return r, r.First <= r.Last
}

// Prefixes returns the smallest set of prefixes that together are the
// address range, in ascending order: at most 62 of them for IPv4 and 254 for
// IPv6. An invalid selector has none.
func (ts TrafficSelector) Prefixes() iter.Seq[netip.Prefix] {
	return func(yield func(netip.Prefix) bool) {
		if ts.Valid() != nil {
			return
		}
		is4, width := ts.Is4(), ts.First.BitLen()
		last := toAddr128(ts.Last)
		for a := toAddr128(ts.First); ; {
			host := min(a.trailingZeros(), width)
			for last.less(a.lastOfBlock(host)) {
				host--
			}
			if !yield(netip.PrefixFrom(a.addr(is4), width-host)) {
				return
			}
			end := a.lastOfBlock(host)
			if end == last {
				return
			}
			a = end.next()
		}
	}
}

// Prefix returns the address range as one prefix, and false if it is none.
func (ts TrafficSelector) Prefix() (netip.Prefix, bool) {
	for p := range ts.Prefixes() {
		return p, FromPrefix(p).Last == ts.Last
	}
	return netip.Prefix{}, false
}

// SmallestPrefix returns the longest prefix that includes the whole range:
// for data planes that have prefixes only.
func (ts TrafficSelector) SmallestPrefix() netip.Prefix {
	if ts.Valid() != nil {
		return netip.Prefix{}
	}
	width := ts.First.BitLen()
	common := toAddr128(ts.First).commonBits(toAddr128(ts.Last)) - (128 - width)
	p, _ := ts.First.Prefix(min(common, width))
	return p
}
