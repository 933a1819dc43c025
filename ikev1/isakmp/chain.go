package isakmp

import (
	"encoding/binary"
	"strconv"
)

// MaxPayloads is how many payloads one chain may have. More is an error: no
// exchange needs that many, and each costs work before the peer is known.
const MaxPayloads = 128

// genericLen is the length of the generic payload header (RFC 2408 3.2).
const genericLen = 4

// A RawPayload is one payload of a chain, not looked into.
type RawPayload struct {
	Type   PayloadType
	Next   PayloadType
	Offset int    // of the generic payload header in the parsed slice
	Body   []byte // what follows the generic payload header: RFC 2409's SAi_b, IDii_b...; aliases the parsed slice
}

// End returns the offset behind the payload in the parsed slice.
func (p *RawPayload) End() int { return p.Offset + genericLen + len(p.Body) }

// A Chain is a sequence of payloads, not looked into.
type Chain []RawPayload

// ParseChain walks the payloads in body, the first of which has type first,
// through their generic headers (RFC 2408 3.2). It ends with the payload whose
// next-payload field is zero. Octets left over, a length below four or beyond
// the end, a reserved octet that is not zero (RFC 2408 5.3) and more than
// [MaxPayloads] payloads are errors, of type [*ParseError]. One allocation.
func ParseChain(first PayloadType, body []byte) (Chain, error) {
	return parseChain(first, body, false)
}

// ParsePaddedChain is [ParseChain] for what was decrypted: octets behind the
// last payload are padding of any length and content (RFC 2409 Appendix B).
// [Chain.Len] tells where it begins.
func ParsePaddedChain(first PayloadType, body []byte) (Chain, error) {
	return parseChain(first, body, true)
}

func parseChain(first PayloadType, body []byte, padded bool) (Chain, error) {
	w := walker{body: body, next: first}
	return w.chain(padded)
}

// AppendChain is [ParsePaddedChain] into the caller's slice. On error the
// payloads before the fault have been appended.
func AppendChain(dst Chain, first PayloadType, body []byte) (Chain, error) {
	w := walker{body: body, next: first}
	return w.append(dst)
}

// Len returns how many octets of the parsed slice the chain takes up.
func (c Chain) Len() int {
	if len(c) == 0 {
		return 0
	}
	return c[len(c)-1].End()
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

// Body returns the body of the first payload of type t, nil if there is none:
// what RFC 2409 writes as SAi_b or IDii_b.
func (c Chain) Body(t PayloadType) []byte {
	if p := c.First(t); p != nil {
		return p.Body
	}
	return nil
}

// Hashed splits a chain that is protected by a leading HASH payload, as in
// Quick Mode, Transaction and Informational exchanges (RFC 2409 5.5, 5.7):
// into the received hash, and the octets of body that it covers, which are
// all payloads behind it with their generic headers, without padding. body is
// the slice that the chain was parsed from. It is an error, a [*ParseError],
// if HASH does not come first or comes again.
func (c Chain) Hashed(body []byte) (hash, covered []byte, err error) {
	if len(c) == 0 || c[0].Type != PayloadHASH {
		return nil, nil, &ParseError{Payload: PayloadHASH, Err: ErrMissingPayload, Reason: "not the first payload"}
	}
	for i := range c[1:] {
		if p := &c[1+i]; p.Type == PayloadHASH {
			return nil, nil, &ParseError{Payload: PayloadHASH, Offset: p.Offset, Err: ErrDuplicatePayload}
		}
	}
	return c[0].Body, body[c[0].End():c.Len():c.Len()], nil
}

// walker steps through a chain. Each step consumes at least the four octets of
// a generic header, so a walk always ends.
type walker struct {
	body []byte
	off  int
	n    int
	next PayloadType // type of the payload at off
	last PayloadType // type of the payload before it
}

func (w *walker) more() bool { return w.next != PayloadNone }

func (w *walker) step() (RawPayload, *ParseError) {
	t := w.next
	if w.n == MaxPayloads {
		return RawPayload{}, &ParseError{Payload: t, Offset: w.off, Err: ErrTooManyPayloads, Reason: "more than " + strconv.Itoa(MaxPayloads)}
	}
	rest := w.body[w.off:]
	if len(rest) < genericLen {
		return RawPayload{}, syntaxError(t, w.off, "message ends before the payload")
	}
	if rest[1] != 0 {
		return RawPayload{}, syntaxError(t, w.off+1, "reserved octet is not zero")
	}
	n := int(binary.BigEndian.Uint16(rest[2:]))
	if n < genericLen {
		return RawPayload{}, syntaxError(t, w.off+2, "payload length "+strconv.Itoa(n))
	}
	if n > len(rest) {
		return RawPayload{}, syntaxError(t, w.off+2, "payload length "+strconv.Itoa(n)+" with "+strconv.Itoa(len(rest))+" octets left")
	}
	p := RawPayload{
		Type:   t,
		Next:   PayloadType(rest[0]),
		Offset: w.off,
		Body:   rest[genericLen:n:n],
	}
	w.off += n
	w.n++
	w.last = t
	w.next = p.Next
	return p, nil
}

// chain walks twice: to check and count, then to collect.
func (w walker) chain(padded bool) (Chain, error) {
	begin := w
	for w.more() {
		if _, e := w.step(); e != nil {
			return nil, e
		}
	}
	if !padded && w.off != len(w.body) {
		return nil, syntaxError(w.last, w.off, strconv.Itoa(len(w.body)-w.off)+" octets after the last payload")
	}
	if w.n == 0 {
		return nil, nil
	}
	return begin.append(make(Chain, 0, w.n))
}

func (w walker) append(dst Chain) (Chain, error) {
	for w.more() {
		p, e := w.step()
		if e != nil {
			return dst, e
		}
		dst = append(dst, p)
	}
	return dst, nil
}
