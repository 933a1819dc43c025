package trust

import (
	"errors"
	"fmt"
	"math/big"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// Signers return DSA and ECDSA signatures in DER, as crypto.Signer says. On the
// wire IKE has r and s, each as long as the order (RFC 2409 5.1, RFC 4754 7),
// except in the signatures of RFC 7427.

// FixedSignature turns a signature in DER into r and s of fixed length.
func FixedSignature(der []byte, order *big.Int) ([]byte, error) {
	in := cryptobyte.String(der)
	var seq cryptobyte.String
	var r, s big.Int
	if !in.ReadASN1(&seq, asn1.SEQUENCE) || !in.Empty() || !seq.ReadASN1Integer(&r) || !seq.ReadASN1Integer(&s) || !seq.Empty() ||
		r.Sign() <= 0 || s.Sign() <= 0 || r.Cmp(order) >= 0 || s.Cmp(order) >= 0 {
		return nil, errors.New("the signer returned something that is not a DER encoded signature")
	}
	n := orderSize(order)
	out := make([]byte, 2*n)
	r.FillBytes(out[:n])
	s.FillBytes(out[n:])
	return out, nil
}

// SplitSignature returns r and s of a signature of fixed length.
func SplitSignature(sig []byte, order *big.Int) (r, s *big.Int, err error) {
	n := orderSize(order)
	if len(sig) != 2*n {
		return nil, nil, fmt.Errorf("signature of %d octets, want %d", len(sig), 2*n)
	}
	return new(big.Int).SetBytes(sig[:n]), new(big.Int).SetBytes(sig[n:]), nil
}

// SignatureDER turns r and s of fixed length into DER, which the library
// verifies: it refuses 0 and what is not below the order.
func SignatureDER(sig []byte, order *big.Int) ([]byte, error) {
	r, s, err := SplitSignature(sig, order)
	if err != nil {
		return nil, err
	}
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1BigInt(r)
		b.AddASN1BigInt(s)
	})
	return b.Bytes()
}

func orderSize(order *big.Int) int { return (order.BitLen() + 7) / 8 }
