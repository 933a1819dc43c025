package spd

import (
	"fmt"
	"net/netip"
)

// A Flow is what policies and SAs are chosen by: the addresses of one packet
// and what follows them. Addresses are IPv4 or IPv6, not IPv4-mapped.
//
// For ICMP, ICMPv6 and the Mobility Header SrcPort holds type and code, packed
// as in a [TrafficSelector], and DstPort is not looked at: such a packet has
// one value, which counts for the side that sends it (RFC 4301 4.4.1.3).
type Flow struct {
	Src, Dst         netip.Addr
	SrcPort, DstPort uint16
	Protocol         uint8
	Opaque           bool   // the ports are not visible: non-first fragment, or an encrypted payload
	Mark             uint32 // the packet's mark
	InterfaceID      uint32 // the XFRM interface it came from
}

// Reverse returns the flow of the answer. ICMP keeps its type.
func (f Flow) Reverse() Flow {
	f.Src, f.Dst = f.Dst, f.Src
	if !hasMessageType(f.Protocol) {
		f.SrcPort, f.DstPort = f.DstPort, f.SrcPort
	}
	return f
}

// Selector returns the selector of just this flow, as seen from this host: an
// outbound flow's source is Local, that of others Remote. It is what an
// [AcquireEvent] tells and what the first traffic selectors of an initiator's
// offer say (RFC 7296 2.9).
func (f *Flow) Selector(d Direction) Selector {
	src, dst := PortRange{f.SrcPort, f.SrcPort}, PortRange{f.DstPort, f.DstPort}
	switch {
	case f.Opaque:
		src, dst = OpaquePort, OpaquePort
	case f.Protocol == 0 || !hasPorts(f.Protocol):
		src, dst = AnyPort, AnyPort
	case hasMessageType(f.Protocol):
		dst = src
	}
	s := Selector{Local: FromAddr(f.Src).WithProtocol(f.Protocol, src), Remote: FromAddr(f.Dst).WithProtocol(f.Protocol, dst)}
	if d != Out {
		return s.Reverse()
	}
	return s
}

// hasPorts reports whether packets of protocol p have ports or what stands
// in for them.
func hasPorts(p uint8) bool {
	switch p {
	case 6, 17, 33, 132, 136: // TCP, UDP, DCCP, SCTP, UDP-Lite
		return true
	}
	return hasMessageType(p)
}

// Matches reports whether the flow belongs to the selector.
func (f *Flow) Matches(d Direction, s *Selector) bool {
	src, dst := &s.Remote, &s.Local
	if d == Out {
		src, dst = dst, src
	}
	return f.sourceIn(src) && f.destIn(dst)
}

// Within reports whether the flow has one side in each of two sets of traffic
// selectors, as the packets of a Child SA must (RFC 4301 5.2).
func (f *Flow) Within(d Direction, local, remote []TrafficSelector) bool {
	src, dst := remote, local
	if d == Out {
		src, dst = dst, src
	}
	for i := range src {
		if f.sourceIn(&src[i]) {
			for j := range dst {
				if f.destIn(&dst[j]) {
					return true
				}
			}
			return false
		}
	}
	return false
}

func (f *Flow) sourceIn(ts *TrafficSelector) bool {
	return (ts.Protocol == 0 || ts.Protocol == f.Protocol) && ts.Ports.Has(f.SrcPort, f.Opaque) && ts.ContainsAddr(f.Src)
}

func (f *Flow) destIn(ts *TrafficSelector) bool {
	return (ts.Protocol == 0 || ts.Protocol == f.Protocol) &&
		(hasMessageType(f.Protocol) || ts.Ports.Has(f.DstPort, f.Opaque)) && ts.ContainsAddr(f.Dst)
}

// String returns "tcp 10.0.0.1:1234 > 10.0.0.2:80".
func (f Flow) String() string {
	switch {
	case f.Opaque:
		return fmt.Sprintf("%s %v > %v (ports not visible)", protocolName(f.Protocol), f.Src, f.Dst)
	case hasMessageType(f.Protocol):
		return fmt.Sprintf("%s %v > %v type %d code %d", protocolName(f.Protocol), f.Src, f.Dst, f.SrcPort>>8, f.SrcPort&255)
	case !hasPorts(f.Protocol):
		return fmt.Sprintf("%s %v > %v", protocolName(f.Protocol), f.Src, f.Dst)
	}
	return fmt.Sprintf("%s %v > %v", protocolName(f.Protocol), netip.AddrPortFrom(f.Src, f.SrcPort), netip.AddrPortFrom(f.Dst, f.DstPort))
}
