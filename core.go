package racoon

import (
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/spd"
)

// core is a protocol core as a worker drives it. It is used by one goroutine
// at a time; see package ike for how it is fed and drained.
type core interface {
	SetPeers(ps *peerSet)

	HandleDatagram(now time.Time, path ike.Path, b []byte)
	HandleKINK(now time.Time, path ike.Path, b []byte)
	HandleTimeout(now time.Time)
	HandleResult(now time.Time, r ike.Result)
	HandleDataPlane(now time.Time, ev spd.Event)

	PollTransmit() (ike.Transmit, bool)
	PollJob() (ike.Job, bool)
	PollEvent() (ike.Event, bool)
	PollTimeout() (time.Time, bool)

	Initiate(now time.Time, in initiation) (ike.SessionID, error)
	CreateChild(now time.Time, s ike.SessionID, child string, acquire spd.AcquireID, packet *spd.Selector) error
	RekeyIKE(now time.Time, s ike.SessionID) error
	RekeyChild(now time.Time, s ike.SessionID, c ike.ChildID) error
	DeleteChild(now time.Time, s ike.SessionID, c ike.ChildID) error
	Reauthenticate(now time.Time, s ike.SessionID) error
	CheckLiveness(now time.Time, s ike.SessionID) error
	Delete(now time.Time, s ike.SessionID, reason ike.DownReason) error
	Forget(now time.Time, s ike.SessionID, reason ike.DownReason) error
	SetPeer(now time.Time, s ike.SessionID, p *peer) error

	Session(s ike.SessionID) (ike.SessionState, bool)
	Stats() ike.CoreStats
}

// initiation is an order to begin a session.
type initiation struct {
	peer     *peer
	version  Version
	path     ike.Path
	natt     ike.Path // where to go on when there is a NAT; zero: stay
	children []string // to negotiate; nil: all
	acquire  spd.AcquireID
	packet   *spd.Selector // the flow that asks
	replaces ike.SessionID
}

// newCore makes the core of one worker.
type newCore func(tag uint8, ps *peerSet) (core, error)
