package ikev1

import (
	"io"
	"net/netip"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/spd"
)

// Config is what an Endpoint is made of.
type Config struct {
	// Rand is the only source of randomness; it must be a cryptographic one
	// and must not fail: a failing read ends the exchange that needed it.
	Rand io.Reader
	// DataPlane is called from jobs, never by the core itself.
	DataPlane spd.DataPlane
	// Tag is the top octet of all cookies, session, job and Child IDs that this
	// endpoint chooses, so that several endpoints can share sockets.
	Tag uint8
	// Router, shared by those endpoints, finds the one that a datagram is for;
	// nil for an endpoint that is alone.
	Router *Router

	Authorize ike.Authorize // nil: whoever proves a configured identity is welcome
	Narrow    ike.Narrow    // nil: the configuration alone decides

	// Limits: CookieThreshold is the number of half-open responder SAs from
	// which on Aggressive Mode, which costs a key exchange before the peer has
	// shown its address, is not answered.
	Limits ike.Limits
	// Load is shared by the endpoints of a program, so that half-open limits
	// count for all of them; nil makes one for this endpoint.
	Load *ike.Load

	// NATTSocket reports whether a local address is that of a NAT-T socket, where
	// drafts 00 and 01 of NAT traversal have no place; nil: port 4500 is.
	NATTSocket func(local netip.AddrPort) bool

	// VendorIDs are sent in the first message beside those of the protocol.
	VendorIDs [][]byte
	// Trace, if set, is called with each decrypted message. It must return
	// quickly and keep no reference to it.
	Trace func(t ike.TraceRecord)
}
