package ike

import (
	"crypto"
	"crypto/dsa" //lint:ignore SA1019 IKEv1 has DSS signatures (RFC 2409 5.1)
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"math/big"
)

// A DSASigner is a DSA private key as a crypto.Signer, which crypto/dsa does
// not have. DSA serves IKEv1's DSS signatures only (RFC 2409 5.1), with keys
// whose q has 160 bits; crypto/dsa is deprecated, and does not take care to
// spend the same time for every key.
type DSASigner struct{ key *dsa.PrivateKey }

// NewDSASigner returns the signer of a key, or an error if the key's numbers
// do not belong together. The key must not be changed afterwards.
func NewDSASigner(key *dsa.PrivateKey) (*DSASigner, error) {
	if key == nil {
		return nil, errors.New("no DSA key")
	}
	for _, n := range []*big.Int{key.P, key.Q, key.G, key.X, key.Y} {
		if n == nil || n.Sign() <= 0 {
			return nil, errors.New("DSA key: a number is missing")
		}
	}
	switch {
	case key.P.BitLen() > 3072 || key.Q.BitLen() > 256 || key.P.Bit(0) == 0:
		return nil, fmt.Errorf("DSA key of %d bits with a q of %d", key.P.BitLen(), key.Q.BitLen())
	case key.X.Cmp(key.Q) >= 0 || key.G.Cmp(key.P) >= 0 || new(big.Int).Exp(key.G, key.X, key.P).Cmp(key.Y) != 0:
		return nil, errors.New("DSA key: the private key does not belong to the public one")
	}
	return &DSASigner{key: key}, nil
}

// Public returns the *dsa.PublicKey.
func (s *DSASigner) Public() crypto.PublicKey { return &s.key.PublicKey }

// Sign signs a digest and returns the signature in DER (RFC 3279 2.2.2). The
// per-message secret is drawn from rand, or from the operating system where the
// standard library prefers that.
func (s *DSASigner) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if opts != nil && opts.HashFunc() != 0 && len(digest) != opts.HashFunc().Size() {
		return nil, fmt.Errorf("DSA: digest of %d octets, want %d", len(digest), opts.HashFunc().Size())
	}
	// The leftmost bits count (FIPS 186-4 4.6).
	digest = digest[:min(len(digest), s.key.Q.BitLen()/8)]
	r, t, err := dsa.Sign(rand, s.key, digest)
	if err != nil {
		return nil, fmt.Errorf("DSA: %w", err)
	}
	return asn1.Marshal(struct{ R, S *big.Int }{r, t})
}

// Format keeps the key out of any text.
func (s *DSASigner) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[DSA private key]")) }

// MarshalText gives encoders the same redacted form as Format.
func (s *DSASigner) MarshalText() ([]byte, error) { return []byte("[DSA private key]"), nil }

var oidDSA = asn1.ObjectIdentifier{1, 2, 840, 10040, 4, 1}

// parseDSA reads a private key in PKCS#8 or in the form of OpenSSL, "DSA PRIVATE
// KEY". It reports false if der is neither.
func parseDSA(der []byte) (crypto.Signer, bool, error) {
	var plain struct {
		Version       int
		P, Q, G, Y, X *big.Int
	}
	key := new(dsa.PrivateKey)
	if rest, err := asn1.Unmarshal(der, &plain); err == nil && len(rest) == 0 && plain.Version == 0 {
		key.P, key.Q, key.G, key.Y, key.X = plain.P, plain.Q, plain.G, plain.Y, plain.X
	} else {
		var pkcs8 struct {
			Version   int
			Algorithm struct {
				OID        asn1.ObjectIdentifier
				Parameters asn1.RawValue `asn1:"optional"`
			}
			Key        []byte
			Attributes asn1.RawValue `asn1:"optional,tag:0"`
		}
		if rest, err := asn1.Unmarshal(der, &pkcs8); err != nil || len(rest) > 0 || !pkcs8.Algorithm.OID.Equal(oidDSA) {
			return nil, false, nil
		}
		rest, err := asn1.Unmarshal(pkcs8.Algorithm.Parameters.FullBytes, &key.Parameters)
		if err == nil && len(rest) == 0 {
			rest, err = asn1.Unmarshal(pkcs8.Key, &key.X)
		}
		if err != nil || len(rest) > 0 || key.P.Sign() <= 0 || key.P.BitLen() > 3072 || key.X.Sign() <= 0 || key.X.BitLen() > 256 {
			return nil, true, errors.New("DSA key that is damaged or too large")
		}
		key.Y = new(big.Int).Exp(key.G, key.X, key.P)
	}
	s, err := NewDSASigner(key)
	if err != nil {
		return nil, true, err
	}
	return s, true, nil
}

// equalDSA compares DSA public keys, which have no method for it.
func equalDSA(a, b *dsa.PublicKey) bool {
	for _, x := range [][2]*big.Int{{a.P, b.P}, {a.Q, b.Q}, {a.G, b.G}, {a.Y, b.Y}} {
		if x[0] == nil || x[1] == nil || x[0].Cmp(x[1]) != 0 {
			return false
		}
	}
	return true
}

// SamePublicKey reports whether two keys are the same one, for the types that
// IKE signs with.
func SamePublicKey(a, b crypto.PublicKey) bool {
	if x, ok := a.(*dsa.PublicKey); ok {
		y, ok := b.(*dsa.PublicKey)
		return ok && equalDSA(x, y)
	}
	k, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(b)
}
