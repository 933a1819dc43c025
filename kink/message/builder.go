package message

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/racoon3/racoon/ikev1/isakmp"
)

// ErrEncode is wrapped by every error of a [Builder]: a payload has no wire
// form, or the calls were out of order.
var ErrEncode = errors.New("kink: cannot encode")

// A Builder writes a message into the caller's buffer, payload after payload.
// It links the next-payload fields, aligns, and patches lengths in place, so
// that nothing is copied or, given a buffer with room, allocated; payloads
// passed to Add may live on the stack. The first error sticks and is returned
// at the end; payloads after it are ignored.
//
// A message with everything:
//
//	b := message.NewBuilder(buf[:0], header)
//	b.Add(&message.APReq{...})
//	b.BeginEncrypt(confounder)
//	q := b.BeginISAKMP()
//	q.Add(&isakmp.SA{...})
//	q.Add(&isakmp.Nonce{...})
//	b.EndISAKMP(&q)
//	b.EndEncrypt(key)
//	datagram, err := b.Sign(key)
//
// The zero Builder is not ready; use NewBuilder.
type Builder struct {
	buf     []byte
	start   int // of the header in buf
	base    int // where alignment counts from
	link    int // octet that takes the next payload's type
	open    int // generic header of the KINK_ISAKMP payload that is being written; -1 for none
	encrypt int // generic header of the KINK_ENCRYPT payload; -1 for none
	text    int // first octet of its plaintext behind the confounder
	closed  bool
	err     error
}

// NewBuilder begins a message with header h, appended to dst.
func NewBuilder(dst []byte, h Header) Builder {
	b := Builder{start: len(dst), base: len(dst), open: -1, encrypt: -1}
	b.buf = h.append(dst)
	b.link = b.start + 12
	return b
}

func (b *Builder) fail(t PayloadType, why string) {
	if b.err == nil {
		b.err = fmt.Errorf("%w: %v payload: %s", ErrEncode, t, why)
	}
}

// Add appends a payload.
func (b *Builder) Add(p Payload) {
	// A switch and no call through the interface, so that the compiler sees
	// that p does not escape to the heap.
	switch p := p.(type) {
	case *APReq:
		if b.begin(PayloadAPReq) {
			b.buf = p.AppendBody(b.buf)
		}
	case *APRep:
		if b.begin(PayloadAPRep) {
			b.buf = p.AppendBody(b.buf)
		}
	case *KRBError:
		if b.begin(PayloadKRBError) {
			b.buf = p.AppendBody(b.buf)
		}
	case *TGTReq:
		if b.begin(PayloadTGTReq) {
			b.buf = p.AppendBody(b.buf)
		}
	case *TGTRep:
		if b.begin(PayloadTGTRep) {
			b.buf = p.AppendBody(b.buf)
		}
	case *ISAKMP:
		if b.begin(PayloadISAKMP) {
			b.buf = p.AppendBody(b.buf)
		}
	case *Encrypt:
		if b.begin(PayloadEncrypt) {
			b.buf = p.AppendBody(b.buf)
		}
	case *Error:
		if b.begin(PayloadError) {
			b.buf = p.AppendBody(b.buf)
		}
	case *Unknown:
		if p.Type == PayloadDone {
			b.fail(p.Type, "ends a chain")
		}
		if b.begin(p.Type) {
			b.buf = p.AppendBody(b.buf)
		}
	default:
		b.fail(PayloadDone, "nil or of a foreign type")
	}
	b.end(b.link)
	if _, ok := p.(*Encrypt); ok {
		b.closed = true
	}
}

// begin writes a generic header; it reports whether to go on.
func (b *Builder) begin(t PayloadType) bool {
	if b.err != nil {
		return false
	}
	switch {
	case b.open >= 0:
		b.fail(t, "begun inside a KINK_ISAKMP payload")
		return false
	case b.closed:
		b.fail(t, "follows KINK_ENCRYPT")
		return false
	}
	b.pad()
	b.buf[b.link] = byte(t)
	b.link = len(b.buf)
	b.buf = append(b.buf, byte(PayloadDone), 0, 0, 0)
	return true
}

// pad aligns the end of what was written (RFC 4430 4.1).
func (b *Builder) pad() {
	for range align(len(b.buf)-b.base) - (len(b.buf) - b.base) {
		b.buf = append(b.buf, 0)
	}
}

// end writes the length of the payload whose generic header is at off.
func (b *Builder) end(off int) {
	if b.err != nil {
		return
	}
	n := len(b.buf) - off
	if n > MaxLen {
		b.fail(PayloadType(0), fmt.Sprintf("of %d octets", n))
		return
	}
	binary.BigEndian.PutUint16(b.buf[off+2:], uint16(n))
}

// BeginISAKMP begins a KINK_ISAKMP payload and returns the builder of its Quick
// Mode payloads, which writes into the same buffer; EndISAKMP completes it.
func (b *Builder) BeginISAKMP() isakmp.Builder {
	if b.begin(PayloadISAKMP) {
		b.open = b.link
		b.buf = append(b.buf, 0, byte(isakmp.Version1), 0, 0)
	}
	return isakmp.NewChainBuilder(b.buf)
}

// EndISAKMP completes the payload begun by BeginISAKMP, with what was added to
// q.
func (b *Builder) EndISAKMP(q *isakmp.Builder) {
	if b.err != nil {
		return
	}
	if b.open < 0 {
		b.fail(PayloadISAKMP, "ended, but not begun")
		return
	}
	buf, err := q.Finish()
	if err != nil {
		b.err = fmt.Errorf("%w: %w", ErrEncode, err)
		return
	}
	b.buf = buf
	b.buf[b.open+genericLen] = byte(q.First())
	b.end(b.open)
	b.open = -1
}

// BeginEncrypt begins a KINK_ENCRYPT payload: the payloads that follow are in
// it. The confounder is random octets, as many as the encryption type wants
// (16 for AES).
func (b *Builder) BeginEncrypt(confounder []byte) {
	if b.encrypt >= 0 {
		b.fail(PayloadEncrypt, "begun twice")
	}
	if !b.begin(PayloadEncrypt) {
		return
	}
	b.encrypt = b.link
	b.buf = append(b.buf, confounder...)
	b.text = len(b.buf)
	b.link, b.base = b.text, b.text
	b.buf = append(b.buf, byte(PayloadDone), 0, 0, 0)
}

// EndEncrypt encrypts what was added since BeginEncrypt. Nothing follows the last
// payload there, so it needs no padding; racoon2 has none either.
func (b *Builder) EndEncrypt(k Key) {
	if b.err == nil && (b.encrypt < 0 || b.open >= 0 || b.closed) {
		b.fail(PayloadEncrypt, "ended out of order")
	}
	if b.err != nil {
		return
	}
	buf, err := k.Seal(b.buf, b.encrypt+genericLen)
	if err != nil {
		b.err = fmt.Errorf("%w: %w", ErrEncode, err)
		return
	}
	b.buf, b.base, b.closed = buf, b.start, true
	b.end(b.encrypt)
}

// Sign completes the message with a checksum and returns dst with it appended.
func (b *Builder) Sign(k Key) ([]byte, error) {
	if !b.complete(true) {
		return b.buf[:b.start], b.err
	}
	head, n := b.buf[b.start:b.start+HeaderLen], len(b.buf)
	binary.BigEndian.PutUint16(head[2:], uint16(n-b.start))
	buf, err := k.AppendChecksum(b.buf, head, b.buf[b.start+HeaderLen:])
	if err != nil {
		b.err = fmt.Errorf("%w: %w", ErrEncode, err)
		return b.buf[:b.start], b.err
	}
	return b.lengths(buf, len(buf)-n)
}

// Finish completes the message without a checksum, which is right only where
// there is no key: GETTGT and its REPLY, and errors before there is one. The last
// payload is not padded, as with racoon2: a checksum would have to be aligned, and
// nothing else.
func (b *Builder) Finish() ([]byte, error) { return b.finish(nil, false) }

func (b *Builder) finish(sum []byte, pad bool) ([]byte, error) {
	if !b.complete(pad) {
		return b.buf[:b.start], b.err
	}
	return b.lengths(append(b.buf, sum...), len(sum))
}

// complete reports whether the message can be completed, and pads it.
func (b *Builder) complete(pad bool) bool {
	if b.err == nil && (b.open >= 0 || b.encrypt >= 0 && !b.closed) {
		b.fail(PayloadDone, "begun, but not ended")
	}
	if b.err != nil {
		return false
	}
	if pad {
		b.pad()
	}
	return true
}

// lengths writes the length fields of the header.
func (b *Builder) lengths(buf []byte, sum int) ([]byte, error) {
	n := len(buf) - b.start
	if n > MaxLen {
		b.fail(PayloadDone, fmt.Sprintf("message of %d octets", n))
		return buf[:b.start], b.err
	}
	b.buf = buf
	binary.BigEndian.PutUint16(buf[b.start+2:], uint16(n))
	binary.BigEndian.PutUint16(buf[b.start+14:], uint16(sum))
	return buf, nil
}
