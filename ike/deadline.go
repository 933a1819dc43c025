package ike

import "time"

// A Deadline is when a core does something by itself for a session, if nothing
// happens before.
type Deadline struct {
	At    time.Time
	What  DeadlineKind
	Child ChildID // that it concerns; 0: the session or its IKE SA
}

// DeadlineKind is what is done.
type DeadlineKind uint8

// Kinds of deadlines.
const (
	DeadlineRekey      DeadlineKind = iota // soft lifetime of an IKE SA or a Child SA
	DeadlineExpire                         // hard lifetime
	DeadlineReauth                         // the identities are to be proved anew
	DeadlineRetransmit                     // a request is sent again
	DeadlineLiveness                       // the peer is asked for a sign of life
	DeadlineKeepalive                      // a NAT is shown that the mapping is in use
	DeadlineRemove                         // a replaced Child SA goes
)

func (k DeadlineKind) String() string {
	names := [...]string{"rekey", "expire", "reauthenticate", "retransmit", "liveness", "keepalive", "remove"}
	if int(k) < len(names) {
		return names[k]
	}
	return "unknown"
}
