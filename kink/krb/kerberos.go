package krb

import (
	"context"
	"time"
)

// Kerberos is what a KINK endpoint needs of Kerberos beyond this package's
// messages: tickets, which come from a KDC, and its own keys. The methods with a
// context may wait for a KDC or a file: an endpoint calls them in jobs, never in
// its core. They are safe for concurrent use. Package kink/krb/kdc has an
// implementation; tests have one of their own.
type Kerberos interface {
	// Principal is who we are.
	Principal() Principal
	// KeySource has our keys, as of the last Reload; it does not wait.
	KeySource
	// ServiceTicket returns a ticket for server that is valid at now: a kept
	// one, or else a new one. An error may be a [*KRBError] of the KDC, such as
	// [KDCErrMustUseUser2User].
	ServiceTicket(ctx context.Context, now time.Time, server Principal, o TicketOptions) (*Ticket, error)
	// TGT returns our own TGT, for a KINK_TGT_REP and for accepting the
	// user-to-user tickets that are made with it.
	TGT(ctx context.Context, now time.Time) (*Ticket, error)
	// Reload reads the keytab or credential cache again if it has changed. An
	// endpoint calls it when a ticket has a key version that it does not know.
	Reload(ctx context.Context) error
}

// TicketOptions say which ticket is wanted.
type TicketOptions struct {
	Fresh   bool          // not a kept one, as after APErrTktExpired or a changed key
	AtLeast time.Duration // remaining lifetime of a kept one (RFC 4430 9: longer than a transaction can take)
	// TGT is the peer's TGT, in DER, from a KINK_TGT_REP: a user-to-user ticket
	// is wanted.
	TGT []byte
}
