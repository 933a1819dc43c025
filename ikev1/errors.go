package ikev1

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
)

var (
	errGone      = errors.New("the session has ended")
	errReplaced  = errors.New("replaced")
	errQueueFull = errors.New("too many exchanges are waiting")
	errDeleted   = errors.New("the peer has deleted the ISAKMP SA")
	errHalfOpen  = errors.New("peer did not complete phase 1 in time")
)

// A TimeoutError says that the peer did not answer.
type TimeoutError struct {
	Exchange isakmp.ExchangeType
	Tries    int // messages sent
	Path     ike.Path
	Cause    error // what is probably wrong, if that shows
}

func (e *TimeoutError) Error() string {
	s := fmt.Sprintf("no answer to %v from %v after %d tries", e.Exchange, e.Path.Remote, e.Tries)
	if e.Cause != nil {
		s += ": " + e.Cause.Error()
	}
	return s
}

func (e *TimeoutError) Unwrap() error { return e.Cause }

// Timeout makes a TimeoutError a net.Error of sorts.
func (e *TimeoutError) Timeout() bool { return true }

// A NotifyError is a peer's refusal.
type NotifyError struct {
	Exchange isakmp.ExchangeType
	Type     isakmp.NotifyType
	Text     string // what the notification's data says, if it is text
	Detail   string // what this side had asked for
	// Unprotected: it came in clear, so anybody may have sent it.
	Unprotected bool
}

func (e *NotifyError) Error() string {
	s := fmt.Sprintf("peer answered %v with %v", e.Exchange, e.Type)
	if e.Unprotected {
		s += " (unprotected)"
	}
	if e.Text != "" {
		s += fmt.Sprintf(" %q", e.Text)
	}
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	return s
}

// A RefusedError says why this side refused a peer's request, and what it
// answered.
type RefusedError struct {
	Exchange isakmp.ExchangeType
	Type     isakmp.NotifyType // the notification that the peer got
	Err      error
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("refused %v with %v: %v", e.Exchange, e.Type, e.Err)
}

func (e *RefusedError) Unwrap() error { return e.Err }

// A ProtocolError is a peer's violation of the protocol that ends what it
// happened in.
type ProtocolError struct {
	Exchange isakmp.ExchangeType
	Err      error
}

func (e *ProtocolError) Error() string { return fmt.Sprintf("%v: %v", e.Exchange, e.Err) }

func (e *ProtocolError) Unwrap() error { return e.Err }

func protocolError(x isakmp.ExchangeType, format string, args ...any) error {
	return &ProtocolError{Exchange: x, Err: fmt.Errorf(format, args...)}
}

// An AuthError says why authentication with a peer failed: that of the peer, or
// that of this side or its user to the peer.
type AuthError struct {
	ID  ike.Identity // of the peer
	Err error
}

func (e *AuthError) Error() string {
	return fmt.Sprintf("authentication with %v failed: %v", e.ID, e.Err)
}

func (e *AuthError) Unwrap() error { return e.Err }

// A LoadBalanceError is a Cisco gateway's wish (UNITY-LOAD-BALANCE) that this
// client turn to another one.
type LoadBalanceError struct{ Gateway netip.Addr }

func (e *LoadBalanceError) Error() string {
	return fmt.Sprintf("the gateway shares its load: this client is to use %v instead", e.Gateway)
}
