package message

import (
	"encoding/binary"
	"strconv"
)

// MaxPayloads is how many payloads a message may have, and how many may be in
// its KINK_ENCRYPT payload. A CREATE has one KINK_ISAKMP for each SA that it
// wants.
const MaxPayloads = 128

const genericLen = 4

// walker steps through a chain of payloads. Each step consumes at least the
// four octets of a generic header, so a walk always ends.
type walker struct {
	body []byte
	off  int // a multiple of 4 from the start of body, or len(body) at the end
	n    int
	next PayloadType
	last PayloadType
}

func (w *walker) more() bool { return w.next != PayloadDone }

func (w *walker) step() (t PayloadType, body []byte, e *ParseError) {
	t = w.next
	if w.n == MaxPayloads {
		return t, nil, &ParseError{Payload: t, Offset: w.off, Err: ErrTooManyPayloads, Reason: "more than " + strconv.Itoa(MaxPayloads)}
	}
	rest := w.body[w.off:]
	if len(rest) < genericLen {
		return t, nil, syntaxError(t, w.off, "message ends before the payload")
	}
	n := int(binary.BigEndian.Uint16(rest[2:]))
	if n < genericLen {
		return t, nil, syntaxError(t, w.off+2, "payload length "+strconv.Itoa(n))
	}
	if n > len(rest) {
		return t, nil, syntaxError(t, w.off+2, "payload length "+strconv.Itoa(n)+" with "+strconv.Itoa(len(rest))+" octets left")
	}
	w.next, w.last = PayloadType(rest[0]), t
	w.off += min(align(n), len(rest))
	w.n++
	return t, rest[genericLen:n:n], nil
}

// align rounds up to a multiple of 4 (RFC 4430 4.1).
func align(n int) int { return (n + 3) &^ 3 }

// parsePayloads decodes the chain in body. Of the offsets in errors, base is
// the origin. Unless trailing, nothing may follow the last payload but its
// padding.
func parsePayloads(first PayloadType, body []byte, base int, trailing bool) (Payloads, *ParseError) {
	w := walker{body: body, next: first}
	for w.more() {
		if _, _, e := w.step(); e != nil {
			return nil, e.at(base)
		}
	}
	if !trailing && w.off != len(body) {
		return nil, syntaxError(w.last, base+w.off, strconv.Itoa(len(body)-w.off)+" octets after the last payload")
	}
	ps := make(Payloads, 0, w.n)
	var seen [PayloadError + 1]bool
	for w = (walker{body: body, next: first}); w.more(); {
		off := w.off
		t, b, _ := w.step() // has succeeded above
		if int(t) < len(seen) && t != PayloadISAKMP {
			if seen[t] {
				return nil, &ParseError{Payload: t, Offset: base + off, Err: ErrDuplicatePayload}
			}
			seen[t] = true
		}
		p, reason := parsePayload(t, b)
		if reason != "" {
			return nil, syntaxError(t, base+off+genericLen, reason)
		}
		if t == PayloadEncrypt && w.more() {
			return nil, &ParseError{Payload: t, Offset: base + off, Err: ErrUnexpectedPayload, Reason: "not the last payload"}
		}
		ps = append(ps, p)
	}
	return ps, nil
}

// at moves the error's offset to where the parsed slice lies in a larger one.
func (e *ParseError) at(base int) *ParseError {
	e.Offset += base
	return e
}
