package isakmp

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrEncode is wrapped by every error of a [Builder]: a payload has no wire
// form, or the calls were out of order.
var ErrEncode = errors.New("isakmp: cannot encode")

// A Builder writes a message into the caller's buffer, payload after payload.
// It links the next-payload fields and patches lengths in place, so that
// nothing is copied or, given a buffer with room, allocated; payloads passed
// to Add may live on the stack. The first error sticks and is returned by
// Finish; payloads after it are ignored.
//
// A message in clear:
//
//	b := isakmp.NewBuilder(buf[:0], header)
//	b.Add(&isakmp.SA{...})
//	b.Add(&isakmp.VendorID{...})
//	datagram, err := b.Finish()
//
// One of Quick Mode, which is hashed and encrypted:
//
//	b := isakmp.NewBuilder(buf[:0], header)
//	b.ReserveHash(size)
//	b.Add(&isakmp.SA{...})
//	hash, covered := b.Hashed()      // fill hash with HASH(1) over covered
//	s, err := b.Seal(blockLen)       // encrypt s.Plaintext in place
//
// The zero Builder is not ready; use NewBuilder or NewChainBuilder.
type Builder struct {
	buf     []byte
	start   int         // of the header in buf
	header  bool        // there is one
	first   PayloadType // of the chain, if there is no header
	link    int         // octet that takes the next payload's type; -1 for first
	open    int         // generic header of the payload that BeginPayload began; -1 for none
	hash    int         // body of the HASH payload that ReserveHash wrote; -1 for none
	hashLen int
	sealed  bool
	err     error
}

// NewBuilder begins a message with header h, appended to dst. The header's
// NextPayload and Length are filled in later; a Version of zero means 1.0.
func NewBuilder(dst []byte, h Header) Builder {
	if h.Version == 0 {
		h.Version = Version1
	}
	h.NextPayload, h.Length = PayloadNone, 0
	b := Builder{start: len(dst), header: true, open: -1, hash: -1}
	b.buf = h.append(dst)
	b.link = b.start + 16
	return b
}

// NewChainBuilder begins a chain of payloads without a header, appended to
// dst, as KINK carries it (RFC 4430 4.2.3). First tells the type of the first
// payload.
func NewChainBuilder(dst []byte) Builder {
	return Builder{buf: dst, start: len(dst), link: -1, open: -1, hash: -1}
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

// Add appends a payload.
func (b *Builder) Add(p Payload) {
	// A switch and no call through the interface, so that the compiler sees
	// that p does not escape to the heap.
	switch p := p.(type) {
	case *SA:
		if b.begin(PayloadSA, p.fault()) {
			b.buf = p.AppendBody(b.buf)
		}
	case *KE:
		if b.begin(PayloadKE, p.fault()) {
			b.buf = p.AppendBody(b.buf)
		}
	case *ID:
		if b.begin(PayloadID, p.fault()) {
			b.buf = p.AppendBody(b.buf)
		}
	case *CERT:
		if b.begin(PayloadCERT, p.fault()) {
			b.buf = p.AppendBody(b.buf)
		}
	case *CR:
		if b.begin(PayloadCR, p.fault()) {
			b.buf = p.AppendBody(b.buf)
		}
	case *HASH:
		if b.begin(PayloadHASH, p.fault()) {
			b.buf = p.AppendBody(b.buf)
		}
	case *SIG:
		if b.begin(PayloadSIG, p.fault()) {
			b.buf = p.AppendBody(b.buf)
		}
	case *Nonce:
		if b.begin(PayloadNonce, p.fault()) {
			b.buf = p.AppendBody(b.buf)
		}
	case *Notify:
		if b.begin(PayloadNotify, p.fault()) {
			b.buf = p.AppendBody(b.buf)
		}
	case *Delete:
		if b.begin(PayloadDelete, p.fault()) {
			b.buf = p.AppendBody(b.buf)
		}
	case *VendorID:
		if b.begin(PayloadVendorID, p.fault()) {
			b.buf = p.AppendBody(b.buf)
		}
	case *Attributes:
		if b.begin(PayloadAttributes, p.fault()) {
			b.buf = p.AppendBody(b.buf)
		}
	case *NATD:
		if b.begin(p.PayloadType(), p.fault()) {
			b.buf = p.AppendBody(b.buf)
		}
	case *NATOA:
		if b.begin(p.PayloadType(), p.fault()) {
			b.buf = p.AppendBody(b.buf)
		}
	case *Fragment:
		if b.begin(PayloadFragment, p.fault()) {
			b.buf = p.AppendBody(b.buf)
		}
	case *Unknown:
		if b.begin(p.Type, p.fault()) {
			b.buf = p.AppendBody(b.buf)
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
func (b *Builder) begin(t PayloadType, fault string) bool {
	if fault != "" {
		b.fail(t, fault)
	}
	b.BeginPayload(t)
	return b.err == nil
}

// BeginPayload begins a payload whose body follows through [Builder.Append];
// EndPayload completes it.
func (b *Builder) BeginPayload(t PayloadType) {
	if b.err != nil {
		return
	}
	switch {
	case b.open >= 0:
		b.fail(t, "begun inside another payload")
		return
	case b.sealed:
		b.fail(t, "follows the padding")
		return
	}
	if b.link < 0 {
		b.first = t
	} else {
		b.buf[b.link] = byte(t)
	}
	b.link = len(b.buf)
	b.open = b.link
	b.buf = append(b.buf, byte(PayloadNone), 0, 0, 0)
}

// Append appends octets to the body of the payload begun by BeginPayload.
func (b *Builder) Append(octets ...byte) {
	if b.err == nil && b.open < 0 {
		b.fail(PayloadNone, "octets outside a payload")
	}
	if b.err == nil {
		b.buf = append(b.buf, octets...)
	}
}

// EndPayload completes the payload begun by BeginPayload.
func (b *Builder) EndPayload() {
	if b.err != nil {
		return
	}
	if b.open < 0 {
		b.fail(PayloadNone, "ended, but not begun")
		return
	}
	n := len(b.buf) - b.open
	if n > 0xffff {
		b.fail(PayloadNone, fmt.Sprintf("of %d octets", n))
		return
	}
	binary.BigEndian.PutUint16(b.buf[b.open+2:], uint16(n))
	b.open = -1
}

// ReserveHash appends a HASH payload of n zero octets, to be filled in through
// Hashed once the payloads that it covers are there.
func (b *Builder) ReserveHash(n int) {
	if b.err == nil && (b.hash >= 0 || n < 1) {
		b.fail(PayloadHASH, "reserved twice, or empty")
	}
	b.BeginPayload(PayloadHASH)
	if b.err != nil {
		return
	}
	b.hash, b.hashLen = len(b.buf), n
	b.zeros(n)
	b.EndPayload()
}

// Hashed returns the octets that ReserveHash reserved, and those that the hash
// covers: all payloads behind it. Both alias the buffer and are valid until
// the next call of a Builder method. They are nil if something went wrong
// before.
func (b *Builder) Hashed() (hash, covered []byte) {
	if b.err == nil && (b.hash < 0 || b.open >= 0 || b.sealed) {
		b.fail(PayloadHASH, "not reserved, or asked for out of order")
	}
	if b.err != nil {
		return nil, nil
	}
	end := b.hash + b.hashLen
	return b.buf[b.hash:end:end], b.buf[end:len(b.buf):len(b.buf)]
}

func (b *Builder) zeros(n int) {
	for range n {
		b.buf = append(b.buf, 0)
	}
}

// Sealed is the layout of a message that is to be encrypted. The slices share
// one array.
type Sealed struct {
	Message   []byte // header and all
	Plaintext []byte // what follows the header, in whole blocks
}

// Seal completes a message that is to be encrypted: it pads the payloads with
// zeros to whole blocks of blockLen octets (RFC 2409 Appendix B), sets the
// encryption flag and the length. The caller then encrypts Plaintext in place.
// Finish returns the same octets as Sealed.Message.
func (b *Builder) Seal(blockLen int) (Sealed, error) {
	if b.err == nil && (!b.header || b.open >= 0 || b.sealed) {
		b.fail(PayloadNone, "sealed out of order")
	}
	if b.err == nil && (blockLen < 1 || blockLen > 256) {
		b.fail(PayloadNone, "block length below 1 or above 256")
	}
	if b.err != nil {
		return Sealed{}, b.err
	}
	b.zeros((blockLen - (b.Len()-HeaderLen)%blockLen) % blockLen)
	b.buf[b.start+19] |= byte(FlagEncryption)
	b.sealed = true
	m, err := b.Finish()
	if err != nil {
		return Sealed{}, err
	}
	return Sealed{Message: m[b.start:], Plaintext: m[b.start+HeaderLen:]}, nil
}

// Finish completes the message or chain and returns dst with it appended.
func (b *Builder) Finish() ([]byte, error) {
	if b.err == nil && b.open >= 0 {
		b.fail(PayloadNone, "begun, but not ended")
	}
	if b.err != nil {
		return b.buf[:b.start], b.err
	}
	if b.header {
		binary.BigEndian.PutUint32(b.buf[b.start+24:], uint32(len(b.buf)-b.start))
	}
	return b.buf, nil
}
