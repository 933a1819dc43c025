package kink

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/racoon3/racoon/kink/message"
)

// Kerberos is what KINK needs of Kerberos: tickets for the services of peers,
// and the reading of theirs. Package kink/krb has one over a keytab or a
// credential cache and a KDC. It is used by all cores of a program at once.
type Kerberos interface {
	// Principal is who this side is, "kink/host.example.org@REALM": the client
	// of its tickets, and the service that peers have tickets for.
	Principal() string

	// Ticket returns a ticket, from a cache or the KDC. It is called from a job
	// and may take long.
	Ticket(ctx context.Context, now time.Time, r TicketRequest) (Ticket, error)

	// TGT returns the own ticket-granting ticket, DER, for a peer that wants to
	// do user-to-user authentication. It is called from a job.
	TGT(ctx context.Context, now time.Time) ([]byte, error)

	// Accept reads the AP-REQ of a peer and checks all that does not change
	// with time: that the ticket is for this side, that the authenticator is the
	// client's. It does not block. The error is a *[KerberosError] where Kerberos
	// has a code for what is wrong.
	Accept(now time.Time, apReq []byte) (Accepted, error)

	// Replayed reports whether an authenticator has been seen before, and
	// remembers it. It is called when the message is known to be genuine.
	Replayed(now time.Time, a Accepted) bool

	// AppendError appends a KRB-ERROR, DER, to dst; ParseError reads one.
	AppendError(dst []byte, e *KerberosError) ([]byte, error)
	ParseError(krbError []byte) (*KerberosError, error)
}

// A TicketRequest says what a ticket is for.
type TicketRequest struct {
	Service string    // the peer's principal
	Until   time.Time // it has to be valid at least until then
	// Fresh: not from a cache, because the peer did not take the one there.
	Fresh bool
	// TGT is the peer's ticket-granting ticket, DER, for user-to-user
	// authentication; nil otherwise.
	TGT []byte
}

// A Stamp is the time in an authenticator, which names it.
type Stamp struct {
	Seconds int64 // POSIX time
	Micro   int32 // microseconds, 0 to 999,999
}

// StampOf returns the stamp of a time.
func StampOf(t time.Time) Stamp {
	return Stamp{Seconds: t.Unix(), Micro: int32(t.Nanosecond() / 1000)}
}

// Time is the stamp as a time.
func (s Stamp) Time() time.Time { return time.Unix(s.Seconds, int64(s.Micro)*1000) }

// next is the stamp a microsecond later.
func (s Stamp) next() Stamp {
	if s.Micro++; s.Micro == 1_000_000 {
		return Stamp{Seconds: s.Seconds + 1}
	}
	return s
}

func (s Stamp) before(o Stamp) bool {
	return s.Seconds < o.Seconds || s.Seconds == o.Seconds && s.Micro < o.Micro
}

// A Key is the session key of a ticket.
type Key interface {
	message.Key
	// ConfounderLen is how many random octets precede what Seal encrypts.
	ConfounderLen() int
	// AppendPRF appends the pseudo-random function of the key's encryption type
	// over the parts (RFC 3961 3). With compatible, it is that of racoon2's
	// kinkd, whose AES is another one.
	AppendPRF(dst []byte, compatible bool, parts ...[]byte) []byte
	// String names the encryption type.
	String() string
}

// A Ticket is a service ticket with its session key.
type Ticket interface {
	Key() Key
	Client() string
	Server() string
	End() time.Time
	UserToUser() bool
	// AppendRequest appends an AP-REQ, DER, that asks for mutual authentication,
	// with an authenticator of this time.
	AppendRequest(dst []byte, s Stamp, rand io.Reader) ([]byte, error)
	// OpenReply decrypts an AP-REP and returns the time in it: that of the
	// authenticator it answers.
	OpenReply(apRep []byte) (Stamp, error)
}

// Accepted is an AP-REQ that was read.
type Accepted interface {
	Key() Key
	Client() string // principal and realm
	Server() string
	Stamp() Stamp // of the authenticator
	Start() time.Time
	End() time.Time
	UserToUser() bool
	// AppendReply appends the AP-REP, DER.
	AppendReply(dst []byte, rand io.Reader) ([]byte, error)
}

// ErrorCode is an error code of Kerberos (RFC 4120 7.5.9).
type ErrorCode int32

// Codes with a meaning for KINK.
const (
	KDCMustUseUser2User       ErrorCode = 27
	KrbAPErrBadIntegrity      ErrorCode = 31 // the ticket does not decrypt
	KrbAPErrTktExpired        ErrorCode = 32
	KrbAPErrTktNYV            ErrorCode = 33 // not yet valid
	KrbAPErrRepeat            ErrorCode = 34
	KrbAPErrNotUs             ErrorCode = 35
	KrbAPErrBadMatch          ErrorCode = 36 // ticket and authenticator differ
	KrbAPErrSkew              ErrorCode = 37
	KrbAPErrBadVersion        ErrorCode = 39
	KrbAPErrMsgType           ErrorCode = 40
	KrbAPErrModified          ErrorCode = 41
	KrbAPErrBadKeyVer         ErrorCode = 44
	KrbAPErrNoKey             ErrorCode = 45
	KrbAPErrInappCksum        ErrorCode = 50
	KrbErrGeneric             ErrorCode = 60
	KrbAPErrUserToUserRequire ErrorCode = 69
)

var errorNames = map[ErrorCode]string{
	KDCMustUseUser2User:       "KDC_ERR_MUST_USE_USER2USER",
	KrbAPErrBadIntegrity:      "KRB_AP_ERR_BAD_INTEGRITY (the ticket does not decrypt with the service's key)",
	KrbAPErrTktExpired:        "KRB_AP_ERR_TKT_EXPIRED (the ticket has expired)",
	KrbAPErrTktNYV:            "KRB_AP_ERR_TKT_NYV (the ticket is not valid yet)",
	KrbAPErrRepeat:            "KRB_AP_ERR_REPEAT (the request is a replay)",
	KrbAPErrNotUs:             "KRB_AP_ERR_NOT_US (the ticket is for another service)",
	KrbAPErrBadMatch:          "KRB_AP_ERR_BADMATCH (ticket and authenticator do not match)",
	KrbAPErrSkew:              "KRB_AP_ERR_SKEW (the clocks differ by too much)",
	KrbAPErrBadVersion:        "KRB_AP_ERR_BADVERSION",
	KrbAPErrMsgType:           "KRB_AP_ERR_MSG_TYPE",
	KrbAPErrModified:          "KRB_AP_ERR_MODIFIED",
	KrbAPErrBadKeyVer:         "KRB_AP_ERR_BADKEYVER (the keytab has another version of the service's key)",
	KrbAPErrNoKey:             "KRB_AP_ERR_NOKEY (the keytab has no key for the ticket)",
	KrbAPErrInappCksum:        "KRB_AP_ERR_INAPP_CKSUM",
	KrbErrGeneric:             "KRB_ERR_GENERIC",
	KrbAPErrUserToUserRequire: "KRB_AP_ERR_USER_TO_USER_REQUIRED",
}

func (c ErrorCode) String() string {
	if n, ok := errorNames[c]; ok {
		return n
	}
	return fmt.Sprintf("Kerberos error %d", int32(c))
}

// A KerberosError is a KRB-ERROR (RFC 4120 5.9.1), received or to be sent.
type KerberosError struct {
	Code       ErrorCode
	ServerTime Stamp
	ClientTime Stamp // of the authenticator; zero if it is not known
	Server     string
	Text       string // of the peer, for the log; at most 256 octets
	Err        error  // what this side found, which the peer is not told
}

func (e *KerberosError) Error() string {
	s := e.Code.String()
	if e.Text != "" {
		s += fmt.Sprintf(" %q", e.Text)
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *KerberosError) Unwrap() error { return e.Err }
