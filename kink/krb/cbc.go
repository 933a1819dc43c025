package krb

import (
	"crypto/cipher"
)

// encryptCBC encrypts b, whole blocks, in place with a zero initial vector.
func encryptCBC(c cipher.Block, b []byte) {
	cipher.NewCBCEncrypter(c, make([]byte, c.BlockSize())).CryptBlocks(b, b)
}

func decryptCBC(c cipher.Block, b []byte) {
	cipher.NewCBCDecrypter(c, make([]byte, c.BlockSize())).CryptBlocks(b, b)
}

// encryptCTS encrypts b, at least one block, in place with a zero initial
// vector and ciphertext stealing as RFC 3962 5 has it: the last two blocks are
// exchanged, the then last one is cut.
func encryptCTS(c cipher.Block, b []byte) {
	n := c.BlockSize()
	if len(b) == n {
		c.Encrypt(b, b)
		return
	}
	whole := (len(b) - 1) / n * n // all but the last, perhaps partial block
	encryptCBC(c, b[:whole])
	prev := b[whole-n : whole]
	last := make([]byte, n)
	tail := copy(last, b[whole:])
	for i := range last {
		last[i] ^= prev[i]
	}
	c.Encrypt(last, last)
	copy(b[whole:], prev[:tail])
	copy(prev, last)
}

func decryptCTS(c cipher.Block, b []byte) {
	n := c.BlockSize()
	if len(b) == n {
		c.Decrypt(b, b)
		return
	}
	whole := (len(b) - 1) / n * n
	before := make([]byte, n) // the ciphertext block before the last two, or the initial vector
	if whole >= 2*n {
		copy(before, b[whole-2*n:])
		decryptCBC(c, b[:whole-n])
	}
	last := make([]byte, n)
	c.Decrypt(last, b[whole-n:whole]) // last plaintext block, padded with zeros, XOR the block before it
	prev := make([]byte, n)
	tail := copy(prev, b[whole:])
	copy(prev[tail:], last[tail:])
	for i := range tail {
		last[i] ^= prev[i]
	}
	c.Decrypt(prev, prev)
	for i := range prev {
		prev[i] ^= before[i]
	}
	copy(b[whole-n:], prev)
	copy(b[whole:], last[:tail])
}
