package suite

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"hash"
)

// cbcMAC is the common body of AES-CMAC (RFC 4493) and AES-XCBC-MAC (RFC
// 3566): a CBC-MAC whose last block is masked with one of two subkeys,
// depending on whether it is complete. The two differ in how the subkeys are
// made, and in XCBC's use of a derived key for the chain.
type cbcMAC struct {
	block          cipher.Block
	whole, partial [aes.BlockSize]byte // masks of the last block
	x              [aes.BlockSize]byte // chain
	buf            [aes.BlockSize]byte // octets not yet chained: 1 to 16 once anything was written
	n              int
	last           [aes.BlockSize]byte
}

var _ hash.Hash = (*cbcMAC)(nil)

func (m *cbcMAC) Size() int      { return aes.BlockSize }
func (m *cbcMAC) BlockSize() int { return aes.BlockSize }

func (m *cbcMAC) Reset() {
	clear(m.x[:])
	m.n = 0
}

func (m *cbcMAC) Write(p []byte) (int, error) {
	written := len(p)
	if m.n > 0 {
		c := copy(m.buf[m.n:], p)
		m.n += c
		p = p[c:]
	}
	if len(p) == 0 {
		return written, nil
	}
	// More follows, so what is buffered is not the last block. The last one,
	// even if complete, stays in the buffer for Sum.
	if m.n == aes.BlockSize {
		m.chain(m.buf[:])
	}
	for len(p) > aes.BlockSize {
		m.chain(p[:aes.BlockSize])
		p = p[aes.BlockSize:]
	}
	m.n = copy(m.buf[:], p)
	return written, nil
}

func (m *cbcMAC) chain(b []byte) {
	subtle.XORBytes(m.x[:], m.x[:], b)
	m.block.Encrypt(m.x[:], m.x[:])
}

func (m *cbcMAC) Sum(b []byte) []byte {
	mask := &m.whole
	m.last = m.buf
	if m.n < aes.BlockSize {
		mask = &m.partial
		m.last[m.n] = 0x80
		clear(m.last[m.n+1:])
	}
	subtle.XORBytes(m.last[:], m.last[:], mask[:])
	subtle.XORBytes(m.last[:], m.last[:], m.x[:])
	m.block.Encrypt(m.last[:], m.last[:])
	return append(b, m.last[:]...)
}

func (m *cbcMAC) wipe() {
	clear(m.whole[:])
	clear(m.partial[:])
	clear(m.x[:])
	clear(m.buf[:])
	clear(m.last[:])
}

// newAES is aes.NewCipher for a key whose length the caller has made right.
func newAES(key []byte) cipher.Block { return mustBlock(aes.NewCipher(key)) }

func mustBlock(b cipher.Block, err error) cipher.Block {
	if err != nil {
		panic("suite: " + err.Error()) // a table row with a wrong key size
	}
	return b
}

// newCMAC keys AES-CMAC (RFC 4493 section 2.3) with 16, 24 or 32 octets.
func newCMAC(key []byte) hash.Hash {
	m := &cbcMAC{block: newAES(key)}
	m.block.Encrypt(m.whole[:], m.whole[:])
	double(&m.whole)
	m.partial = m.whole
	double(&m.partial)
	return m
}

// double multiplies by x in GF(2^128) with CMAC's bit order.
func double(b *[aes.BlockSize]byte) {
	msb := b[0] >> 7
	for i := range aes.BlockSize - 1 {
		b[i] = b[i]<<1 | b[i+1]>>7
	}
	b[15] = b[15]<<1 ^ 0x87&-msb
}

// newXCBC keys AES-XCBC-MAC (RFC 3566 section 4) with 16 octets.
func newXCBC(key []byte) hash.Hash {
	b := newAES(key)
	m := new(cbcMAC)
	var k1 [aes.BlockSize]byte
	for i := range aes.BlockSize {
		k1[i], m.whole[i], m.partial[i] = 1, 2, 3
	}
	b.Encrypt(k1[:], k1[:])
	b.Encrypt(m.whole[:], m.whole[:])
	b.Encrypt(m.partial[:], m.partial[:])
	m.block = newAES(k1[:])
	clear(k1[:])
	return m
}

// newXCBCPRF keys AES-XCBC-PRF-128 with a key of any length (RFC 4434 section
// 2): shorter keys are padded with zeros, longer ones hashed.
func newXCBCPRF(key []byte) hash.Hash {
	var k [aes.BlockSize]byte
	if len(key) > len(k) {
		h := newXCBC(k[:])
		h.Write(key)
		h.Sum(k[:0])
	} else {
		copy(k[:], key)
	}
	h := newXCBC(k[:])
	clear(k[:])
	return h
}

// newCMACPRF keys AES-CMAC-PRF-128 with a key of any length (RFC 4615 section
// 3): a key of any other length than 16 octets is hashed.
func newCMACPRF(key []byte) hash.Hash {
	var k [aes.BlockSize]byte
	if len(key) != len(k) {
		h := newCMAC(k[:])
		h.Write(key)
		h.Sum(k[:0])
	} else {
		copy(k[:], key)
	}
	h := newCMAC(k[:])
	clear(k[:])
	return h
}
