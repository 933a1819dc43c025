package ike

import (
	"context"
	"net/netip"
	"time"

	"github.com/racoon3/racoon/spd"
)

// UserAccounting is told about the sessions of users, RADIUS accounting for
// instance (RFC 2866). A [UserAuthenticator] that implements it is asked;
// others are left in peace.
//
// It is called from jobs, in order for each session. An error is a warning in
// the events; the session goes on.
type UserAccounting interface {
	Account(ctx context.Context, r AccountingRecord) error
}

// AccountingKind says what an [AccountingRecord] is about.
type AccountingKind uint8

// Kinds of records.
const (
	AccountingStart   AccountingKind = iota // the session is up, the addresses are known
	AccountingInterim                       // every UserAccepted.Interim
	AccountingStop                          // the session is over; the counters are final
)

func (k AccountingKind) String() string {
	switch k {
	case AccountingStart:
		return "start"
	case AccountingInterim:
		return "interim"
	case AccountingStop:
		return "stop"
	}
	return "unknown"
}

// AccountingRecord is what is known of a user's session.
type AccountingRecord struct {
	Kind      AccountingKind
	Time      time.Time
	Session   SessionID // the same in all records of a session
	Peer      string
	Path      Path
	RemoteID  Identity
	User      string
	Class     [][]byte     // of UserAccepted
	Addresses []netip.Addr // inner ones

	// Of interim and stop records:
	Duration time.Duration
	In, Out  spd.Counters // In is what came from the user; sums over all Child SAs, rekeys included
	Reason   DownReason   // of a stop record
}
