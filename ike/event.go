package ike

import (
	"time"

	"github.com/racoon3/racoon/spd"
)

// A SessionID identifies a session within a core and, because cores number
// their sessions apart, within a Manager. It stays the same through IKE SA
// rekeys. It is never 0 and never used twice.
type SessionID uint64

// A ChildID identifies a Child SA and its successors through rekeys.
type ChildID uint64

// An Event is a fact that a core reports: one of the event types of this
// package. Events are values; they share no memory with the core.
type Event interface{ Header() EventHeader }

// EventHeader is what all events have.
type EventHeader struct {
	Time    time.Time
	Session SessionID
	Peer    string // name of the configured peer, "" while it is not yet known
	Path    Path
}

// Header implements Event.
func (h EventHeader) Header() EventHeader { return h }

// SessionUp: a session was established: both sides are authenticated.
type SessionUp struct {
	EventHeader
	Info SessionInfo
}

// SessionInfo describes an established session.
type SessionInfo struct {
	Initiator     bool
	LocalID       Identity
	RemoteID      Identity
	LocalSPI      uint64 // IKE SPI or cookie
	RemoteSPI     uint64
	Proposal      spd.Proposal // negotiated IKE algorithms
	LocalNAT      bool         // this host is behind a NAT
	RemoteNAT     bool         // the peer is
	Fragmentation bool         // IKE fragmentation was negotiated (RFC 7383)
	User          string       // who logged in through XAuth, or ""
	Groups        []string     // of the user, as the UserAuthenticator says
	Vendors       []string     // what an IKEv1 peer's vendor IDs name, at most 16
	// Addresses leased to the peer (gateway) or assigned by it (client), with
	// the rest of the configuration payload.
	Config *NetworkConfig
	Why    string // why this configured peer was chosen, for the log; may be ""
}

// AddressAssigned: a client has got its network configuration after SessionUp,
// or another one: in IKEv1 a client asks its gateway when it likes.
type AddressAssigned struct {
	EventHeader
	Config *NetworkConfig
}

// SessionFailed: a session did not come up. Err explains: what was offered,
// what was wanted, what did not fit.
type SessionFailed struct {
	EventHeader
	Initiator bool
	Err       error
}

// SessionDown: an established session ended. Err is nil for an orderly delete
// that this side asked for.
type SessionDown struct {
	EventHeader
	Reason DownReason
	Err    error
	// Successor is the session that replaces this one (reauthentication), or 0.
	Successor SessionID
}

// DownReason says why a session or a Child SA ended.
type DownReason uint8

// Reasons.
const (
	DownLocal        DownReason = iota // asked for by this side
	DownRemote                         // deleted by the peer
	DownDead                           // the peer does not answer (liveness, retransmission limit)
	DownExpired                        // hard lifetime
	DownReplaced                       // unique identity policy, INITIAL_CONTACT, or a redundant SA of a collision
	DownReauth                         // replaced by reauthentication
	DownFailed                         // protocol or installation error
	DownConfig                         // removed by a reload
	DownShutdown                       // the program shuts down
	downReasonsCount                   // not a reason
)

var downNames = [downReasonsCount]string{"local", "remote", "dead peer", "expired", "replaced", "reauthenticated", "failed", "configuration", "shutdown"}

func (r DownReason) String() string {
	if r < downReasonsCount {
		return downNames[r]
	}
	return "unknown"
}

// SessionRekeyed: the IKE SA has new keys and SPIs; the session goes on.
type SessionRekeyed struct {
	EventHeader
	Initiator           bool // of the rekey
	LocalSPI, RemoteSPI uint64
	Proposal            spd.Proposal
}

// InitialContact: the peer says, after its session was established, that it
// knows of no other one with this side (IKEv1: INITIAL-CONTACT in a message of
// its own). Those of the core have ended by then; the driver ends the others.
type InitialContact struct{ EventHeader }

// SessionMoved: the peer's address has changed (NAT mapping, MOBIKE).
type SessionMoved struct {
	EventHeader
	Old Path
}

// ChildUp: a Child SA was installed in both directions as far as its role
// allows.
type ChildUp struct {
	EventHeader
	Child ChildInfo
}

// ChildRekeyed: a Child SA has a successor with new keys.
type ChildRekeyed struct {
	EventHeader
	Child     ChildInfo // the new one, same ID
	Old       ChildSPIs
	Initiator bool // this side began the rekey
}

// ChildDown: a Child SA is gone, with its final counters (summed over its
// rekeys).
type ChildDown struct {
	EventHeader
	Child  ChildInfo
	Reason DownReason
	Err    error
	In     spd.Counters
	Out    spd.Counters
	// SessionEnds: the session ends with it; SessionDown follows.
	SessionEnds bool
}

// ChildFailed: a Child SA could not be negotiated or installed; the session
// goes on.
type ChildFailed struct {
	EventHeader
	Name      string // configured Child, if known
	Initiator bool
	Err       error
}

// ChildSPIs are a Child SA's SPIs.
type ChildSPIs struct{ In, Out spd.SPI }

// ChildInfo describes a Child SA.
type ChildInfo struct {
	ID       ChildID
	Name     string // configured Child
	Protocol spd.Protocol
	ChildSPIs
	ReqID     uint32
	Mode      spd.Mode
	LocalTS   []spd.TrafficSelector
	RemoteTS  []spd.TrafficSelector
	Proposal  spd.Proposal
	IPComp    bool
	UDPEncap  bool
	Installed time.Time
	Why       string // why this configured Child was chosen, for the log; may be ""
}

// PeerNotify: the peer sent a notify that changes nothing here but may
// interest the program (status types, private types).
type PeerNotify struct {
	EventHeader
	Type uint16
	Data []byte
	Text string // what it says, as a trace shows it, if that is known
}

// PeerAlive: a peer that was asked whether it is there has answered. KINK alone
// tells it, where no session is needed for the question (STATUS, RFC 4430 3.7);
// without one, EventHeader.Session is of no session that has been told or will be.
type PeerAlive struct{ EventHeader }

// ReauthNeeded: a session is to be reauthenticated make-before-break: its
// driver initiates a new one with Initiation.Replaces, and the old one is
// deleted when the new one is up.
type ReauthNeeded struct{ EventHeader }

// RekeyFailed: a rekey that this side began was refused or failed. The SA lives
// on, and the rekey is tried again while its lifetime lasts.
type RekeyFailed struct {
	EventHeader
	Child ChildID // 0: the IKE SA
	Name  string  // configured Child
	Err   error
}

// Warning: something that an operator should look at and that did not end
// anything: a weak algorithm accepted, a peer that breaks a rule.
type Warning struct {
	EventHeader
	Err error
}
