package spd

import "net/netip"

// A TrafficSelector names one side of a flow: an address range, a port range
// and an upper-layer protocol (RFC 7296 3.13.1, RFC 4301 4.4.1.1). The zero
// value is not valid; AnyIPv4 and AnyIPv6 match everything of a family.
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
// non-first fragment (RFC 7296 3.13.1).
type PortRange struct{ First, Last uint16 }

// AnyPort and OpaquePort are the two special port ranges.
var (
	AnyPort    = PortRange{0, 65535}
	OpaquePort = PortRange{65535, 0}
)

// A Selector is the pair of traffic selectors of a policy, seen from this
// host: Local is the side whose packets this host sends or forwards out,
// Remote the peer's.
type Selector struct{ Local, Remote TrafficSelector }
