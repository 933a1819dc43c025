package suite

import (
	"bytes"
	"crypto/sha512"
	"crypto/subtle"
	"hash"
	"sync"
)

// prfHMAC is HMAC (RFC 2104) whose memory serves one key after the other. A
// handshake takes some twenty keys for one or two computations each, and
// crypto/hmac allocates five objects for each key.
type prfHMAC struct {
	pool         *sync.Pool // where it goes back to
	inner, outer hash.Hash
	ipad, opad   []byte // of the hash's block size
	sum          []byte
}

// prfHMACOf adapts a hash to the newHash of a table row. What it returns is
// given back by wipe, and must not be used afterwards.
func prfHMACOf(h func() hash.Hash) func(key []byte) hash.Hash {
	pool := new(sync.Pool)
	pool.New = func() any {
		m := &prfHMAC{pool: pool, inner: h(), outer: h()}
		n := m.inner.BlockSize()
		pads := make([]byte, 2*n)
		m.ipad, m.opad, m.sum = pads[:n:n], pads[n:], make([]byte, 0, m.inner.Size())
		return m
	}
	return func(key []byte) hash.Hash {
		m := pool.Get().(*prfHMAC)
		m.setKey(key)
		return m
	}
}

func (m *prfHMAC) setKey(key []byte) {
	if len(key) > len(m.ipad) {
		m.outer.Reset()
		m.outer.Write(key)
		key = m.outer.Sum(m.sum)
	}
	n := subtle.XORBytes(m.ipad, key, innerPad[:])
	copy(m.ipad[n:], innerPad[:])
	subtle.XORBytes(m.opad, key, outerPad[:])
	copy(m.opad[n:], outerPad[:])
	m.Reset()
}

// The constants of RFC 2104, as long as the longest block.
var (
	innerPad = [sha512.BlockSize]byte(bytes.Repeat([]byte{0x36}, sha512.BlockSize))
	outerPad = [sha512.BlockSize]byte(bytes.Repeat([]byte{0x5c}, sha512.BlockSize))
)

func (m *prfHMAC) Reset() {
	m.inner.Reset()
	m.inner.Write(m.ipad)
}

func (m *prfHMAC) Write(p []byte) (int, error) { return m.inner.Write(p) }

func (m *prfHMAC) Sum(b []byte) []byte {
	digest := m.inner.Sum(m.sum)
	m.outer.Reset()
	m.outer.Write(m.opad)
	m.outer.Write(digest)
	return m.outer.Sum(b)
}

func (m *prfHMAC) Size() int      { return m.inner.Size() }
func (m *prfHMAC) BlockSize() int { return m.inner.BlockSize() }

// wipe forgets the key and gives the memory to the next one. A hash keeps its
// last block until it is written over: a block of zeros does that.
func (m *prfHMAC) wipe() {
	clear(m.ipad)
	clear(m.opad)
	clear(m.sum[:cap(m.sum)])
	for _, h := range []hash.Hash{m.inner, m.outer} {
		h.Reset()
		h.Write(m.ipad[:len(m.ipad)-1])
		h.Reset()
	}
	m.pool.Put(m)
}
