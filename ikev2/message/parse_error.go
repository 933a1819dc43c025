package message

import (
	"errors"
	"fmt"
)

// Kinds of [ParseError], for errors.Is.
var (
	ErrTruncated           = errors.New("shorter than an IKE header")
	ErrLength              = errors.New("header length differs from the datagram's")
	ErrMajorVersion        = errors.New("not IKE version 2")
	ErrSyntax              = errors.New("invalid syntax")
	ErrTooManyPayloads     = errors.New("too many payloads")
	ErrDuplicatePayload    = errors.New("payload must not appear twice")
	ErrMissingPayload      = errors.New("required payload is missing")
	ErrUnsupportedCritical = errors.New("unsupported critical payload")
)

// A ParseError says why octets are not a valid message.
type ParseError struct {
	Payload PayloadType // the payload at fault, PayloadNone for the header
	Offset  int         // octet of the parsed slice at which the fault was seen
	Reason  string      // what was wrong there; holds nothing that a peer chose freely
	Err     error       // kind: one of the Err values of this package

	version Version // with ErrMajorVersion
}

// Error implements error.
func (e *ParseError) Error() string {
	where := "header"
	if e.Payload != PayloadNone {
		where = e.Payload.String() + " payload"
	}
	if e.Reason == "" {
		return fmt.Sprintf("message: %s at octet %d: %v", where, e.Offset, e.Err)
	}
	return fmt.Sprintf("message: %s at octet %d: %v: %s", where, e.Offset, e.Err, e.Reason)
}

// Unwrap returns the kind.
func (e *ParseError) Unwrap() error { return e.Err }

// Notify returns the error notify with which RFC 7296 2.21 and 2.5 answer such
// a message, where it may be answered at all: INVALID_SYNTAX,
// UNSUPPORTED_CRITICAL_PAYLOAD or, for a major version above 2,
// INVALID_MAJOR_VERSION. Zero means that it is dropped without an answer.
func (e *ParseError) Notify() NotifyType {
	switch e.Err {
	case ErrTruncated, ErrLength:
		return 0
	case ErrMajorVersion:
		if e.version.Major() > Version2.Major() {
			return NotifyInvalidMajorVersion
		}
		return 0
	case ErrUnsupportedCritical:
		return NotifyUnsupportedCriticalPayload
	}
	return NotifyInvalidSyntax
}

// AppendNotifyData appends the data of the notify that [ParseError.Notify]
// names: the payload type for UNSUPPORTED_CRITICAL_PAYLOAD, else nothing.
func (e *ParseError) AppendNotifyData(dst []byte) []byte {
	if e.Err == ErrUnsupportedCritical {
		return append(dst, byte(e.Payload))
	}
	return dst
}

func syntaxError(t PayloadType, off int, reason string) *ParseError {
	return &ParseError{Payload: t, Offset: off, Reason: reason, Err: ErrSyntax}
}
