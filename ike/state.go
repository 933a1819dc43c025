package ike

import (
	"time"

	"github.com/racoon3/racoon/spd"
)

// SessionState is a snapshot of a session.
type SessionState struct {
	ID          SessionID
	Peer        string // "" while not known
	Path        Path
	Up          bool
	State       string // of the IKE SA
	Info        SessionInfo
	Established time.Time
	LastAlive   time.Time // last authenticated message, or packet seen by a liveness check
	Exchanges   uint64    // requests and responses, over all IKE SAs of the session
	Children    []ChildState
	Deadlines   []Deadline // in no order
}

// ChildState is a snapshot of a Child SA. FormerIn and FormerOut are what its
// predecessors have counted until they were rekeyed; what the present one has
// counted, the data plane tells for InSA and OutSA.
type ChildState struct {
	ChildInfo
	State               string
	FormerIn, FormerOut spd.Counters
	InSA, OutSA         []spd.SAID
}

// CoreStats are the counters of a protocol core.
type CoreStats struct {
	Sessions, HalfOpen, Children, Timers, Jobs int // now

	Received      uint64 // datagrams
	Sent          uint64
	Retransmitted uint64 // requests sent again
	Repeated      uint64 // responses sent again for a repeated request
	Malformed     uint64 // dropped: syntax
	UnknownSPI    uint64 // dropped: no such IKE SA
	BadIntegrity  uint64 // dropped: integrity check failed
	Unprotected   uint64 // dropped: in clear although keys exist
	Unexpected    uint64 // dropped: message ID or exchange not expected
	Limited       uint64 // dropped or refused: a limit was reached
	CookiesSent   uint64
	CookiesBad    uint64
	Established   uint64
	Failed        uint64
	LostEvents    uint64
}

// Add returns the sums of both.
func (s CoreStats) Add(o CoreStats) CoreStats {
	s.Sessions += o.Sessions
	s.HalfOpen += o.HalfOpen
	s.Children += o.Children
	s.Timers += o.Timers
	s.Jobs += o.Jobs
	s.Received += o.Received
	s.Sent += o.Sent
	s.Retransmitted += o.Retransmitted
	s.Repeated += o.Repeated
	s.Malformed += o.Malformed
	s.UnknownSPI += o.UnknownSPI
	s.BadIntegrity += o.BadIntegrity
	s.Unprotected += o.Unprotected
	s.Unexpected += o.Unexpected
	s.Limited += o.Limited
	s.CookiesSent += o.CookiesSent
	s.CookiesBad += o.CookiesBad
	s.Established += o.Established
	s.Failed += o.Failed
	s.LostEvents += o.LostEvents
	return s
}
