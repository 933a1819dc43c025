package ike

import (
	"context"
	"net/netip"
)

// An AddressAssigner gives clients their inner addresses and network
// configuration. It is called from jobs, so it may block.
type AddressAssigner interface {
	// Assign leases addresses for a session. An error refuses the address
	// request; the error should say why.
	Assign(ctx context.Context, r AddressRequest) (*NetworkConfig, error)
	// Release ends the leases of a session.
	Release(ctx context.Context, r AddressRequest, assigned *NetworkConfig)
}

// AddressRequest is a client's request for addresses.
type AddressRequest struct {
	Session    SessionID
	Peer       string // configured peer
	RemoteID   Identity
	User       string // EAP or XAuth user name, if any
	Remote     netip.AddrPort
	IPv4, IPv6 bool
	Want       []netip.Addr // addresses the client would like
}
