package ike

import (
	"time"

	"github.com/racoon3/racoon/spd"
)

// A ChildConfig is the configuration of a Child SA.
type ChildConfig struct {
	Name string

	// Local and Remote are the traffic selectors. With Dynamic set the side's
	// address is filled in when the session is up: the address leased by or
	// to the peer, else the outer address.
	Local, Remote               []spd.TrafficSelector
	LocalDynamic, RemoteDynamic bool

	Proposals []spd.Proposal // ESP or AH; a KE transform means PFS
	Mode      spd.Mode
	IPComp    bool // offer and accept IPComp (DEFLATE)
	// Outer is AH around ESP, which IKEv1 alone can negotiate (RFC 2407 4.3);
	// nil for none.
	Outer []spd.Proposal

	ReplayWindow int // packets; 0 is the data plane's default
	Options      spd.Options
	ReqID        uint32 // 0: chosen by the core

	Rekey    time.Duration // soft lifetime, default 1 h; negative: never
	Lifetime time.Duration // hard lifetime, default Rekey + 10 %, or in IKEv1, where it is offered, Rekey
	Jitter   float64       // default 0.1
	Volume   spd.Lifetime  // volume limits; HardTime is filled in

	// Priority of the policies, lower is looked up first; 0 is derived from
	// the selectors.
	Priority uint32
	// NoPolicies leaves policies to somebody else (route-based operation).
	NoPolicies bool
}
