package ike

import (
	"context"

	"github.com/racoon3/racoon/spd"
)

// AuthorizeRequest holds the facts about a peer that has just proved its
// identity, before its session is established.
type AuthorizeRequest struct {
	Session        SessionID
	Peer           string // the configured peer that was chosen
	Initiator      bool   // this side began
	Path           Path
	LocalID        Identity
	RemoteID       Identity
	Method         string   // authentication method of the peer
	Certificates   [][]byte // DER, leaf first, as verified; empty for a pre-shared key
	InitialContact bool     // the peer says it has no other SA with us
	Replaces       SessionID
	Proposal       spd.Proposal // negotiated IKE algorithms
	Why            string       // why this configured peer was chosen, for the log
}

// Authorize decides about a peer. An error refuses it: the peer is told
// AUTHENTICATION_FAILED, the error goes to the events and the log of this
// side.
type Authorize func(ctx context.Context, r AuthorizeRequest) error

// NarrowRequest holds the facts about a Child SA that the peer asks for.
type NarrowRequest struct {
	Session           SessionID
	Peer, Child       string
	LocalID, RemoteID Identity
	Mode              spd.Mode
	// OfferedLocal and OfferedRemote are the peer's proposal; Local and Remote
	// what the configuration makes of it.
	OfferedLocal, OfferedRemote []spd.TrafficSelector
	Local, Remote               []spd.TrafficSelector
}

// Narrow decides about the selectors of a Child SA that the peer asks for. It
// returns subsets of the offered selectors; an empty one or an error refuses
// the Child SA (TS_UNACCEPTABLE).
type Narrow func(ctx context.Context, r NarrowRequest) (local, remote []spd.TrafficSelector, err error)
