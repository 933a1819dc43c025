package trust

import (
	"crypto"
	"crypto/dsa" //lint:ignore SA1019 IKEv1 has DSS signatures (RFC 2409 5.1)
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
)

// Sizes of RSA moduli, in bits. The upper one bounds what a peer can make us
// compute.
const (
	MaxRSABits        = 8192
	DefaultMinRSABits = 2048
)

// CheckPublicKey refuses keys that cannot be used, or with which a signature
// would prove nothing or cost too much. minRSABits of 0 means
// [DefaultMinRSABits].
func CheckPublicKey(pub crypto.PublicKey, minRSABits int) error {
	if minRSABits == 0 {
		minRSABits = DefaultMinRSABits
	}
	switch k := pub.(type) {
	case *rsa.PublicKey:
		if k == nil || k.N == nil || k.N.Sign() <= 0 {
			return errors.New("RSA key without modulus")
		}
		switch bits := k.N.BitLen(); {
		case bits > MaxRSABits:
			return fmt.Errorf("RSA key of %d bits, at most %d are accepted", bits, MaxRSABits)
		case bits < minRSABits:
			return fmt.Errorf("RSA key of %d bits, at least %d are wanted", bits, minRSABits)
		case k.N.Bit(0) == 0:
			return errors.New("RSA key with an even modulus")
		case k.E < 3 || k.E%2 == 0 || int64(k.E) > 1<<31-1:
			return fmt.Errorf("RSA key with the exponent %d", k.E)
		}
		return nil
	case *ecdsa.PublicKey:
		if k == nil || k.Curve != elliptic.P256() && k.Curve != elliptic.P384() && k.Curve != elliptic.P521() {
			return errors.New("ECDSA key on a curve other than P-256, P-384 or P-521")
		}
		if _, err := k.Bytes(); err != nil { // checks that the point is on the curve
			return fmt.Errorf("ECDSA key: %w", err)
		}
		return nil
	case ed25519.PublicKey:
		if len(k) != ed25519.PublicKeySize {
			return fmt.Errorf("Ed25519 key of %d octets", len(k))
		}
		if !canonicalEd25519(k) {
			return errors.New("Ed25519 key that is not canonical")
		}
		if smallOrderEd25519(k) {
			return errors.New("Ed25519 key of small order")
		}
		return nil
	case *dsa.PublicKey:
		return checkDSA(k)
	case nil:
		return errors.New("no public key, or one of an unknown algorithm")
	}
	return fmt.Errorf("keys of type %T are not supported", pub)
}

// Sizes of DSA keys, in bits. A q of 160 is the only one that IKEv1's signatures
// have room for (RFC 2409 5.1); p is bounded like an RSA modulus.
const (
	minDSABits = 1024
	maxDSABits = 3072
	dsaOrder   = 160
)

// checkDSA refuses DSA keys whose numbers could make a signature verify that
// nobody made, or cost too much. Only IKEv1 uses them, where DSS signatures are
// configured by name.
func checkDSA(k *dsa.PublicKey) error {
	if k == nil || k.P == nil || k.Q == nil || k.G == nil || k.Y == nil {
		return errors.New("DSA key without all its numbers")
	}
	if bits := k.P.BitLen(); k.P.Sign() <= 0 || bits < minDSABits || bits > maxDSABits || k.P.Bit(0) == 0 {
		return fmt.Errorf("DSA key with a p of %d bits, wanted is an odd one of %d to %d", bits, minDSABits, maxDSABits)
	}
	if bits := k.Q.BitLen(); k.Q.Sign() <= 0 || bits != dsaOrder || k.Q.Bit(0) == 0 {
		return fmt.Errorf("DSA key with a q of %d bits, wanted is an odd one of %d", bits, dsaOrder)
	}
	one := big.NewInt(1)
	if new(big.Int).Mod(new(big.Int).Sub(k.P, one), k.Q).Sign() != 0 {
		return errors.New("DSA key whose q does not divide p-1")
	}
	for _, n := range []*big.Int{k.G, k.Y} {
		if n.Cmp(one) <= 0 || n.Cmp(k.P) >= 0 || new(big.Int).Exp(n, k.Q, k.P).Cmp(one) != 0 {
			return errors.New("DSA key with a number outside of the subgroup")
		}
	}
	return nil
}

// canonicalEd25519 reports whether the y coordinate is below the prime
// 2^255-19 (RFC 8032 5.1.3).
func canonicalEd25519(k []byte) bool {
	if k[31]&0x7f != 0x7f {
		return true
	}
	for _, b := range k[1:31] {
		if b != 0xff {
			return true
		}
	}
	return k[0] < 0xed
}

// smallOrderY are the y coordinates of the eight points whose order divides
// the cofactor 8; for such a key, signatures that anybody can make verify.
var smallOrderY = [5][32]byte{
	{},  // 0: order 4
	{1}, // the neutral element
	{0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}, // -1: order 2
	{0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0,
		0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05}, // order 8
	{0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f,
		0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a}, // order 8
}

func smallOrderEd25519(k []byte) bool {
	y := [32]byte(k)
	y[31] &= 0x7f // the sign of x
	for _, s := range smallOrderY {
		if y == s {
			return true
		}
	}
	return false
}

// ParseRawKey parses a DER SubjectPublicKeyInfo (RFC 7670) and checks the key.
func ParseRawKey(spki []byte, minRSABits int) (crypto.PublicKey, error) {
	if len(spki) > maxRawKey {
		return nil, fmt.Errorf("raw public key of %d octets, at most %d are accepted", len(spki), maxRawKey)
	}
	pub, err := x509.ParsePKIXPublicKey(spki)
	if err != nil {
		return nil, fmt.Errorf("raw public key: %w", err)
	}
	if err := CheckPublicKey(pub, minRSABits); err != nil {
		return nil, err
	}
	return pub, nil
}

const maxRawKey = 2048 // room for the largest RSA key
