package kink

import (
	"errors"
	"fmt"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/kink/krb"
	"github.com/racoon3/racoon/kink/message"
)

// ErrPeerRestarted: the peer's epoch has changed, so it has lost its SAs (RFC
// 4430 3.7).
var ErrPeerRestarted = errors.New("the peer has restarted, or has lost its Child SAs: its epoch has changed")

// ErrNAT: KINK has no NAT traversal.
var ErrNAT = errors.New("there is a NAT on the path, and KINK has no NAT traversal")

var (
	errGone      = errors.New("the session has ended")
	errQueueFull = errors.New("too many transactions are waiting")
	errOvertaken = errors.New("the peer has replaced it already")
)

// A TooEarlyError says that this side may not replace a Child SA yet: the peer has
// made it a moment ago, and may not have it itself.
type TooEarlyError struct {
	Child string
	Wait  time.Duration // after that it may
}

func (e *TooEarlyError) Error() string {
	return fmt.Sprintf("the peer has made Child %q a moment ago, and may not have it yet; try again in %v, or there", e.Child, e.Wait.Round(time.Second))
}

// A TimeoutError says that the peer did not answer, or not in a way that can be
// believed.
type TimeoutError struct {
	Command message.Type
	Tries   int // messages sent
	Path    ike.Path
	// Hint is what came without protection: anybody may have sent it.
	Hint error
}

func (e *TimeoutError) Error() string {
	s := fmt.Sprintf("no answer to %v from %v after %d tries", e.Command, e.Path.Remote, e.Tries)
	if e.Hint != nil {
		s += fmt.Sprintf("; somebody there says, unprotected: %v", e.Hint)
	}
	return s
}

func (e *TimeoutError) Unwrap() error { return e.Hint }

// Timeout makes a TimeoutError a net.Error of sorts.
func (e *TimeoutError) Timeout() bool { return true }

// A TicketError says why there is no ticket for a peer, or for this side.
type TicketError struct {
	Service krb.Principal
	Err     error
}

func (e *TicketError) Error() string { return fmt.Sprintf("no ticket for %v: %v", e.Service, e.Err) }

func (e *TicketError) Unwrap() error { return e.Err }

// A PeerError is an error that the peer has answered with.
type PeerError struct {
	Command message.Type
	Err     error // a *krb.KRBError, or what a KINK_ERROR payload says
}

func (e *PeerError) Error() string { return fmt.Sprintf("peer answered %v with %v", e.Command, e.Err) }

func (e *PeerError) Unwrap() error { return e.Err }

// A CodeError is a KINK_ERROR payload.
type CodeError struct{ Code message.ErrorCode }

func (e *CodeError) Error() string { return e.Code.String() }

// A NotifyError is a peer's refusal of a Child SA.
type NotifyError struct {
	Command message.Type
	Type    isakmp.NotifyType
	Detail  string // what this side had asked for
}

func (e *NotifyError) Error() string {
	s := fmt.Sprintf("peer answered %v with %v", e.Command, e.Type)
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	return s
}

// A RefusedError says why this side refused a peer's request, and what it
// answered.
type RefusedError struct {
	Command message.Type
	Type    isakmp.NotifyType // the notification that the peer got
	Err     error
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("refused %v with %v: %v", e.Command, e.Type, e.Err)
}

func (e *RefusedError) Unwrap() error { return e.Err }

// PeerRefused says why a message was refused before there was a session.
type PeerRefused struct {
	Principal krb.Principal // zero: its ticket does not open
	Err       error
}

func (e *PeerRefused) Error() string {
	if e.Principal.IsZero() {
		return fmt.Sprintf("refused a message: %v", e.Err)
	}
	return fmt.Sprintf("refused a message of %v: %v", e.Principal, e.Err)
}

func (e *PeerRefused) Unwrap() error { return e.Err }

// A ProtocolError is a peer's violation of the protocol.
type ProtocolError struct {
	Command message.Type
	Err     error
}

func (e *ProtocolError) Error() string { return fmt.Sprintf("%v: %v", e.Command, e.Err) }

func (e *ProtocolError) Unwrap() error { return e.Err }

func protocolError(t message.Type, format string, args ...any) error {
	return &ProtocolError{Command: t, Err: fmt.Errorf(format, args...)}
}
