package ikev2

import (
	"io"

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
	// Tag is the top octet of all SPIs and session IDs that this endpoint
	// chooses, so that several endpoints can share sockets: Route tells which
	// one a datagram belongs to.
	Tag uint8

	Authorize ike.Authorize // nil: whoever proves a configured identity is welcome
	Narrow    ike.Narrow    // nil: the configuration alone decides

	Limits ike.Limits
	// Load is shared by the endpoints of a program, so that half-open limits
	// count for all of them; nil makes one for this endpoint.
	Load *ike.Load

	// VendorIDs are sent in IKE_SA_INIT.
	VendorIDs [][]byte
	// Trace, if set, is called with each decrypted message. It must return
	// quickly and keep no reference to m.
	Trace func(t ike.TraceRecord)
}
