package suite

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
)

// ctr is AES-CTR (RFC 3686): the counter block is nonce | IV | counter, and
// the counter starts at 1.
//
// The library's counter mode wants a new object for each packet. Its GCM does
// not, and is as fast: the key stream of GCM under the same nonce | IV is this
// one from the second block on, because GCM keeps counter 1 for its tag. So
// the first block is made here, the others by GCM, and the tag is thrown away.
type ctr struct {
	block   cipher.Block
	gcm     cipher.AEAD
	nonces  noncePool
	scratch bufferPool
}

func newCTR(key, nonce []byte) *ctr {
	c := &ctr{block: newAES(key), gcm: stdGCM(key, gcmTag)}
	c.nonces.init(nonce)
	return c
}

func (c *ctr) encrypt(text, iv []byte) {
	nonce, s := c.nonces.get(iv), c.scratch.get(len(text)+aes.BlockSize+gcmTag)
	first := s.b[:aes.BlockSize]
	copy(first, nonce[:])
	first[12], first[13], first[14], first[15] = 0, 0, 0, 1
	c.block.Encrypt(first, first)
	rest := text[subtle.XORBytes(text, text, first):]
	if len(rest) > 0 {
		copy(rest, c.gcm.Seal(s.b[:0], nonce[:], rest, nil)[:len(rest)])
	}
	clear(s.b) // of key stream, and of plaintext when decrypting
	c.scratch.put(s)
	c.nonces.put(nonce)
}

func (c *ctr) decrypt(text, iv []byte) {
	c.encrypt(text, iv)
}

func (c *ctr) wipe() { c.block, c.gcm = nil, nil; c.nonces.wipe() }
