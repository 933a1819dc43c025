package message

import (
	"iter"
	"log/slog"
)

// Payloads are the decoded payloads of a message in the order of the wire.
type Payloads []Payload

// first returns the first payload of type P, or the zero P.
func first[P Payload](ps Payloads) (p P) {
	for _, x := range ps {
		if p, ok := x.(P); ok {
			return p
		}
	}
	return p
}

// APReq returns the KINK_AP_REQ payload, or nil.
func (ps Payloads) APReq() *APReq { return first[*APReq](ps) }

// APRep returns the KINK_AP_REP payload, or nil.
func (ps Payloads) APRep() *APRep { return first[*APRep](ps) }

// KRBError returns the KINK_KRB_ERROR payload, or nil.
func (ps Payloads) KRBError() *KRBError { return first[*KRBError](ps) }

// TGTReq returns the KINK_TGT_REQ payload, or nil.
func (ps Payloads) TGTReq() *TGTReq { return first[*TGTReq](ps) }

// TGTRep returns the KINK_TGT_REP payload, or nil.
func (ps Payloads) TGTRep() *TGTRep { return first[*TGTRep](ps) }

// ISAKMP returns the first KINK_ISAKMP payload, or nil.
func (ps Payloads) ISAKMP() *ISAKMP { return first[*ISAKMP](ps) }

// ISAKMPs iterates over the KINK_ISAKMP payloads: one for each SA operation.
func (ps Payloads) ISAKMPs() iter.Seq[*ISAKMP] {
	return func(yield func(*ISAKMP) bool) {
		for _, x := range ps {
			if p, ok := x.(*ISAKMP); ok && !yield(p) {
				return
			}
		}
	}
}

// Encrypt returns the KINK_ENCRYPT payload, or nil.
func (ps Payloads) Encrypt() *Encrypt { return first[*Encrypt](ps) }

// Error returns the KINK_ERROR payload, or nil. One that says KINK_OK may be
// ignored (RFC 4430 4.2.8).
func (ps Payloads) Error() *Error { return first[*Error](ps) }

// has reports whether there is a payload of type t.
func (ps Payloads) has(t PayloadType) bool {
	for _, p := range ps {
		if p.PayloadType() == t {
			return true
		}
	}
	return false
}

// only returns an error that names the first payload of none of the types.
// Private types are understood only by those who agreed on them.
func (ps Payloads) only(types ...PayloadType) *ParseError {
next:
	for _, p := range ps {
		got := p.PayloadType()
		if got >= 128 {
			continue
		}
		for _, t := range types {
			if t == got {
				continue next
			}
		}
		return &ParseError{Payload: got, Err: ErrUnexpectedPayload}
	}
	return nil
}

// Check checks the payloads against what RFC 4430 6 wants in a message with
// header h: to be called with what [Message.Open] returned, or with the
// payloads of a message without KINK_ENCRYPT. Payloads of types that nobody
// has assigned do not pass, private ones (128 and above) do. The error is a
// [*ParseError].
func (ps Payloads) Check(h Header) error {
	if e := ps.check(h); e != nil {
		return e
	}
	return nil
}

func (ps Payloads) check(h Header) *ParseError {
	if h.AckReq && h.Type != Reply {
		return &ParseError{Offset: 13, Err: ErrUnexpectedFlag}
	}
	missing := func(t PayloadType) *ParseError {
		if ps.has(t) {
			return nil
		}
		return &ParseError{Payload: t, Err: ErrMissingPayload}
	}
	var e *ParseError
	switch h.Type {
	case Create, Delete: // 6.3, 6.4
		if e = missing(PayloadAPReq); e == nil {
			e = missing(PayloadISAKMP)
		}
		if e == nil {
			e = ps.only(PayloadAPReq, PayloadISAKMP)
		}
	case Status: // 6.5
		if e = missing(PayloadAPReq); e == nil {
			e = ps.only(PayloadAPReq, PayloadISAKMP)
		}
	case Ack: // 6.2
		if e = missing(PayloadAPReq); e == nil {
			e = ps.only(PayloadAPReq)
		}
	case GetTGT: // 6.6
		if e = missing(PayloadTGTReq); e == nil {
			e = ps.only(PayloadTGTReq)
		}
	case Reply: // 6.1; KINK_TGT_REP: 6.6 and 3.7.1
		if !ps.has(PayloadAPRep) && !ps.has(PayloadKRBError) && !ps.has(PayloadError) && !ps.has(PayloadTGTRep) {
			return &ParseError{Payload: PayloadAPRep, Err: ErrMissingPayload}
		}
		e = ps.only(PayloadAPRep, PayloadISAKMP, PayloadKRBError, PayloadError, PayloadTGTRep)
	default:
		return &ParseError{Err: ErrSyntax, Reason: "message type " + h.Type.String()}
	}
	return e
}

// String returns the payloads as one line of a trace.
func (ps Payloads) String() string { return string(ps.appendText(nil)) }

// GoString is String: %#v shows no more than %v.
func (ps Payloads) GoString() string { return ps.String() }

// LogValue implements [slog.LogValuer] with String.
func (ps Payloads) LogValue() slog.Value { return slog.StringValue(ps.String()) }

// maxTrace bounds the text of a message in octets: a log line, whatever a peer
// sends.
const maxTrace = 16 << 10

func (ps Payloads) appendText(b []byte) []byte {
	for i, p := range ps {
		if i > 0 {
			b = append(b, ' ')
		}
		if len(b) > maxTrace {
			return append(b, "..."...)
		}
		b = p.appendText(b)
	}
	return b
}
