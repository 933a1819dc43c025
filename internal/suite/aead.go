package suite

import (
	"crypto/cipher"
	"sync"

	"golang.org/x/crypto/chacha20poly1305"
)

// nonceSize is salt and explicit IV together, for GCM and ChaCha20.
const nonceSize = 12

// aead is a combined mode that the standard library or x/crypto has whole:
// AES-GCM with 16 octets of ICV (RFC 4106, RFC 5282) and
// ChaCha20-Poly1305 (RFC 7634).
type aead struct {
	aead   cipher.AEAD
	nonces noncePool
}

func newGCM(key, salt []byte) *aead {
	m := &aead{aead: stdGCM(key, gcmTag)}
	m.nonces.init(salt)
	return m
}

func newChaCha20Poly1305(key, salt []byte) *aead {
	a, err := chacha20poly1305.New(key)
	if err != nil {
		panic("suite: " + err.Error()) // a table row with a wrong key size
	}
	m := &aead{aead: a}
	m.nonces.init(salt)
	return m
}

func stdGCM(key []byte, tag int) cipher.AEAD {
	a, err := cipher.NewGCMWithTagSize(newAES(key), tag)
	if err != nil {
		panic("suite: " + err.Error()) // a table row with a wrong tag size
	}
	return a
}

func (m *aead) seal(buf []byte, n int, iv, aad, _ []byte) {
	nonce := m.nonces.get(iv)
	m.aead.Seal(buf[:0], nonce[:], buf[:n], aad)
	m.nonces.put(nonce)
}

func (m *aead) open(buf []byte, _ int, iv, aad, _ []byte) bool {
	nonce := m.nonces.get(iv)
	_, err := m.aead.Open(buf[:0], nonce[:], buf, aad)
	m.nonces.put(nonce)
	return err == nil
}

func (m *aead) wipe() { m.aead = nil; m.nonces.wipe() }

// noncePool lends out nonces that start with an SA's salt. A nonce is handed
// to an interface: on the caller's stack it would escape, and cost an
// allocation per packet. The memory is shared by all SAs.
type noncePool struct{ salt [saltSize]byte }

var nonceBuffers = sync.Pool{New: func() any { return new([nonceSize]byte) }}

func (p *noncePool) init(salt []byte) { copy(p.salt[:], salt) }

func (p *noncePool) get(iv []byte) *[nonceSize]byte {
	n := nonceBuffers.Get().(*[nonceSize]byte)
	copy(n[:], p.salt[:])
	copy(n[saltSize:], iv)
	return n
}

func (p *noncePool) put(n *[nonceSize]byte) {
	clear(n[:])
	nonceBuffers.Put(n)
}

func (p *noncePool) wipe() { clear(p.salt[:]) }
