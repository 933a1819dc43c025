package krb

import "fmt"

// A PRFStyle says which pseudorandom function the AES encryption types of
// RFC 3962 have. Both sides must use the same one, or their IPsec keys differ.
type PRFStyle uint8

const (
	// PRFStandard is the function of RFC 3961, 3962 and 8009: 16 octets with
	// AES and SHA-1 or DES3, 32 with SHA-256, 48 with SHA-384.
	PRFStandard PRFStyle = iota
	// PRFRacoon2 is what racoon2's kinkd computes for AES with SHA-1: all 20
	// octets of the hash are encrypted, not 16. For other encryption types it
	// is PRFStandard.
	PRFRacoon2
)

// String returns "standard" or "racoon2".
func (s PRFStyle) String() string {
	switch s {
	case PRFStandard:
		return "standard"
	case PRFRacoon2:
		return "racoon2"
	}
	return fmt.Sprintf("PRFStyle(%d)", uint8(s))
}

// MaxPRF is the longest output of the pseudorandom function in octets. AppendKeyMat
// leaves no keys behind on the heap if dst has room for so much more.
const MaxPRF = 48

// AppendPRF appends the pseudorandom function of the key over the parts.
func (k *Key) AppendPRF(dst []byte, style PRFStyle, parts ...[]byte) []byte {
	s := k.newMAC()
	defer k.done(s)
	if k.p.sha2 { // RFC 8009 5
		return k.kdf(dst, s.hash.Size(), prfLabel, parts...)
	}
	s.hash.Reset()
	for _, b := range parts {
		s.hash.Write(b)
	}
	off := len(dst)
	dst = append(dst, s.hash.Sum(s.sum[:0])...)
	c := k.specific(prfSlot, 0, func([]byte) *specific {
		dk := k.derive(prfLabel, k.p.keyLen)
		defer clear(dk)
		return &specific{ke: k.p.newBlock(dk)}
	}).ke
	if style == PRFRacoon2 && k.p.cts {
		encryptCTS(c, dst[off:])
		return dst
	}
	dst = dst[:off+16]
	encryptCBC(c, dst[off:])
	return dst
}

var prfLabel = []byte("prf")

// AppendKeyMat appends n octets of the KEYMAT of an SA to dst (RFC 4430 7 and
// RFC 2409 5.5). The parts make up the seed:
// [g(qm)^xy |] protocol | SPI | Ni_b [| Nr_b].
func (k *Key) AppendKeyMat(dst []byte, n int, style PRFStyle, seed ...[]byte) []byte {
	if n == 0 {
		return dst
	}
	end, last := len(dst)+n, len(dst)
	dst = k.AppendPRF(dst, style, seed...)
	if len(dst) < end {
		parts := append(make([][]byte, 1, 8), seed...)
		for len(dst) < end {
			parts[0] = dst[last:]
			last = len(dst)
			dst = k.AppendPRF(dst, style, parts...)
		}
	}
	clear(dst[end:])
	return dst[:end:end]
}
