package suite

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/subtle"
	"encoding/binary"
	"sync"
)

// ccm is AES-CCM (RFC 3610) with the parameters of RFC 4309 and RFC 5282: an
// 11-octet nonce, of which 3 are salt, a 4-octet counter, and 8, 12 or 16
// octets of ICV.
type ccm struct {
	block cipher.Block
	tag   int
	salt  [ccmSaltSize]byte
	pool  sync.Pool // of *ccmState
}

// ccmState is the working memory of one packet.
type ccmState struct {
	mac, ctr, ks, block [aes.BlockSize]byte
}

const (
	ccmNonceSize = ccmSaltSize + 8
	ccmL         = 15 - ccmNonceSize // octets of counter and of length
)

func newCCM(key, salt []byte, tag int) *ccm {
	m := &ccm{block: newAES(key), tag: tag}
	copy(m.salt[:], salt)
	m.pool.New = func() any { return new(ccmState) }
	return m
}

func (m *ccm) seal(buf []byte, n int, iv, aad, _ []byte) {
	s := m.pool.Get().(*ccmState)
	m.authenticate(s, buf[:n], iv, aad)
	m.xor(s, buf[:n], iv)
	m.mask(s)
	copy(buf[n:], s.mac[:])
	m.pool.Put(s)
}

func (m *ccm) open(buf []byte, n int, iv, aad, _ []byte) bool {
	s := m.pool.Get().(*ccmState)
	m.xor(s, buf[:n], iv)
	m.authenticate(s, buf[:n], iv, aad)
	m.mask(s)
	ok := hmac.Equal(s.mac[:m.tag], buf[n:])
	if !ok {
		clear(buf[:n]) // CCM authenticates the plaintext, so it is already there
	}
	clear(s.ks[:])
	clear(s.mac[:])
	clear(s.block[:])
	m.pool.Put(s)
	return ok
}

// authenticate computes the CBC-MAC of RFC 3610 section 2.2 into s.mac.
func (m *ccm) authenticate(s *ccmState, text, iv, aad []byte) {
	s.mac[0] = byte((m.tag-2)/2<<3 | ccmL - 1)
	if len(aad) > 0 {
		s.mac[0] |= 1 << 6
	}
	copy(s.mac[1:], m.salt[:])
	copy(s.mac[1+ccmSaltSize:], iv)
	binary.BigEndian.PutUint32(s.mac[1+ccmNonceSize:], uint32(len(text)))
	m.block.Encrypt(s.mac[:], s.mac[:])

	if len(aad) > 0 {
		// The length precedes the data in 2 octets, or from 0xff00 on in 6.
		clear(s.block[:])
		h := 2
		if len(aad) < 0xff00 {
			binary.BigEndian.PutUint16(s.block[:], uint16(len(aad)))
		} else {
			h = 6
			binary.BigEndian.PutUint16(s.block[:], 0xfffe)
			binary.BigEndian.PutUint32(s.block[2:], uint32(len(aad)))
		}
		c := copy(s.block[h:], aad)
		m.chain(s, s.block[:])
		m.chainAll(s, aad[c:])
	}
	m.chainAll(s, text)
}

// chainAll chains data, the last block padded with zeros.
func (m *ccm) chainAll(s *ccmState, data []byte) {
	for len(data) >= aes.BlockSize {
		m.chain(s, data[:aes.BlockSize])
		data = data[aes.BlockSize:]
	}
	if len(data) > 0 {
		m.chain(s, data)
	}
}

func (m *ccm) chain(s *ccmState, b []byte) {
	subtle.XORBytes(s.mac[:], s.mac[:], b)
	m.block.Encrypt(s.mac[:], s.mac[:])
}

// counter sets up the counter block with the counter value i.
func (m *ccm) counter(s *ccmState, iv []byte, i uint32) {
	s.ctr[0] = ccmL - 1
	copy(s.ctr[1:], m.salt[:])
	copy(s.ctr[1+ccmSaltSize:], iv)
	binary.BigEndian.PutUint32(s.ctr[1+ccmNonceSize:], i)
}

// xor encrypts or decrypts text with the key stream from counter 1 on, and
// leaves the counter block's counter at 0 for mask.
func (m *ccm) xor(s *ccmState, text, iv []byte) {
	m.counter(s, iv, 0)
	for i := uint32(1); len(text) > 0; i++ {
		binary.BigEndian.PutUint32(s.ctr[1+ccmNonceSize:], i)
		m.block.Encrypt(s.ks[:], s.ctr[:])
		text = text[subtle.XORBytes(text, text, s.ks[:]):]
	}
	binary.BigEndian.PutUint32(s.ctr[1+ccmNonceSize:], 0)
}

// mask encrypts the MAC with the key stream of counter 0.
func (m *ccm) mask(s *ccmState) {
	m.block.Encrypt(s.ks[:], s.ctr[:])
	subtle.XORBytes(s.mac[:], s.mac[:], s.ks[:])
}

func (m *ccm) wipe() { m.block = nil; clear(m.salt[:]) }
