package suite

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"hash"
)

// Transform numbers of the pseudorandom functions (IKEv2 transform type 2).
const (
	prfHMACMD5     = 1
	prfHMACSHA1    = 2
	prfAES128XCBC  = 4
	prfHMACSHA256  = 5
	prfHMACSHA384  = 6
	prfHMACSHA512  = 7
	prfAES128CMAC  = 8
	maxPRFSize     = sha512.Size
	maxPlusBlocks  = 255
	fixedNonceHalf = 8
)

// ErrPlusTooLong says that more than 255 blocks of prf+ were asked for, where
// its one-octet counter ends (RFC 7296 section 2.13).
var ErrPlusTooLong = errors.New("suite: prf+ output longer than 255 blocks")

// PRF describes a pseudorandom function.
type PRF struct {
	ID       uint16
	Name     string
	Size     int  // octets of output
	KeySize  int  // preferred octets of key: the length of SK_d, SK_pi and SK_pr
	FixedKey bool // AES-XCBC and AES-CMAC: SKEYSEED uses 64 bits of each nonce
	Weak     bool // only when configured by name

	newHash func(key []byte) hash.Hash
}

var prfs = [...]PRF{
	{ID: prfHMACMD5, Name: "PRF_HMAC_MD5", Size: md5.Size, KeySize: md5.Size, Weak: true, newHash: prfHMACOf(md5.New)},
	{ID: prfHMACSHA1, Name: "PRF_HMAC_SHA1", Size: sha1.Size, KeySize: sha1.Size, newHash: prfHMACOf(sha1.New)},
	{ID: prfAES128XCBC, Name: "PRF_AES128_XCBC", Size: 16, KeySize: 16, FixedKey: true, newHash: newXCBCPRF},
	{ID: prfHMACSHA256, Name: "PRF_HMAC_SHA2_256", Size: sha256.Size, KeySize: sha256.Size, newHash: prfHMACOf(sha256.New)},
	{ID: prfHMACSHA384, Name: "PRF_HMAC_SHA2_384", Size: sha512.Size384, KeySize: sha512.Size384, newHash: prfHMACOf(sha512.New384)},
	{ID: prfHMACSHA512, Name: "PRF_HMAC_SHA2_512", Size: sha512.Size, KeySize: sha512.Size, newHash: prfHMACOf(sha512.New)},
	{ID: prfAES128CMAC, Name: "PRF_AES128_CMAC", Size: 16, KeySize: 16, FixedKey: true, newHash: newCMACPRF},
}

// PRFByID returns the pseudorandom function with the IKEv2 transform number id.
func PRFByID(id uint16) (PRF, bool) {
	for i := range prfs {
		if prfs[i].ID == id {
			return prfs[i], true
		}
	}
	return PRF{}, false
}

// NonceKey appends to dst the key under which SKEYSEED is computed from the
// shared secret: Ni | Nr, or for the functions with FixedKey the first 64 bits
// of each (RFC 7296 section 2.14). Only that first SKEYSEED is keyed so: prf+
// takes the whole nonces, and at a rekey the key is SK_d.
func (p PRF) NonceKey(dst, ni, nr []byte) []byte {
	if p.FixedKey {
		ni, nr = ni[:min(len(ni), fixedNonceHalf)], nr[:min(len(nr), fixedNonceHalf)]
	}
	dst = append(dst, ni...)
	return append(dst, nr...)
}

// Keyed returns the function under key, of any length. The key is not kept by
// reference.
func (p PRF) Keyed(key []byte) *KeyedPRF {
	return &KeyedPRF{id: p.ID, size: p.Size, hash: p.newHash(key)}
}

// KeyedPRF is a pseudorandom function under one key. It may be used any number
// of times, by one goroutine at a time, and allocates nothing after its first
// use. It prints without its key.
type KeyedPRF struct {
	id   uint16
	size int
	hash hash.Hash
	used bool // hash holds the state of a former computation
	t    [maxPRFSize]byte
	ctr  [1]byte
}

// Size returns the octets of output.
func (k *KeyedPRF) Size() int { return k.size }

// Sum appends prf(key, parts[0] | parts[1] | ...) to dst.
func (k *KeyedPRF) Sum(dst []byte, parts ...[]byte) []byte {
	k.restart()
	for _, p := range parts {
		k.hash.Write(p)
	}
	return k.hash.Sum(dst)
}

// restart begins a computation. A fresh hash is left alone: the first Reset of
// crypto/hmac makes it precompute its padded states, which pays from the second
// computation on, and most keys serve one.
func (k *KeyedPRF) restart() {
	if k.used {
		k.hash.Reset()
	}
	k.used = true
}

// Plus fills out with prf+(key, seed[0] | seed[1] | ...) (RFC 7296 section
// 2.13). It fails with [ErrPlusTooLong], leaving out untouched, if out is
// longer than 255 blocks.
func (k *KeyedPRF) Plus(out []byte, seed ...[]byte) error {
	if len(out) > maxPlusBlocks*k.size {
		return ErrPlusTooLong
	}
	// T1 = prf(K, S | 0x01), Tn = prf(K, Tn-1 | S | n).
	for i := 0; len(out) > 0; i++ {
		k.restart()
		if i > 0 {
			k.hash.Write(k.t[:k.size])
		}
		for _, s := range seed {
			k.hash.Write(s)
		}
		k.ctr[0] = byte(i + 1)
		k.hash.Write(k.ctr[:])
		k.hash.Sum(k.t[:0])
		out = out[copy(out, k.t[:k.size]):]
	}
	clear(k.t[:])
	return nil
}

// Wipe forgets the key. The value must not be used afterwards. (Expanded
// states inside the standard library are dropped, they cannot be overwritten.)
func (k *KeyedPRF) Wipe() {
	if w, ok := k.hash.(wiper); ok {
		w.wipe()
	}
	clear(k.t[:])
	k.hash = discardHash{size: k.size}
}

// Format prints the name of the function, never its key.
func (k *KeyedPRF) Format(f fmt.State, _ rune) {
	p, _ := PRFByID(k.id)
	fmt.Fprintf(f, "%s(key redacted)", p.Name)
}

// MarshalText gives encoders the same redacted form as Format.
func (k *KeyedPRF) MarshalText() ([]byte, error) { return fmt.Append(nil, k), nil }

type wiper interface{ wipe() }

// hmacOf adapts a hash to the newHash of a table row.
func hmacOf(h func() hash.Hash) func(key []byte) hash.Hash {
	return func(key []byte) hash.Hash { return hmac.New(h, key) }
}

// discardHash stands in for a wiped hash, so that a late use yields zeros
// instead of a nil dereference. Nothing authenticates with zeros: the peer
// does not have them.
type discardHash struct{ size int }

func (discardHash) Write(p []byte) (int, error) { return len(p), nil }
func (d discardHash) Sum(b []byte) []byte       { return append(b, make([]byte, d.size)...) }
func (discardHash) Reset()                      {}
func (d discardHash) Size() int                 { return d.size }
func (discardHash) BlockSize() int              { return 1 }
