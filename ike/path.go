package ike

import (
	"fmt"
	"net/netip"
)

// A Path is where a datagram came from or goes to: the local and the remote
// transport address, and for link-local addresses the interface. It is a
// comparable value.
type Path struct {
	Local, Remote netip.AddrPort
	Interface     uint32 // interface index, 0 for any
}

func (p Path) String() string { return fmt.Sprintf("%s-%s", p.Local, p.Remote) }

// A Transmit is one datagram to send. Packet is an IKE message without the
// non-ESP marker: the driver adds it on NAT-T sockets (RFC 3948 2.2). Packet
// is owned by the core and may be sent again; the driver must not modify it.
type Transmit struct {
	Path      Path
	Packet    []byte
	Keepalive bool // a one-octet NAT keepalive (RFC 3948 2.3), not an IKE message; Packet is the octet 0xff
}
