package message

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrEncode is wrapped by every error of a [Builder]: a payload has no wire
// form, or the calls were out of order.
var ErrEncode = errors.New("message: cannot encode")

// A Builder writes a message into the caller's buffer, payload after payload.
// It links the next-payload fields and patches lengths in place, so that
// nothing is copied or, given a buffer with room, allocated; payloads passed
// to Add may live on the stack. The first error sticks and is returned by
// Finish; payloads after it are ignored.
//
// A message in clear:
//
//	b := message.NewBuilder(buf[:0], header)
//	b.Add(&message.SA{...})
//	b.Add(&message.Nonce{...})
//	datagram, err := b.Finish()
//
// An encrypted one: BeginSK before the inner payloads, Seal after them, and
// encryption in place of what Seal returns.
//
// The zero Builder is not ready; use NewBuilder or NewChainBuilder.
type Builder struct {
	buf    []byte
	start  int         // of the header in buf
	header bool        // there is one
	first  PayloadType // of the chain, if there is no header
	link   int         // octet that takes the next payload's type; -1 for first
	open   int         // generic header of the payload that BeginPayload began; -1 for none
	sk     int         // generic header of the SK or SKF payload that is being built; -1 for none
	iv     int         // where its IV begins
	ivLen  int
	full   bool // AddChain was called: no payload may follow
	ended  bool // SK or SKF is complete: nothing may follow
	err    error
}

// NewBuilder begins a message with header h, appended to dst. The header's
// NextPayload and Length are filled in later; a Version of zero means 2.0.
func NewBuilder(dst []byte, h Header) Builder {
	if h.Version == 0 {
		h.Version = Version2
	}
	h.NextPayload, h.Length = PayloadNone, 0
	b := Builder{start: len(dst), header: true, open: -1, sk: -1}
	b.buf = h.Append(dst)
	b.link = b.start + 16
	return b
}

// NewChainBuilder begins a chain of payloads without a header, appended to
// dst: the inside of an SK payload that is to be split into fragments.
func NewChainBuilder(dst []byte) Builder {
	return Builder{buf: dst, start: len(dst), link: -1, open: -1, sk: -1}
}

// Len returns the length of what was written so far, in octets.
func (b *Builder) Len() int { return len(b.buf) - b.start }

// First returns the type of the first payload, PayloadNone if there is none.
func (b *Builder) First() PayloadType {
	if b.header {
		return PayloadType(b.buf[b.start+16])
	}
	return b.first
}

func (b *Builder) fail(t PayloadType, why string) {
	if b.err == nil {
		b.err = fmt.Errorf("%w: %v payload: %s", ErrEncode, t, why)
	}
}

// Add appends a payload. An SK or SKF payload, encrypted already, must be the
// last.
func (b *Builder) Add(p Payload) {
	// A switch and no call through the interface, so that the compiler sees
	// that p does not escape to the heap.
	switch p := p.(type) {
	case *SA:
		if b.begin(PayloadSA, p.Critical, p.fault()) {
			b.buf = p.AppendBody(b.buf)
		}
	case *KE:
		if b.begin(PayloadKE, p.Critical, p.fault()) {
			b.buf = p.AppendBody(b.buf)
		}
	case *ID:
		if b.begin(p.PayloadType(), p.Critical, p.fault()) {
			b.buf = p.AppendBody(b.buf)
		}
	case *CERT:
		if b.begin(PayloadCERT, p.Critical, p.fault()) {
			b.buf = p.AppendBody(b.buf)
		}
	case *CERTREQ:
		if b.begin(PayloadCERTREQ, p.Critical, p.fault()) {
			b.buf = p.AppendBody(b.buf)
		}
	case *AUTH:
		if b.begin(PayloadAUTH, p.Critical, p.fault()) {
			b.buf = p.AppendBody(b.buf)
		}
	case *Nonce:
		if b.begin(PayloadNonce, p.Critical, p.fault()) {
			b.buf = p.AppendBody(b.buf)
		}
	case *Notify:
		if b.begin(PayloadNotify, p.Critical, p.fault()) {
			b.buf = p.AppendBody(b.buf)
		}
	case *Delete:
		if b.begin(PayloadDelete, p.Critical, p.fault()) {
			b.buf = p.AppendBody(b.buf)
		}
	case *VendorID:
		if b.begin(PayloadVendorID, p.Critical, p.fault()) {
			b.buf = p.AppendBody(b.buf)
		}
	case *TS:
		if b.begin(p.PayloadType(), p.Critical, p.fault()) {
			b.buf = p.AppendBody(b.buf)
		}
	case *CP:
		if b.begin(PayloadCP, p.Critical, p.fault()) {
			b.buf = p.AppendBody(b.buf)
		}
	case *EAP:
		if b.begin(PayloadEAP, p.Critical, p.fault()) {
			b.buf = p.AppendBody(b.buf)
		}
	case *Unknown:
		if b.begin(p.Type, p.Critical, p.fault()) {
			b.buf = p.AppendBody(b.buf)
		}
	case *SK:
		if b.begin(PayloadSK, p.Critical, p.fault()) {
			b.buf[b.open] = byte(p.First)
			b.buf = p.AppendBody(b.buf)
			b.ended = true
		}
	case *SKF:
		if b.begin(PayloadSKF, p.Critical, p.fault()) {
			b.buf[b.open] = byte(p.First)
			b.buf = p.AppendBody(b.buf)
			b.ended = true
		}
	default:
		b.fail(PayloadNone, "nil or of a foreign type")
	}
	if b.err == nil {
		b.EndPayload()
	}
}

// begin is BeginPayload after the payload's own check; it reports whether to
// go on.
func (b *Builder) begin(t PayloadType, critical bool, fault string) bool {
	if fault != "" {
		b.fail(t, fault)
	}
	b.BeginPayload(t, critical)
	return b.err == nil
}

// BeginPayload begins a payload whose body follows through [Builder.Append];
// EndPayload completes it.
func (b *Builder) BeginPayload(t PayloadType, critical bool) {
	if b.err != nil {
		return
	}
	if b.open >= 0 {
		b.fail(t, "begun inside another payload")
		return
	}
	if b.full || b.ended {
		b.fail(t, "follows an encrypted payload, or a chain")
		return
	}
	b.generic(t, critical)
	b.open = b.link
}

// generic appends a generic payload header and links it to what is before.
func (b *Builder) generic(t PayloadType, crit bool) {
	if b.link < 0 {
		b.first = t
	} else {
		b.buf[b.link] = byte(t)
	}
	b.link = len(b.buf)
	flags := byte(0)
	if crit {
		flags = critical
	}
	b.buf = append(b.buf, byte(PayloadNone), flags, 0, 0)
}

// Append appends octets to the body of the payload begun by BeginPayload, or
// to the content of the SK or SKF payload begun by BeginSK or BeginSKF.
func (b *Builder) Append(octets ...byte) {
	if b.err == nil {
		b.buf = append(b.buf, octets...)
	}
}

// AddChain adds the payloads of a chain, the first of which has type first, as
// a Builder of NewChainBuilder has written it. Nothing may follow it.
func (b *Builder) AddChain(first PayloadType, chain []byte) {
	if b.err != nil || first == PayloadNone {
		return
	}
	if b.open >= 0 || b.full || b.ended {
		b.fail(first, "chain added out of order")
		return
	}
	if b.full = true; b.link < 0 {
		b.first = first
	} else {
		b.buf[b.link] = byte(first)
	}
	b.buf = append(b.buf, chain...)
}

// EndPayload completes the payload begun by BeginPayload.
func (b *Builder) EndPayload() {
	if b.err != nil {
		return
	}
	if b.open < 0 {
		b.fail(PayloadNone, "ended, but none was begun")
		return
	}
	b.patchLength(b.open)
	b.open = -1
}

func (b *Builder) patchLength(generic int) {
	n := len(b.buf) - generic
	if n > 0xffff {
		b.fail(PayloadNone, fmt.Sprintf("of %d octets, more than a payload's length field can say", n))
		return
	}
	binary.BigEndian.PutUint16(b.buf[generic+2:], uint16(n))
}

// BeginSK begins an Encrypted payload (RFC 7296 3.14) with room for ivLen
// octets of IV. Payloads added from here on are inside of it, until Seal.
func (b *Builder) BeginSK(ivLen int) { b.beginSK(PayloadSK, ivLen) }

// BeginSKF begins an Encrypted Fragment payload (RFC 7383 2.5): fragment
// number of total, with room for ivLen octets of IV. Its content, a piece of
// an inner chain whose first payload has type first, follows through Append.
func (b *Builder) BeginSKF(number, total uint16, first PayloadType, ivLen int) {
	if number != 1 {
		first = PayloadNone
	}
	f := SKF{First: first, Number: number, Total: total}
	if why := f.fault(); why != "" {
		b.fail(PayloadSKF, why)
	}
	b.beginSK(PayloadSKF, ivLen)
	if b.err != nil {
		return
	}
	b.buf[b.sk] = byte(first)
	fields := b.buf[b.sk+genericLen:]
	binary.BigEndian.PutUint16(fields, number)
	binary.BigEndian.PutUint16(fields[2:], total)
}

func (b *Builder) beginSK(t PayloadType, ivLen int) {
	if b.err != nil {
		return
	}
	if b.open >= 0 || b.sk >= 0 || b.full || b.ended || !b.header {
		b.fail(t, "begun out of order")
		return
	}
	if ivLen < 0 {
		b.fail(t, "negative IV length")
		return
	}
	b.generic(t, false)
	b.sk = b.link
	if t == PayloadSKF {
		b.buf = append(b.buf, 0, 0, 0, 0)
	}
	b.iv, b.ivLen = len(b.buf), ivLen
	b.zeros(ivLen)
}

func (b *Builder) zeros(n int) {
	for range n {
		b.buf = append(b.buf, 0)
	}
}

// Seal completes the Encrypted or Encrypted Fragment payload: it pads the
// content with zeros so that content, padding and pad length fill whole blocks
// of blockLen octets (1 for no padding), leaves room for an ICV of icvLen
// octets, and patches all lengths. The caller then fills the IV, encrypts
// Plaintext in place and fills the ICV. The message is complete: Finish
// returns the same octets as Sealed.Message.
func (b *Builder) Seal(blockLen, icvLen int) (Sealed, error) {
	if b.err == nil && (b.sk < 0 || b.ended || b.open >= 0) {
		b.fail(PayloadSK, "sealed out of order")
	}
	if b.err == nil && (blockLen < 1 || blockLen > 256) {
		b.fail(PayloadSK, "block length below 1 or above 256")
	}
	if b.err == nil && icvLen < 0 {
		b.fail(PayloadSK, "negative ICV length")
	}
	if b.err != nil {
		return Sealed{}, b.err
	}
	content := len(b.buf) - b.iv - b.ivLen
	pad := (blockLen - (content+1)%blockLen) % blockLen
	b.zeros(pad)
	b.buf = append(b.buf, byte(pad))
	b.zeros(icvLen)
	b.ended = true
	if b.patchLength(b.sk); b.err != nil {
		return Sealed{}, b.err
	}
	m, err := b.Finish()
	if err != nil {
		return Sealed{}, err
	}
	return splitSealed(m[b.start:], b.iv-b.start, b.ivLen, icvLen), nil
}

// Finish completes the message or chain and returns dst with it appended.
func (b *Builder) Finish() ([]byte, error) {
	if b.err == nil && b.open >= 0 {
		b.fail(PayloadNone, "begun, but not ended")
	}
	if b.err == nil && b.sk >= 0 && !b.ended {
		b.fail(PayloadSK, "begun, but not sealed")
	}
	if b.err != nil {
		return b.buf[:b.start], b.err
	}
	if b.header {
		binary.BigEndian.PutUint32(b.buf[b.start+24:], uint32(len(b.buf)-b.start))
	}
	return b.buf, nil
}
