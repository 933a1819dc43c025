package krb

import (
	"crypto/subtle"
	"encoding/binary"
	"hash"
	"sync"
)

// A macState is what an HMAC (RFC 2104) is computed in. crypto/hmac would make six
// objects for each; these are used again.
type macState struct {
	hash hash.Hash
	pad  [128]byte // the longest block: SHA-384's
	sum  [64]byte
}

// macStates are those that nobody uses, by encryption type.
var macStates = map[EType]*sync.Pool{DES3SHA1: {}, AES128SHA1: {}, AES256SHA1: {}, AES128SHA256: {}, AES256SHA384: {}}

func (k *Key) newMAC() *macState {
	if s, ok := macStates[k.etype].Get().(*macState); ok {
		return s
	}
	return &macState{hash: k.p.newHash()}
}

// begin begins an HMAC with a key that is not longer than a block.
func (s *macState) begin(key []byte) {
	pad := s.pad[:s.hash.BlockSize()]
	clear(pad[copy(pad, key):])
	for i := range pad {
		pad[i] ^= 0x36
	}
	s.hash.Reset()
	s.hash.Write(pad)
}

// end appends the first n octets of the HMAC to dst.
func (s *macState) end(dst []byte, n int) []byte { return append(dst, s.finish()[:n]...) }

func (s *macState) finish() []byte {
	pad := s.pad[:s.hash.BlockSize()]
	for i := range pad {
		pad[i] ^= 0x36 ^ 0x5c
	}
	inner := s.hash.Sum(s.sum[:0])
	s.hash.Reset()
	s.hash.Write(pad)
	s.hash.Write(inner)
	return s.hash.Sum(s.sum[:0])
}

// done gives it back.
func (k *Key) done(s *macState) {
	s.hash.Reset()
	clear(s.pad[:])
	clear(s.sum[:])
	macStates[k.etype].Put(s)
}

// mac appends the truncated HMAC over the parts.
func (k *Key) mac(dst, key []byte, parts ...[]byte) []byte {
	s := k.newMAC()
	s.begin(key)
	for _, b := range parts {
		s.hash.Write(b)
	}
	dst = s.end(dst, k.p.macLen)
	k.done(s)
	return dst
}

// verifies reports whether sum is the truncated HMAC over the parts.
func (k *Key) verifies(sum, key []byte, parts ...[]byte) bool {
	s := k.newMAC()
	s.begin(key)
	for _, b := range parts {
		s.hash.Write(b)
	}
	ok := subtle.ConstantTimeCompare(s.finish()[:k.p.macLen], sum) == 1
	k.done(s)
	return ok
}

// kdf appends the n octets of KDF-HMAC-SHA2 (RFC 8009 3) to dst. The context is in
// parts.
func (k *Key) kdf(dst []byte, n int, label []byte, context ...[]byte) []byte {
	var b [4]byte
	s := k.newMAC()
	s.begin(k.raw)
	binary.BigEndian.PutUint32(b[:], 1)
	s.write(b[:])
	s.hash.Write(label)
	s.write([]byte{0})
	for _, c := range context {
		s.hash.Write(c)
	}
	binary.BigEndian.PutUint32(b[:], uint32(n)*8)
	s.write(b[:])
	dst = s.end(dst, n)
	k.done(s)
	return dst
}

// write is for what lives on the stack: a call of an interface's method would move
// it to the heap.
func (s *macState) write(b []byte) { s.hash.Write(s.sum[:copy(s.sum[:], b)]) }
