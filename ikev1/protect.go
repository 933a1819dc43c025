package ikev1

import (
	"bytes"
	"crypto/hmac"
	"errors"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/internal/secret"
)

var (
	errMalformed   = errors.New("malformed")
	errUnprotected = errors.New("in clear although keys exist")
	errHash        = errors.New("HASH payload is missing or wrong")
)

// countBad counts a message that was dropped.
func (e *Endpoint) countBad(err error) {
	switch {
	case errors.Is(err, errUnprotected):
		e.Count.Unprotected++
	case errors.Is(err, errHash), errors.Is(err, errCiphertext):
		e.Count.BadIntegrity++
	default:
		e.Count.Malformed++
	}
}

// blockSize is the cipher's block.
func (sa *isakmpSA) blockSize() int { return encryptionByTransform(sa.negotiated.encr).block }

// cipher keys the cipher. An ISAKMP SA is idle nearly all of its life, so it
// keeps the key only.
func (sa *isakmpSA) cipher() (*messageCipher, error) {
	return newMessageCipher(sa.negotiated.encr, sa.keys.cipherKey)
}

// seal builds and encrypts a message: with a HASH payload first, unless hash is
// nil (phase 1). It returns the datagrams, and the vector of the next message.
func (sa *isakmpSA) seal(now time.Time, h isakmp.Header, iv initVector, hash func(covered []byte) secret.Bytes, payloads []isakmp.Payload) ([][]byte, initVector, error) {
	c, err := sa.cipher()
	if err != nil {
		return nil, iv, err
	}
	b := isakmp.NewBuilder(make([]byte, 0, 512), h)
	if hash != nil {
		b.ReserveHash(sa.keys.hash.prf.Size)
	}
	for _, p := range payloads {
		b.Add(p)
	}
	if hash != nil {
		at, covered := b.Hashed()
		copy(at, hash(covered))
	}
	s, err := b.Seal(c.blockSize())
	if err != nil {
		return nil, iv, err
	}
	sa.trace(now, true, h, s.Plaintext, isakmp.PayloadType(s.Message[16]))
	next, err := c.seal(iv, s.Plaintext)
	if err != nil {
		return nil, iv, err
	}
	sa.octets += uint64(len(s.Plaintext))
	return sa.cut(s.Message), next, nil
}

// open decrypts a message and checks its HASH payload, which hash computes over
// what it covers; nil is for phase 1, which has none. It changes nothing. The
// result shares no memory with b.
func (sa *isakmpSA) open(now time.Time, h isakmp.Header, b []byte, iv initVector, hash func(covered []byte) secret.Bytes) (*inbound, initVector, error) {
	if !h.Encrypted() {
		return nil, iv, errUnprotected
	}
	c, err := sa.cipher()
	if err != nil {
		return nil, iv, err
	}
	body := bytes.Clone(b[isakmp.HeaderLen:])
	next, err := c.open(iv, body)
	if err != nil {
		return nil, iv, err
	}
	m := &inbound{header: h, body: body}
	if m.chain, err = isakmp.ParsePaddedChain(h.NextPayload, body); err != nil {
		return nil, iv, err
	}
	if hash != nil {
		got, covered, err := m.chain.Hashed(body)
		if err != nil {
			return nil, iv, errHash
		}
		if want := hash(covered); want == nil || !hmac.Equal(got, want) {
			return nil, iv, errHash
		}
	}
	if m.Payloads, err = m.chain.Payloads(); err != nil {
		return nil, iv, err
	}
	if hash != nil { // without, it may be of anybody, and is not to use the lifetime up
		sa.octets += uint64(len(body))
	}
	sa.trace(now, false, h, body[:m.chain.Len()], h.NextPayload)
	return m, next, nil
}

// openClear parses a message in clear. It may be filled up with zeros to a
// multiple of 4 octets, as libreswan does.
func openClear(h isakmp.Header, b []byte) (*inbound, error) {
	body := bytes.Clone(b[isakmp.HeaderLen:])
	chain, err := isakmp.ParsePaddedChain(h.NextPayload, body)
	if err != nil {
		return nil, err
	}
	body, rest := body[:chain.Len()], body[chain.Len():]
	if len(rest) >= 4 || !bytes.Equal(rest, make([]byte, len(rest))) {
		return nil, errMalformed
	}
	m := &inbound{header: h, body: body, chain: chain}
	m.Payloads, err = m.chain.Payloads()
	return m, err
}

// trace shows a message as it would look in clear.
func (sa *isakmpSA) trace(now time.Time, outbound bool, h isakmp.Header, body []byte, first isakmp.PayloadType) {
	f := sa.ep.cfg.Trace
	if f == nil {
		return
	}
	if chain, err := isakmp.ParsePaddedChain(first, body); err == nil {
		body = body[:chain.Len()] // without the padding for the cipher
	}
	h.NextPayload, h.Flags = first, h.Flags&^isakmp.FlagEncryption
	h.Length = uint32(isakmp.HeaderLen + len(body))
	b, err := h.AppendBinary(nil)
	if err != nil {
		return
	}
	b = append(b, body...)
	if h.Exchange == isakmp.ExchangeTransaction {
		sa.hideSecrets(first, b[isakmp.HeaderLen:])
	}
	f(ike.TraceRecord{Time: now, Session: sa.s.ID, Path: sa.s.Path, Outbound: outbound, Message: b})
}
