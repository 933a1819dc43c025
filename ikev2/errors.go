package ikev2

import (
	"errors"
	"fmt"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev2/message"
)

var (
	errHalfOpen  = errors.New("not established in time")
	errGone      = errors.New("the IKE SA is gone")
	errNoAnswer  = errors.New("no answer")
	errQueueFull = errors.New("too many exchanges are waiting")
	errTooLarge  = errors.New("message is too large")
	errShort     = errors.New("encrypted payload is too short")
	errStillborn = errors.New("the peer has deleted the new SA at once")
	errNoIDs     = errors.New("no message ID is left, and the rekey of the IKE SA has not come about")
	errReplaced  = errors.New("replaced by another SA")
)

// A TimeoutError says that a peer did not answer a request.
type TimeoutError struct {
	Exchange message.ExchangeType
	Tries    int
	Path     ike.Path
}

func (e *TimeoutError) Error() string {
	return fmt.Sprintf("no answer to %v from %v after %d tries", e.Exchange, e.Path.Remote, e.Tries)
}

// Timeout implements the interface of net.Error.
func (e *TimeoutError) Timeout() bool { return true }

// A NotifyError is an error notify from the peer: it refused what this side
// asked for.
type NotifyError struct {
	Exchange message.ExchangeType
	Type     message.NotifyType
	Detail   string // what this side had asked for, or what the notify's data says
}

func (e *NotifyError) Error() string {
	s := fmt.Sprintf("peer answered %v with %v", e.Exchange, e.Type)
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	return s
}

// A RefusedError says why this side refused a peer's request, and what it
// answered.
type RefusedError struct {
	Exchange message.ExchangeType
	Type     message.NotifyType // the notify that the peer got
	Err      error
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("refused %v with %v: %v", e.Exchange, e.Type, e.Err)
}

func (e *RefusedError) Unwrap() error { return e.Err }

// A ProtocolError is a peer's violation of the protocol that ends what it
// happened in.
type ProtocolError struct {
	Exchange message.ExchangeType
	Err      error
}

func (e *ProtocolError) Error() string { return fmt.Sprintf("%v: %v", e.Exchange, e.Err) }

func (e *ProtocolError) Unwrap() error { return e.Err }

func protocolError(x message.ExchangeType, format string, args ...any) error {
	return &ProtocolError{Exchange: x, Err: fmt.Errorf(format, args...)}
}
