package krb

import (
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/bits"
	"slices"
	"sync/atomic"

	"github.com/racoon3/racoon/internal/secret"
)

// Key usage numbers: RFC 4120 7.5.1, and RFC 4430 8 for KINK's.
const (
	usagePreAuth     = 1 // encrypted timestamp of an AS-REQ
	usageTicket      = 2
	usageASRep       = 3
	usageTGSChecksum = 6 // of the body of a TGS-REQ
	usageTGSAuth     = 7 // authenticator of a TGS-REQ
	usageTGSRep      = 8
	usageAPReq       = 11 // authenticator of an AP-REQ
	usageAPRep       = 12
	usageKINKEncrypt = 39
	usageKINKCksum   = 40
)

// Errors of keys.
var (
	ErrEType     = errors.New("krb: unsupported encryption type")
	ErrKeyLength = errors.New("krb: wrong length of a key")
	// ErrDecrypt means that a ciphertext is too short, or that it was not made
	// with this key.
	ErrDecrypt = errors.New("krb: integrity check failed")
)

// A Key is a Kerberos key: of a service, of a ticket, or a session key. It
// never prints more than its encryption type. Except for Wipe it may be used
// from many goroutines at once.
//
// As a session key it is what package kink/message wants for protecting KINK
// messages: Seal and Open with KINK's key usage 39, AppendChecksum and
// VerifyChecksum with 40.
type Key struct {
	etype EType
	p     *profile
	raw   secret.Bytes
	cache [8]atomic.Pointer[specific] // of the usages in slots
}

// specific holds what was derived for one key usage, which is either for
// encryption or for checksums.
type specific struct {
	ke cipher.Block
	ki secret.Bytes
	kc secret.Bytes
}

// NewKey returns the key with the given octets, which it copies. The error is
// [ErrEType] or [ErrKeyLength].
func NewKey(e EType, octets []byte) (*Key, error) {
	p := profiles[e]
	if p == nil {
		return nil, fmt.Errorf("%w %d", ErrEType, int32(e))
	}
	if len(octets) != p.keyLen {
		return nil, fmt.Errorf("%w: %d octets for %v", ErrKeyLength, len(octets), e)
	}
	return &Key{etype: e, p: p, raw: secret.Bytes(octets).Clone()}, nil
}

// EType returns the encryption type.
func (k *Key) EType() EType { return k.etype }

// Equal compares two keys in constant time.
func (k *Key) Equal(o *Key) bool { return k.etype == o.etype && k.raw.Equal(o.raw) }

// ConfounderLen returns how many random octets an encryption begins with.
func (k *Key) ConfounderLen() int { return k.p.block }

// Wipe overwrites the key; it is of no use afterwards.
func (k *Key) Wipe() {
	k.raw.Wipe()
	for i := range k.cache {
		if s := k.cache[i].Swap(nil); s != nil {
			s.ki.Wipe()
			s.kc.Wipe()
		}
	}
}

// String returns the encryption type.
func (k *Key) String() string { return "key of " + k.etype.String() }

// GoString is String.
func (k *Key) GoString() string { return k.String() }

// Format implements [fmt.Formatter]: every verb prints String.
func (k *Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.String()) }

// LogValue implements [slog.LogValuer] with String.
func (k *Key) LogValue() slog.Value { return slog.StringValue(k.String()) }

// Where other things are kept than Ke and Ki of an encryption: Kc of KINK's
// checksums, the cipher with the key itself, and that of the pseudorandom function.
const (
	checksumSlot = 0
	baseSlot     = 6
	prfSlot      = 7
)

// slot tells where Ke and Ki of a usage are kept, -1: nowhere.
func slot(usage uint32) int {
	switch usage {
	case usageTicket:
		return 4
	case usageAPReq:
		return 1
	case usageAPRep:
		return 2
	case usageKINKEncrypt:
		return 3
	case usageTGSRep:
		return 5
	}
	return -1
}

// encryption returns Ke and Ki of a usage.
func (k *Key) encryption(usage uint32) *specific {
	return k.specific(slot(usage), usage, func(label []byte) *specific {
		ke := k.derive(append(label, 0xaa), k.p.keyLen)
		defer clear(ke)
		return &specific{ke: k.p.newBlock(ke), ki: k.derive(append(label, 0x55), k.p.macKey)}
	})
}

// checksum returns Kc of a usage.
func (k *Key) checksum(usage uint32) []byte {
	i := -1
	if usage == usageKINKCksum {
		i = checksumSlot
	}
	return k.specific(i, usage, func(label []byte) *specific {
		return &specific{kc: k.derive(append(label, 0x99), k.p.macKey)}
	}).kc
}

// specific returns what is kept in slot i, or derives it.
func (k *Key) specific(i int, usage uint32, derive func(label []byte) *specific) *specific {
	if i >= 0 {
		if s := k.cache[i].Load(); s != nil {
			return s
		}
	}
	var label [5]byte
	binary.BigEndian.PutUint32(label[:], usage)
	s := derive(label[:4])
	if i >= 0 {
		k.cache[i].Store(s)
	}
	return s
}

// derive is DK of RFC 3961 5.1 and KDF-HMAC-SHA2 of RFC 8009 3.
func (k *Key) derive(label []byte, n int) []byte {
	if k.p.sha2 {
		return k.kdf(make([]byte, 0, n), n, label)
	}
	c, size, block := k.base(), k.p.keyLen, k.p.block
	if k.etype == DES3SHA1 {
		size = 21
	}
	out := make([]byte, (size+block-1)/block*block)
	if len(label) == block {
		copy(out, label)
	} else {
		nfold(out[:block], label)
	}
	c.Encrypt(out, out)
	for i := block; i < len(out); i += block {
		c.Encrypt(out[i:], out[i-block:i])
	}
	if k.etype == DES3SHA1 {
		defer clear(out)
		return des3Key(out[:21])
	}
	return out[:size]
}

// base is the cipher with the key itself.
func (k *Key) base() cipher.Block {
	return k.specific(baseSlot, 0, func([]byte) *specific { return &specific{ke: k.p.newBlock(k.raw)} }).ke
}

// des3Key is RFC 3961 6.3.1's random-to-key: the low bits of seven octets make
// an eighth, and each octet gets odd parity.
func des3Key(random []byte) []byte {
	out := make([]byte, 0, 24)
	for ; len(random) >= 7; random = random[7:] {
		var last byte
		for i, b := range random[:7] {
			last |= b & 1 << (i + 1)
			out = append(out, b)
		}
		out = append(out, last)
	}
	for i, b := range out {
		b &^= 1
		out[i] = b | byte(1^bits.OnesCount8(b)&1)
	}
	return out
}

// Encrypt encrypts plaintext for a key usage, with a confounder drawn from
// random, and appends the result to dst. The error is that of random.
func (k *Key) Encrypt(dst []byte, usage uint32, plaintext []byte, random io.Reader) ([]byte, error) {
	off := len(dst)
	dst = append(slices.Grow(dst, k.p.block+len(plaintext)+k.p.macLen+k.p.block), zeroBlock[:k.p.block]...)
	if _, err := io.ReadFull(random, dst[off:]); err != nil {
		return dst[:off], fmt.Errorf("krb: confounder: %w", err)
	}
	return k.seal(append(dst, plaintext...), off, usage), nil
}

// seal encrypts b[off:], which begins with the confounder, in place and appends
// the MAC.
func (k *Key) seal(b []byte, off int, usage uint32) []byte {
	s := k.encryption(usage)
	if !k.p.cts {
		for (len(b)-off)%k.p.block != 0 {
			b = append(b, 0)
		}
	}
	if k.p.sha2 { // over the initial vector and the ciphertext
		encryptCTS(s.ke, b[off:])
		return k.mac(b, s.ki, zeroBlock[:], b[off:])
	}
	end := len(b)
	b = k.mac(b, s.ki, b[off:])
	if k.p.cts {
		encryptCTS(s.ke, b[off:end])
	} else {
		encryptCBC(s.ke, b[off:end])
	}
	return b
}

// zeroBlock is the initial vector of RFC 8009, which is under the MAC too.
var zeroBlock [16]byte

// Decrypt decrypts what Encrypt made, into a new slice. With DES3 there may be
// padding at the end. The error is [ErrDecrypt].
func (k *Key) Decrypt(usage uint32, ciphertext []byte) ([]byte, error) {
	n := len(ciphertext) - k.p.macLen
	if n < k.p.block || !k.p.cts && n%k.p.block != 0 {
		return nil, ErrDecrypt
	}
	s := k.encryption(usage)
	text, sum := append([]byte(nil), ciphertext[:n]...), ciphertext[n:]
	if k.p.sha2 && !k.verifies(sum, s.ki, zeroBlock[:], text) {
		return nil, ErrDecrypt
	}
	if k.p.cts {
		decryptCTS(s.ke, text)
	} else {
		decryptCBC(s.ke, text)
	}
	if !k.p.sha2 && !k.verifies(sum, s.ki, text) {
		clear(text)
		return nil, ErrDecrypt
	}
	return text[k.p.block:], nil
}

// appendMIC appends the checksum over the parts (RFC 3961's get_mic with the
// required checksum mechanism of the encryption type).
func (k *Key) appendMIC(dst []byte, usage uint32, parts ...[]byte) []byte {
	return k.mac(dst, k.checksum(usage), parts...)
}

// Seal encrypts a KINK_ENCRYPT payload (RFC 4430 4.2.7): b[off:], which begins
// with the confounder, in place. The error is always nil, or that b[off:] is
// too short.
func (k *Key) Seal(b []byte, off int) ([]byte, error) {
	if len(b)-off < k.p.block {
		return b, fmt.Errorf("krb: no confounder of %d octets", k.p.block)
	}
	return k.seal(b, off, usageKINKEncrypt), nil
}

// Open decrypts the content of a KINK_ENCRYPT payload into a new slice. The
// error is [ErrDecrypt].
func (k *Key) Open(ciphertext []byte) ([]byte, error) {
	return k.Decrypt(usageKINKEncrypt, ciphertext)
}

// AppendChecksum appends the checksum of a KINK message (RFC 4430 4). The error
// is always nil.
func (k *Key) AppendChecksum(dst, header, rest []byte) ([]byte, error) {
	return k.appendMIC(dst, usageKINKCksum, header, rest), nil
}

// VerifyChecksum reports whether sum is the checksum of a KINK message.
func (k *Key) VerifyChecksum(header, rest, sum []byte) bool {
	return k.verifies(sum, k.checksum(usageKINKCksum), header, rest)
}
