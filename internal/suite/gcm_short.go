package suite

import (
	"crypto/cipher"
	"crypto/hmac"
	"sync"
)

// shortGCM is AES-GCM with 8 or 12 octets of ICV (RFC 4106).
//
// Seal makes the whole tag in a scratch buffer and copies what is wanted: the
// standard library does not do 8 octets, and with 12 its assembly writes up to
// 3 octets beyond the tag (go.dev/issue/80288).
//
// Open with 8 octets cannot ask the library to compare so few, and runs the
// cipher twice: sealing the ciphertext gives the plaintext, since counter mode
// is its own inverse, and sealing that plaintext gives the tag it must have had.
type shortGCM struct {
	icv     int
	gcm     cipher.AEAD // with the whole tag
	opener  cipher.AEAD // with icv octets, nil if the library has none
	nonces  noncePool
	scratch bufferPool
}

const gcmTag = 16

func newShortGCM(key, salt []byte, icv int) *shortGCM {
	m := &shortGCM{icv: icv, gcm: stdGCM(key, gcmTag)}
	if icv >= 12 {
		m.opener = stdGCM(key, icv)
	}
	m.nonces.init(salt)
	return m
}

func (m *shortGCM) seal(buf []byte, n int, iv, aad, _ []byte) {
	nonce, s := m.nonces.get(iv), m.scratch.get(n+gcmTag)
	m.gcm.Seal(s.b[:0], nonce[:], buf[:n], aad)
	copy(buf, s.b[:n+m.icv])
	m.scratch.put(s)
	m.nonces.put(nonce)
}

func (m *shortGCM) open(buf []byte, n int, iv, aad, _ []byte) bool {
	nonce := m.nonces.get(iv)
	defer m.nonces.put(nonce)
	if m.opener != nil {
		_, err := m.opener.Open(buf[:0], nonce[:], buf, aad)
		return err == nil
	}
	plain, again := m.scratch.get(n+gcmTag), m.scratch.get(n+gcmTag)
	m.gcm.Seal(plain.b[:0], nonce[:], buf[:n], nil)
	m.gcm.Seal(again.b[:0], nonce[:], plain.b[:n], aad)
	ok := hmac.Equal(again.b[n:n+m.icv], buf[n:])
	if ok {
		copy(buf, plain.b[:n])
	}
	clear(plain.b)
	m.scratch.put(plain)
	m.scratch.put(again)
	return ok
}

func (m *shortGCM) wipe() { m.gcm, m.opener = nil, nil; m.nonces.wipe() }

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
