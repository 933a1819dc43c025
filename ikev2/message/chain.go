package message

import (
	"encoding/binary"
	"strconv"
)

// MaxPayloads is how many payloads one chain may have. More is an error: no
// exchange needs that many, and each costs work before the peer is known.
const MaxPayloads = 128

// genericLen is the length of the generic payload header (RFC 7296 3.2).
const genericLen = 4

// critical is the critical bit of the generic payload header.
const critical = 0x80

// A RawPayload is one payload of a chain, not looked into.
type RawPayload struct {
	Type     PayloadType
	Next     PayloadType // of SK and SKF: type of the first payload inside
	Critical bool
	Offset   int    // of the generic payload header in the parsed slice
	Body     []byte // what follows the generic payload header; aliases the parsed slice
}

// A Chain is a sequence of payloads, not looked into.
type Chain []RawPayload

// ParseChain walks the payloads in body, the first of which has type first,
// through their generic headers (RFC 7296 3.2). It ends with the payload whose
// next-payload field is zero, or with SK or SKF, which must be last. Octets
// left over, a length below four or beyond the end and more than
// [MaxPayloads] payloads are errors, of type [*ParseError]. One allocation.
func ParseChain(first PayloadType, body []byte) (Chain, error) {
	n, e := countChain(first, body)
	if e != nil {
		return nil, e
	}
	if n == 0 {
		return nil, nil
	}
	return AppendChain(make(Chain, 0, n), first, body)
}

// AppendChain is [ParseChain] into the caller's slice. On error the payloads
// before the fault have been appended.
func AppendChain(dst Chain, first PayloadType, body []byte) (Chain, error) {
	w := walker{body: body, next: first}
	for w.more() {
		p, e := w.step()
		if e != nil {
			return dst, e
		}
		dst = append(dst, p)
	}
	if e := w.end(); e != nil {
		return dst, e
	}
	return dst, nil
}

// First returns the first payload of type t, or nil.
func (c Chain) First(t PayloadType) *RawPayload {
	for i := range c {
		if c[i].Type == t {
			return &c[i]
		}
	}
	return nil
}

// Encrypted returns the SK or SKF payload at the end of the chain, or nil.
func (c Chain) Encrypted() *RawPayload {
	if n := len(c); n > 0 && (c[n-1].Type == PayloadSK || c[n-1].Type == PayloadSKF) {
		return &c[n-1]
	}
	return nil
}

func countChain(first PayloadType, body []byte) (int, *ParseError) {
	w := walker{body: body, next: first}
	for w.more() {
		if _, e := w.step(); e != nil {
			return 0, e
		}
	}
	return w.n, w.end()
}

// walker steps through a chain. Each step consumes at least the four octets of
// a generic header, so a walk always ends.
type walker struct {
	body []byte
	off  int
	n    int
	next PayloadType // type of the payload at off
	last PayloadType // type of the payload before it
	done bool        // SK or SKF was seen
}

func (w *walker) more() bool { return w.next != PayloadNone && !w.done }

func (w *walker) step() (RawPayload, *ParseError) {
	t := w.next
	if w.n == MaxPayloads {
		return RawPayload{}, &ParseError{Payload: t, Offset: w.off, Err: ErrTooManyPayloads, Reason: "more than " + strconv.Itoa(MaxPayloads)}
	}
	rest := w.body[w.off:]
	if len(rest) < genericLen {
		return RawPayload{}, syntaxError(t, w.off, "message ends before the payload")
	}
	n := int(binary.BigEndian.Uint16(rest[2:]))
	if n < genericLen {
		return RawPayload{}, syntaxError(t, w.off+2, "payload length "+strconv.Itoa(n))
	}
	if n > len(rest) {
		return RawPayload{}, syntaxError(t, w.off+2, "payload length "+strconv.Itoa(n)+" with "+strconv.Itoa(len(rest))+" octets left")
	}
	p := RawPayload{
		Type:     t,
		Next:     PayloadType(rest[0]),
		Critical: rest[1]&critical != 0,
		Offset:   w.off,
		Body:     rest[genericLen:n:n],
	}
	w.off += n
	w.n++
	w.last = t
	w.next = p.Next
	w.done = t == PayloadSK || t == PayloadSKF
	return p, nil
}

// end checks that the chain fills the body.
func (w *walker) end() *ParseError {
	if w.off != len(w.body) {
		return syntaxError(w.last, w.off, strconv.Itoa(len(w.body)-w.off)+" octets after the last payload")
	}
	return nil
}
