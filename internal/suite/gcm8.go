package suite

import (
	"crypto/cipher"
	"crypto/hmac"
	"sync"
)

// gcm8 is AES-GCM with 8 octets of ICV (RFC 4106), which the standard library
// does not do: it stops at 12.
//
// Seal makes the whole tag in a scratch buffer and copies what is wanted. Open
// cannot ask the library to compare 8 octets, so it runs the cipher twice:
// sealing the ciphertext gives the plaintext, since counter mode is its own
// inverse, and sealing that plaintext gives the tag it must have had.
type gcm8 struct {
	gcm     cipher.AEAD
	nonces  noncePool
	scratch bufferPool
}

const (
	gcm8ICV = 8
	gcmTag  = 16
)

func newGCM8(key, salt []byte) *gcm8 {
	m := &gcm8{gcm: stdGCM(key, gcmTag)}
	m.nonces.init(salt)
	return m
}

func (m *gcm8) seal(buf []byte, n int, iv, aad, _ []byte) {
	nonce, s := m.nonces.get(iv), m.scratch.get(n+gcmTag)
	m.gcm.Seal(s.b[:0], nonce[:], buf[:n], aad)
	copy(buf, s.b[:n+gcm8ICV])
	m.scratch.put(s)
	m.nonces.put(nonce)
}

func (m *gcm8) open(buf []byte, n int, iv, aad, _ []byte) bool {
	nonce, s := m.nonces.get(iv), m.scratch.get(n+gcmTag)
	plain, again := s.b, m.scratch.get(n+gcmTag)
	m.gcm.Seal(plain[:0], nonce[:], buf[:n], nil)
	m.gcm.Seal(again.b[:0], nonce[:], plain[:n], aad)
	ok := hmac.Equal(again.b[n:n+gcm8ICV], buf[n:])
	if ok {
		copy(buf, plain[:n])
	}
	clear(plain)
	m.scratch.put(s)
	m.scratch.put(again)
	m.nonces.put(nonce)
	return ok
}

func (m *gcm8) wipe() { m.gcm = nil; m.nonces.wipe() }

// bufferPool lends out scratch buffers that grow to the packets' size.
type bufferPool struct{ pool sync.Pool } // of *scratch

type scratch struct{ b []byte }

func (p *bufferPool) get(n int) *scratch {
	s, _ := p.pool.Get().(*scratch)
	if s == nil {
		s = new(scratch)
	}
	if cap(s.b) < n {
		s.b = make([]byte, n+n/4)
	}
	s.b = s.b[:n]
	return s
}

func (p *bufferPool) put(s *scratch) { p.pool.Put(s) }
