package suite

import (
	"errors"
	"fmt"
)

// Errors of [NewCipher], [Cipher.Seal] and [Cipher.Open]. NewCipher wraps them
// with the algorithm's name and the lengths found and wanted.
var (
	// ErrUnknownAlgorithm: no such transform number here.
	ErrUnknownAlgorithm = errors.New("suite: unknown algorithm")
	// ErrCombination: an integrity algorithm beside a combined mode, or none
	// beside another.
	ErrCombination = errors.New("suite: algorithms do not go together")
	// ErrKeyLength: a key of the wrong length.
	ErrKeyLength = errors.New("suite: wrong key length")
	// ErrLength: a buffer too short for the ICV, a text that is not a
	// multiple of the block size, or an IV of the wrong length.
	ErrLength = errors.New("suite: wrong length of text or initialization vector")
	// ErrAuthentication: the ICV does not match. Nothing was decrypted.
	ErrAuthentication = errors.New("suite: message authentication failed")
)

// Cipher protects one direction of an SK payload or an ESP SA: a combined-mode
// algorithm, or encryption followed by a MAC.
//
// Seal and Open work in place and may be called by any number of goroutines at
// once; their working memory comes from pools, so that they allocate nothing in
// the long run. A Cipher prints without its keys.
type Cipher struct {
	encr  *ENCR
	integ *INTEG // nil beside a combined mode
	icv   int
	mode  mode
}

// mode is what the algorithms differ in. buf is n octets of text and the ICV.
// Lengths have been checked: iv has the right size, n is a multiple of the
// block size, the rest of buf is what the ICV takes.
type mode interface {
	seal(buf []byte, n int, iv, aad, tail []byte)
	open(buf []byte, n int, iv, aad, tail []byte) bool
	wipe()
}

// NewCipher keys the algorithm encrID with a key length of keyBits (0 where the
// Key Length attribute is not used) and, unless it is a combined mode, the
// integrity algorithm integID. encrKey is the keying material with the salt at
// its end. The keys are copied.
//
// ENCR_NULL needs an integrity algorithm. The GMAC integrity algorithms are
// AH's; ESP uses ENCR_NULL_AUTH_AES_GMAC (RFC 4543 section 4).
func NewCipher(encrID, keyBits, integID uint16, encrKey, integKey []byte) (*Cipher, error) {
	c, err := newCipher(encrID, keyBits, integID, encrKey, integKey)
	if err != nil {
		return nil, err
	}
	c.mode = newMode(c.encr, c.integ, encrKey, integKey)
	return c, nil
}

// newCipher checks what a Cipher is made of, and returns it without its mode.
func newCipher(encrID, keyBits, integID uint16, encrKey, integKey []byte) (*Cipher, error) {
	e := encrByID(encrID)
	if e == nil {
		return nil, fmt.Errorf("%w: encryption %d", ErrUnknownAlgorithm, encrID)
	}
	want, ok := e.KeySize(int(keyBits))
	if !ok {
		return nil, fmt.Errorf("%w: %s has no key of %d bits", ErrKeyLength, e.Name, keyBits)
	}
	if len(encrKey) != want {
		return nil, fmt.Errorf("%w: %s takes %d octets with the salt, got %d", ErrKeyLength, e.Name, want, len(encrKey))
	}

	if e.Combined() {
		if integID != integNone || len(integKey) != 0 {
			return nil, fmt.Errorf("%w: %s and integrity %d", ErrCombination, e.Name, integID)
		}
		return &Cipher{encr: e, icv: e.ICVSize}, nil
	}

	if integID == integNone {
		return nil, fmt.Errorf("%w: %s without integrity", ErrCombination, e.Name)
	}
	in := integByID(integID)
	if in == nil {
		return nil, fmt.Errorf("%w: integrity %d", ErrUnknownAlgorithm, integID)
	}
	if in.newHash == nil {
		return nil, fmt.Errorf("%w: %s and %s, which is for AH", ErrCombination, e.Name, in.Name)
	}
	if len(integKey) != in.KeySize {
		return nil, fmt.Errorf("%w: %s takes %d octets, got %d", ErrKeyLength, in.Name, in.KeySize, len(integKey))
	}
	return &Cipher{encr: e, integ: in, icv: in.ICVSize}, nil
}

// newMode keys the algorithms, of which in is nil with a combined mode. The
// keys have the right lengths.
func newMode(e *ENCR, in *INTEG, encrKey, integKey []byte) mode {
	key, salt := encrKey[:len(encrKey)-e.SaltSize], encrKey[len(encrKey)-e.SaltSize:]
	if in != nil {
		return newEncryptThenMAC(e, key, salt, in, integKey)
	}
	switch e.ID {
	case encrAESGCM16:
		return newGCM(key, salt)
	case encrAESGCM8, encrAESGCM12:
		return newShortGCM(key, salt, e.ICVSize)
	case encrAESCCM8, encrAESCCM12, encrAESCCM16:
		return newCCM(key, salt, e.ICVSize)
	case encrNULLAESGMAC:
		return newGMAC(key, salt)
	default:
		return newChaCha20Poly1305(key, salt)
	}
}

// IVSize returns the octets of explicit IV that Seal and Open take.
func (c *Cipher) IVSize() int { return c.encr.IVSize }

// ICVSize returns the octets of integrity check value after the text.
func (c *Cipher) ICVSize() int { return c.icv }

// BlockSize returns what the text's length must be a multiple of: 1 for stream
// ciphers and combined modes.
func (c *Cipher) BlockSize() int { return c.encr.BlockSize }

// Combined reports whether the algorithm is a combined mode, for which aad is
// exactly the additional authenticated data and tail is ignored.
func (c *Cipher) Combined() bool { return c.encr.Combined() }

// Seal encrypts in place. buf is the text followed by room for ICVSize octets,
// which Seal fills in. With a MAC, the ICV covers aad | iv | text | tail; tail
// is the high half of an extended sequence number in ESP (RFC 4303 section
// 3.3.2.1), else nil. It fails only with [ErrLength], leaving buf as it was.
//
// iv must never repeat under one key; for CBC it must be unpredictable too.
func (c *Cipher) Seal(buf, iv, aad, tail []byte) error {
	n := len(buf) - c.icv
	if n < 0 || len(iv) != c.encr.IVSize || n%c.encr.BlockSize != 0 {
		return ErrLength
	}
	c.mode.seal(buf, n, iv, aad, tail)
	return nil
}

// Open checks and decrypts in place what Seal made: buf is the ciphertext
// followed by the ICV. The plaintext is buf without its last ICVSize octets.
// It fails with [ErrLength], leaving buf as it was, or with
// [ErrAuthentication]; then buf holds neither plaintext nor, for certain,
// still the ciphertext, and the caller drops it.
func (c *Cipher) Open(buf, iv, aad, tail []byte) error {
	n := len(buf) - c.icv
	if n < 0 || len(iv) != c.encr.IVSize || n%c.encr.BlockSize != 0 {
		return ErrLength
	}
	if !c.mode.open(buf, n, iv, aad, tail) {
		return ErrAuthentication
	}
	return nil
}

// Wipe forgets the keys. The Cipher must not be in use; afterwards Seal clears
// the text and Open fails. (Expanded keys inside the standard library are
// dropped, they cannot be overwritten.)
func (c *Cipher) Wipe() {
	c.mode.wipe()
	c.mode = wiped{}
}

// Format prints the names of the algorithms, never their keys.
func (c *Cipher) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "%s", c.encr.Name)
	if c.integ != nil {
		fmt.Fprintf(f, "+%s", c.integ.Name)
	}
	fmt.Fprint(f, "(keys redacted)")
}

// MarshalText gives encoders the same redacted form as Format.
func (c *Cipher) MarshalText() ([]byte, error) { return fmt.Append(nil, c), nil }

// wiped is the mode of a wiped Cipher: it lets nothing out and nothing in.
type wiped struct{}

func (wiped) seal(buf []byte, _ int, _, _, _ []byte)    { clear(buf) }
func (wiped) open(_ []byte, _ int, _, _, _ []byte) bool { return false }
func (wiped) wipe()                                     {}
