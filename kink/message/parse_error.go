package message

import (
	"errors"
	"fmt"
)

// Kinds of [ParseError], for errors.Is.
var (
	ErrTruncated         = errors.New("datagram ends too early")
	ErrLength            = errors.New("header length does not fit the content")
	ErrMajorVersion      = errors.New("not KINK version 1")
	ErrDOI               = errors.New("unsupported domain of interpretation")
	ErrSyntax            = errors.New("malformed payload")
	ErrTooManyPayloads   = errors.New("too many payloads")
	ErrDuplicatePayload  = errors.New("payload must not appear again")
	ErrMissingPayload    = errors.New("required payload is missing")
	ErrUnexpectedPayload = errors.New("payload does not belong here")
	ErrUnexpectedFlag    = errors.New("ACKREQ does not belong here")
	ErrQMVersion         = errors.New("unsupported Quick Mode version")
)

// ErrChecksum and ErrDecrypt: a message that claims a key proves not to have
// it. It is dropped (RFC 4430 4).
var (
	ErrNoChecksum = errors.New("kink: message without checksum")
	ErrChecksum   = errors.New("kink: wrong checksum")
	ErrDecrypt    = errors.New("kink: KINK_ENCRYPT payload does not decrypt")
)

// A ParseError says why octets are not a valid message.
type ParseError struct {
	Payload PayloadType // the payload at fault, PayloadDone for the header
	Offset  int         // octet of the parsed slice at which the fault was seen
	Reason  string      // what was wrong there; holds nothing that a peer chose freely
	Err     error       // kind: one of the Err values of this package, or an isakmp.ParseError
}

// Error implements error.
func (e *ParseError) Error() string {
	where := "header"
	if e.Payload != PayloadDone {
		where = e.Payload.String() + " payload"
	}
	if e.Reason == "" {
		return fmt.Sprintf("kink: %s at octet %d: %v", where, e.Offset, e.Err)
	}
	return fmt.Sprintf("kink: %s at octet %d: %v: %s", where, e.Offset, e.Err, e.Reason)
}

// Unwrap returns the kind.
func (e *ParseError) Unwrap() error { return e.Err }

// Code returns the KINK_ERROR with which RFC 4430 answers such a message, where
// it may be answered at all: an answer in clear proves nothing. A fault inside
// the Quick Mode payloads of a KINK_ISAKMP payload has a notify of its own,
// which the isakmp.ParseError inside tells, before the code.
func (e *ParseError) Code() ErrorCode {
	switch e.Err {
	case ErrMajorVersion:
		return InvMaj
	case ErrDOI:
		return InvDOI
	case ErrQMVersion:
		return BadQMVers
	}
	return ProtoErr
}

func syntaxError(t PayloadType, off int, reason string) *ParseError {
	return &ParseError{Payload: t, Offset: off, Reason: reason, Err: ErrSyntax}
}
