package isakmp

import (
	"errors"
	"fmt"
)

// Kinds of [ParseError], for errors.Is.
var (
	ErrTruncated         = errors.New("shorter than an ISAKMP header")
	ErrLength            = errors.New("header length differs from the datagram's")
	ErrMajorVersion      = errors.New("not ISAKMP version 1")
	ErrSyntax            = errors.New("malformed payload")
	ErrTooManyPayloads   = errors.New("too many payloads")
	ErrDuplicatePayload  = errors.New("payload must not appear again")
	ErrMissingPayload    = errors.New("required payload is missing")
	ErrUnexpectedPayload = errors.New("payload does not belong here")
	ErrDOI               = errors.New("unsupported domain of interpretation")
	ErrSituation         = errors.New("unsupported situation")
)

// A ParseError says why octets are not a valid message.
type ParseError struct {
	Payload PayloadType // the payload at fault, PayloadNone for the header
	Offset  int         // octet of the parsed slice at which the fault was seen
	Reason  string      // what was wrong there; holds nothing that a peer chose freely
	Err     error       // kind: one of the Err values of this package
}

// Error implements error.
func (e *ParseError) Error() string {
	where := "header"
	if e.Payload != PayloadNone {
		where = e.Payload.String() + " payload"
	}
	if e.Reason == "" {
		return fmt.Sprintf("isakmp: %s at octet %d: %v", where, e.Offset, e.Err)
	}
	return fmt.Sprintf("isakmp: %s at octet %d: %v: %s", where, e.Offset, e.Err, e.Reason)
}

// Unwrap returns the kind.
func (e *ParseError) Unwrap() error { return e.Err }

// Notify returns the notify with which RFC 2408 5 answers such a message,
// where it may be answered at all: an answer in clear is an amplifier and
// proves nothing. Zero means that it is dropped without one.
func (e *ParseError) Notify() NotifyType {
	switch e.Err {
	case ErrTruncated, ErrLength:
		return 0
	case ErrMajorVersion:
		return NotifyInvalidMajorVersion
	case ErrUnexpectedPayload:
		return NotifyInvalidPayloadType
	case ErrDOI:
		return NotifyDOINotSupported
	case ErrSituation:
		return NotifySituationNotSupported
	}
	if e.Payload == PayloadSA {
		return NotifyBadProposalSyntax
	}
	return NotifyPayloadMalformed
}

func syntaxError(t PayloadType, off int, reason string) *ParseError {
	return &ParseError{Payload: t, Offset: off, Reason: reason, Err: ErrSyntax}
}

// at moves the error's offset to where the parsed slice lies in a larger one.
func (e *ParseError) at(base int) *ParseError {
	e.Offset += base
	return e
}
