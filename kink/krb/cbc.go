package krb

import (
	"crypto/cipher"
	"crypto/subtle"
)

// These work on the block: a cipher.BlockMode would cost two objects for each
// message, and messages are short.

// encryptCBC encrypts b, whole blocks, in place with a zero initial vector.
func encryptCBC(c cipher.Block, b []byte) {
	n := c.BlockSize()
	for i := 0; i < len(b); i += n {
		if i > 0 {
			subtle.XORBytes(b[i:i+n], b[i:i+n], b[i-n:i])
		}
		c.Encrypt(b[i:i+n], b[i:i+n])
	}
}

// decryptCBC begins at the end: what is before is still encrypted then.
func decryptCBC(c cipher.Block, b []byte) {
	n := c.BlockSize()
	for i := len(b) - n; i >= 0; i -= n {
		c.Decrypt(b[i:i+n], b[i:i+n])
		if i > 0 {
			subtle.XORBytes(b[i:i+n], b[i:i+n], b[i-n:i])
		}
	}
}

// encryptCTS encrypts b, at least one block, in place with a zero initial
// vector and ciphertext stealing as RFC 3962 5 has it: the last two blocks are
// exchanged, the then last one is cut.
func encryptCTS(c cipher.Block, b []byte) {
	n := c.BlockSize()
	whole := (len(b) - 1) / n * n // all but the last, perhaps partial block
	if whole == 0 {
		c.Encrypt(b, b)
		return
	}
	encryptCBC(c, b[:whole])
	prev, tail := b[whole-n:whole], b[whole:]
	for i, x := range tail {
		tail[i] = prev[i]
		prev[i] ^= x
	}
	c.Encrypt(prev, prev)
}

func decryptCTS(c cipher.Block, b []byte) {
	n := c.BlockSize()
	whole := (len(b) - 1) / n * n
	if whole == 0 {
		c.Decrypt(b, b)
		return
	}
	prev, tail := b[whole-n:whole], b[whole:]
	c.Decrypt(prev, prev) // last plaintext block, padded with zeros, XOR the block before it
	for i, x := range tail {
		tail[i] = prev[i] ^ x
		prev[i] = x
	}
	decryptCBC(c, b[:whole])
}
