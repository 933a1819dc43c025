package suite

import (
	"crypto/cipher"
	"crypto/des"
	"sync"

	"github.com/racoon3/racoon/internal/camellia"
)

// encryptThenMAC is encryption without integrity followed by a MAC over the
// result, as ESP (RFC 4303) and the SK payload (RFC 7296 section 3.14) do.
type encryptThenMAC struct {
	encr unauthenticated
	mac  *mac
	key  []byte // the MAC's, from which its pool keys more states
}

// unauthenticated is an encryption that says nothing about integrity.
type unauthenticated interface {
	encrypt(text, iv []byte)
	decrypt(text, iv []byte)
	wipe()
}

func newEncryptThenMAC(e *ENCR, key, salt []byte, in *INTEG, integKey []byte) mode {
	m := &encryptThenMAC{key: append([]byte(nil), integKey...)}
	m.mac = newMAC(in, m.key)
	switch e.ID {
	case encrAESCBC:
		m.encr = newCBC(newAES(key))
	case encr3DES:
		m.encr = newCBC(mustBlock(des.NewTripleDESCipher(key)))
	case encrCamelliaCBC:
		m.encr = newCBC(mustBlock(camellia.NewCipher(key)))
	case encrAESCTR:
		m.encr = newCTR(key, salt)
	default:
		m.encr = null{}
	}
	return m
}

func (m *encryptThenMAC) seal(buf []byte, n int, iv, aad, tail []byte) {
	m.encr.encrypt(buf[:n], iv)
	m.mac.seal(buf[n:], aad, iv, buf[:n], tail)
}

func (m *encryptThenMAC) open(buf []byte, n int, iv, aad, tail []byte) bool {
	if !m.mac.open(buf[n:], aad, iv, buf[:n], tail) {
		return false
	}
	m.encr.decrypt(buf[:n], iv)
	return true
}

func (m *encryptThenMAC) wipe() {
	m.encr.wipe()
	clear(m.key)
	m.mac = nil
}

// cbc is cipher block chaining (RFC 3602, RFC 2451). The library's block modes
// keep the IV inside, hence the pools.
type cbc struct {
	block    cipher.Block
	enc, dec sync.Pool // of resettable
}

// resettable is what the library's CBC modes are: they can be given a new IV,
// which spares the allocation of a new mode for each packet.
type resettable interface {
	cipher.BlockMode
	SetIV([]byte)
}

func newCBC(b cipher.Block) *cbc {
	return &cbc{block: b}
}

func (c *cbc) encrypt(text, iv []byte) {
	m, _ := c.enc.Get().(cipher.BlockMode)
	if r, ok := m.(resettable); ok {
		r.SetIV(iv)
	} else {
		m = cipher.NewCBCEncrypter(c.block, iv)
	}
	m.CryptBlocks(text, text)
	c.enc.Put(m)
}

func (c *cbc) decrypt(text, iv []byte) {
	m, _ := c.dec.Get().(cipher.BlockMode)
	if r, ok := m.(resettable); ok {
		r.SetIV(iv)
	} else {
		m = cipher.NewCBCDecrypter(c.block, iv)
	}
	m.CryptBlocks(text, text)
	c.dec.Put(m)
}

func (c *cbc) wipe() { c.block = nil }

// null is ENCR_NULL (RFC 2410).
type null struct{}

func (null) encrypt(_, _ []byte) {}
func (null) decrypt(_, _ []byte) {}
func (null) wipe()               {}
