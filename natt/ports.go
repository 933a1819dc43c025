package natt

import (
	"net/netip"
	"time"
)

// The UDP ports.
const (
	PortIKE  = 500  // IKE without marker
	PortNATT = 4500 // IKE with marker, and ESP
)

const (
	// KeepaliveInterval is how long a side behind a NAT may be silent before it sends a keepalive, unless
	// configured otherwise (RFC 3948 4, the default of M).
	KeepaliveInterval = 20 * time.Second
	// KeepaliveLinger is how long keepalives may go on after the last SA (RFC 3948 4, the default of N).
	KeepaliveLinger = 5 * time.Minute
)

// Float returns the addresses on which an initiator goes on after it has found a NAT: port 500 becomes 4500 on either side
// (RFC 7296 2.23, RFC 3947 4). Other ports were chosen by someone and stay; on 4500 nothing changes, and a
// responder never floats by itself: it answers to where a valid message came from.
func Float(local, remote netip.AddrPort) (netip.AddrPort, netip.AddrPort) {
	return float(local), float(remote)
}

func float(a netip.AddrPort) netip.AddrPort {
	if a.Port() != PortIKE {
		return a
	}
	return netip.AddrPortFrom(a.Addr(), PortNATT)
}
