package ikev1

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/crypto/blowfish" //lint:ignore SA1019 IKEv1 has it (RFC 2409 appendix A)
	"golang.org/x/crypto/cast5"    //lint:ignore SA1019 IKEv1 has it (RFC 2409 appendix A)

	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/internal/camellia"
	"github.com/racoon3/racoon/spd"
)

// An encryptionAlgorithm is a cipher for ISAKMP messages: a value of the
// Encryption Algorithm attribute (RFC 2409 appendix A, RFC 3602, RFC 4312).
// All of them are used in CBC mode.
type encryptionAlgorithm struct {
	attr  isakmp.EncryptionAlgorithm
	id    uint16 // IKEv2 transform
	block int    // octets

	// keyBits are the lengths that are supported, the first one is meant where
	// the Key Length attribute is left out. With one fixed length the attribute
	// is not sent.
	keyBits []uint16
	fixed   bool

	newBlock func(key []byte) (cipher.Block, error) // nil: known by name only
}

var encryptionAlgorithms = [...]encryptionAlgorithm{
	{attr: isakmp.EncryptionDESCBC, id: 2, block: 8},
	{attr: isakmp.EncryptionIDEACBC, id: 5, block: 8},
	{attr: isakmp.EncryptionBlowfishCBC, id: spd.EncrBlowfish, block: 8, keyBits: []uint16{448, 128, 192, 256},
		newBlock: func(key []byte) (cipher.Block, error) { return blowfish.NewCipher(key) }},
	{attr: isakmp.EncryptionRC5CBC, id: 4, block: 8},
	{attr: isakmp.Encryption3DESCBC, id: spd.Encr3DES, block: 8, keyBits: []uint16{192}, fixed: true, newBlock: des.NewTripleDESCipher},
	{attr: isakmp.EncryptionCASTCBC, id: spd.EncrCAST, block: 8, keyBits: []uint16{128},
		newBlock: func(key []byte) (cipher.Block, error) { return cast5.NewCipher(key) }},
	{attr: isakmp.EncryptionAESCBC, id: spd.EncrAESCBC, block: 16, keyBits: []uint16{128, 192, 256}, newBlock: aes.NewCipher},
	{attr: isakmp.EncryptionCamelliaCBC, id: spd.EncrCamelliaCBC, block: 16, keyBits: []uint16{128, 192, 256}, newBlock: camellia.NewCipher},
}

// encryptionByAttribute returns the row of an attribute value, nil if unknown.
func encryptionByAttribute(v isakmp.EncryptionAlgorithm) *encryptionAlgorithm {
	for i := range encryptionAlgorithms {
		if e := &encryptionAlgorithms[i]; e.attr == v {
			return e
		}
	}
	return nil
}

// encryptionByTransform returns the row of a transform of [spd.Proposal], nil
// if it has none that can be used.
func encryptionByTransform(t spd.Transform) *encryptionAlgorithm {
	for i := range encryptionAlgorithms {
		if e := &encryptionAlgorithms[i]; e.id == t.ID && e.newBlock != nil {
			return e
		}
	}
	return nil
}

// transform returns what the algorithm is with a Key Length attribute of bits,
// 0 if there was none.
func (e *encryptionAlgorithm) transform(bits uint16) (spd.Transform, bool) {
	t := spd.Transform{Type: spd.TransformENCR, ID: e.id}
	switch {
	case e.newBlock == nil || bits != 0 && !slices.Contains(e.keyBits, bits):
		return t, false
	case e.fixed:
	case bits == 0:
		t.KeyLen = e.keyBits[0]
	default:
		t.KeyLen = bits
	}
	return t, true
}

// phase1KeyLen returns the octets of key that a cipher takes, 0 if it cannot
// be used for ISAKMP messages.
func phase1KeyLen(t spd.Transform) int {
	e := encryptionByTransform(t)
	if e == nil {
		return 0
	}
	if e.fixed {
		return int(e.keyBits[0] / 8)
	}
	if !slices.Contains(e.keyBits, t.KeyLen) {
		return 0
	}
	return int(t.KeyLen / 8)
}

// maxBlock is the largest block of the ciphers, in octets.
const maxBlock = 16

// An initVector is an initialization vector; of its octets the first ones
// count, as many as the cipher's block has. It is a value, so whoever keeps
// one keeps a copy.
type initVector [maxBlock]byte

// A messageCipher encrypts and decrypts the messages of one ISAKMP SA (RFC
// 2409 appendix B). It keeps no initialization vector: each exchange has its
// own, which the last block of a message, sent or received, becomes. One
// goroutine at a time may use it; seal and open allocate nothing after their
// first call.
type messageCipher struct {
	block    cipher.Block
	size     int
	enc, dec cipher.BlockMode
	iv       initVector // lent to enc and dec, so that no vector has to be on the heap
}

// errCiphertext: what was received cannot be the output of a block cipher.
var errCiphertext = errors.New("ikev1: encrypted message is not a number of whole blocks")

// newMessageCipher keys the cipher of a transform.
func newMessageCipher(t spd.Transform, key []byte) (*messageCipher, error) {
	e := encryptionByTransform(t)
	if e == nil || len(key) != phase1KeyLen(t) {
		return nil, fmt.Errorf("ikev1: %v with a key of %d octets cannot protect an ISAKMP SA", t, len(key))
	}
	b, err := e.newBlock(key)
	if err != nil {
		return nil, fmt.Errorf("ikev1: %v: %w", t, err)
	}
	return &messageCipher{block: b, size: e.block}, nil
}

// blockSize returns the cipher's block in octets.
func (c *messageCipher) blockSize() int { return c.size }

// seal encrypts text in place and returns the vector of the exchange's next
// message. Whoever built the text has padded it ([isakmp.Builder.Seal]).
func (c *messageCipher) seal(iv initVector, text []byte) (next initVector, err error) {
	if len(text) == 0 || len(text)%c.size != 0 {
		return next, errCiphertext
	}
	c.enc = c.start(c.enc, cipher.NewCBCEncrypter, iv)
	c.enc.CryptBlocks(text, text)
	copy(next[:c.size], text[len(text)-c.size:])
	return next, nil
}

// open decrypts text in place and returns the vector that the exchange has if
// this message is accepted. Nothing else changes: a message whose HASH does not
// verify leaves no trace, and the next one is opened with the same iv.
func (c *messageCipher) open(iv initVector, text []byte) (next initVector, err error) {
	if len(text) == 0 || len(text)%c.size != 0 {
		return next, errCiphertext
	}
	copy(next[:c.size], text[len(text)-c.size:])
	c.dec = c.start(c.dec, cipher.NewCBCDecrypter, iv)
	c.dec.CryptBlocks(text, text)
	return next, nil
}

// start returns a mode with the vector iv: m itself if it takes another one, as
// those of the library do, else a new one.
func (c *messageCipher) start(m cipher.BlockMode, newMode func(cipher.Block, []byte) cipher.BlockMode, iv initVector) cipher.BlockMode {
	c.iv = iv
	if r, ok := m.(interface{ SetIV([]byte) }); ok {
		r.SetIV(c.iv[:c.size])
		return m
	}
	return newMode(c.block, c.iv[:c.size])
}

// Format keeps the expanded key out of any text.
func (c *messageCipher) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[ISAKMP cipher]")) }
