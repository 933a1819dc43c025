package suite

import (
	"crypto/cipher"
	"crypto/hmac"
)

// gmac is ENCR_NULL_AUTH_AES_GMAC (RFC 4543): the text stays in clear, and
// together with what precedes it is the additional authenticated data of an
// AES-GCM without plaintext.
type gmac struct {
	gcm     cipher.AEAD
	nonces  noncePool
	scratch bufferPool
}

func newGMAC(key, salt []byte) *gmac {
	m := &gmac{gcm: stdGCM(key, gcmTag)}
	m.nonces.init(salt)
	return m
}

// tag returns the tag over aad | iv | text in scratch memory, which the caller
// gives back. (RFC 4543 section 3.3: the IV is authenticated too.)
func (m *gmac) tag(text, iv, aad []byte) (*scratch, []byte) {
	n := len(aad) + len(iv) + len(text)
	s, nonce := m.scratch.get(n+gcmTag), m.nonces.get(iv)
	data := append(append(append(s.b[:0], aad...), iv...), text...)
	tag := m.gcm.Seal(s.b[n:n], nonce[:], nil, data)
	m.nonces.put(nonce)
	return s, tag
}

func (m *gmac) seal(buf []byte, n int, iv, aad, _ []byte) {
	s, tag := m.tag(buf[:n], iv, aad)
	copy(buf[n:], tag)
	m.scratch.put(s)
}

func (m *gmac) open(buf []byte, n int, iv, aad, _ []byte) bool {
	s, tag := m.tag(buf[:n], iv, aad)
	ok := hmac.Equal(tag, buf[n:])
	m.scratch.put(s)
	return ok
}

func (m *gmac) wipe() { m.gcm = nil; m.nonces.wipe() }
