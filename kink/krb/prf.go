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

// AppendPRF appends the pseudorandom function of the key over the parts.
func (k *Key) AppendPRF(dst []byte, style PRFStyle, parts ...[]byte) []byte {
	if k.p.sha2 { // RFC 8009 5
		var in []byte
		for _, b := range parts {
			in = append(in, b...)
		}
		return append(dst, k.kdf([]byte("prf"), in, k.p.newHash().Size())...)
	}
	h := k.p.newHash()
	for _, b := range parts {
		h.Write(b)
	}
	off := len(dst)
	dst = h.Sum(dst)
	c := k.p.newBlock(k.derive([]byte("prf"), k.p.keyLen))
	if style == PRFRacoon2 && k.p.cts {
		encryptCTS(c, dst[off:])
		return dst
	}
	dst = dst[:off+16]
	encryptCBC(c, dst[off:])
	return dst
}

// AppendKeyMat appends n octets of the KEYMAT of an SA to dst (RFC 4430 7 and
// RFC 2409 5.5). The parts make up the seed:
// [g(qm)^xy |] protocol | SPI | Ni_b [| Nr_b].
func (k *Key) AppendKeyMat(dst []byte, n int, style PRFStyle, seed ...[]byte) []byte {
	var last []byte
	end := len(dst) + n
	for len(dst) < end {
		parts := append([][]byte{last}, seed...)
		last = k.AppendPRF(nil, style, parts...)
		dst = append(dst, last...)
	}
	clear(dst[end:])
	return dst[:end:end]
}
