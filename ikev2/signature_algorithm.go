package ikev2

import (
	"crypto"
	_ "crypto/sha1" // links the hash functions that crypto.Hash names
	_ "crypto/sha256"
	_ "crypto/sha512"
	"encoding/asn1"
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/racoon3/racoon/ikev2/message"
)

// signatureScheme is a family of signatures of RFC 7427.
type signatureScheme uint8

const (
	schemePKCS1   signatureScheme = iota + 1 // RSASSA-PKCS1-v1_5
	schemePSS                                // RSASSA-PSS
	schemeECDSA                              // DER encoded r and s
	schemeEd25519                            // RFC 8420
)

func (s signatureScheme) String() string {
	switch s {
	case schemePKCS1:
		return "RSA PKCS#1 v1.5"
	case schemePSS:
		return "RSA-PSS"
	case schemeECDSA:
		return "ECDSA"
	case schemeEd25519:
		return "Ed25519"
	}
	return "unknown signature scheme"
}

// signatureAlgorithm is what an AlgorithmIdentifier of RFC 7427 says.
type signatureAlgorithm struct {
	scheme signatureScheme
	hash   message.HashAlgorithm // HashIdentity for Ed25519
	salt   int                   // RSA-PSS, octets
}

func (a signatureAlgorithm) String() string {
	if a.scheme == schemeEd25519 {
		return a.scheme.String()
	}
	return fmt.Sprintf("%v with %v", a.scheme, a.hash)
}

// hashFunc returns the hash function, which is available in the SHA-1 and
// SHA-2 families only.
func hashFunc(h message.HashAlgorithm) (crypto.Hash, bool) {
	switch h {
	case message.HashSHA1:
		return crypto.SHA1, true
	case message.HashSHA256:
		return crypto.SHA256, true
	case message.HashSHA384:
		return crypto.SHA384, true
	case message.HashSHA512:
		return crypto.SHA512, true
	}
	return 0, false
}

var (
	oidRSAPSS  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 10}
	oidMGF1    = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 8}
	oidEd25519 = asn1.ObjectIdentifier{1, 3, 101, 112}
	oidEd448   = asn1.ObjectIdentifier{1, 3, 101, 113}
)

// hashedSignatureOIDs name a scheme together with a hash (RFC 7427 A.1, A.3).
var hashedSignatureOIDs = []struct {
	oid    asn1.ObjectIdentifier
	scheme signatureScheme
	hash   message.HashAlgorithm
}{
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}, schemePKCS1, message.HashSHA256},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 12}, schemePKCS1, message.HashSHA384},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 13}, schemePKCS1, message.HashSHA512},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 5}, schemePKCS1, message.HashSHA1},
	{asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}, schemeECDSA, message.HashSHA256},
	{asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 3}, schemeECDSA, message.HashSHA384},
	{asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 4}, schemeECDSA, message.HashSHA512},
	{asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 1}, schemeECDSA, message.HashSHA1},
}

// hashOIDs name the hash functions in RSA-PSS parameters.
var hashOIDs = []struct {
	oid  asn1.ObjectIdentifier
	hash message.HashAlgorithm
}{
	{asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}, message.HashSHA1},
	{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}, message.HashSHA256},
	{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 2}, message.HashSHA384},
	{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 3}, message.HashSHA512},
}

var errAlgorithmIdentifier = errors.New("malformed AlgorithmIdentifier")

// parseSignatureAlgorithm reads a DER AlgorithmIdentifier and accepts only
// what RFC 7427 and RFC 8420 list, with parameters as their standards have
// them.
func parseSignatureAlgorithm(der []byte) (a signatureAlgorithm, err error) {
	in := cryptobyte.String(der)
	var seq cryptobyte.String
	var oid asn1.ObjectIdentifier
	if !in.ReadASN1(&seq, cbasn1.SEQUENCE) || !in.Empty() || !seq.ReadASN1ObjectIdentifier(&oid) {
		return a, errAlgorithmIdentifier
	}
	switch {
	case oid.Equal(oidRSAPSS):
		return parsePSSParameters(seq)
	case oid.Equal(oidEd25519):
		if !seq.Empty() { // RFC 8410 3: MUST be absent
			return a, fmt.Errorf("%w: Ed25519 has no parameters", errAlgorithmIdentifier)
		}
		return signatureAlgorithm{scheme: schemeEd25519, hash: message.HashIdentity}, nil
	case oid.Equal(oidEd448):
		return a, errors.New("signature algorithm Ed448 is not supported")
	}
	for _, k := range hashedSignatureOIDs {
		if !oid.Equal(k.oid) {
			continue
		}
		// RFC 4055 5: RSA has NULL, and absent parameters MUST be accepted;
		// RFC 5758 3.2: ECDSA has none.
		if k.scheme == schemePKCS1 && !seq.Empty() {
			if !readNULL(&seq) {
				return a, fmt.Errorf("%w: %v has parameters other than NULL", errAlgorithmIdentifier, k.scheme)
			}
		}
		if !seq.Empty() {
			return a, fmt.Errorf("%w: unexpected parameters for %v", errAlgorithmIdentifier, k.scheme)
		}
		return signatureAlgorithm{scheme: k.scheme, hash: k.hash}, nil
	}
	return a, fmt.Errorf("signature algorithm %v is unknown", oid)
}

func readNULL(s *cryptobyte.String) bool {
	var v cryptobyte.String
	return s.ReadASN1(&v, cbasn1.NULL) && v.Empty()
}

// maxSalt bounds the RSA-PSS salt that parameters may name: no modulus that we
// accept has room for more.
const maxSalt = maxRSABits / 8

// parsePSSParameters reads RSASSA-PSS-params (RFC 8017 A.2.3). Every field may
// be left out and then has its default; a default written out is accepted,
// since RFC 7427 A.4 itself does so. The mask must use the hash of the
// message, as RFC 8017 8.1 recommends and all peers do.
func parsePSSParameters(seq cryptobyte.String) (a signatureAlgorithm, err error) {
	var p cryptobyte.String
	if !seq.ReadASN1(&p, cbasn1.SEQUENCE) || !seq.Empty() {
		return a, fmt.Errorf("%w: RSA-PSS without parameters", errAlgorithmIdentifier)
	}
	field := func(n uint8) (cryptobyte.String, bool, error) {
		var v cryptobyte.String
		present := false
		if !p.ReadOptionalASN1(&v, &present, cbasn1.Tag(n).Constructed().ContextSpecific()) {
			return nil, false, errAlgorithmIdentifier
		}
		return v, present, nil
	}
	a = signatureAlgorithm{scheme: schemePSS, hash: message.HashSHA1, salt: 20}
	mgf := message.HashSHA1

	v, present, err := field(0)
	if err != nil {
		return a, err
	}
	if present {
		if a.hash, err = readHashIdentifier(&v); err != nil {
			return a, err
		}
		if !v.Empty() {
			return a, errAlgorithmIdentifier
		}
	}
	if v, present, err = field(1); err != nil {
		return a, err
	}
	if present {
		var m cryptobyte.String
		var oid asn1.ObjectIdentifier
		if !v.ReadASN1(&m, cbasn1.SEQUENCE) || !v.Empty() || !m.ReadASN1ObjectIdentifier(&oid) {
			return a, errAlgorithmIdentifier
		}
		if !oid.Equal(oidMGF1) {
			return a, fmt.Errorf("RSA-PSS mask generation function %v is unknown", oid)
		}
		if mgf, err = readHashIdentifier(&m); err != nil {
			return a, err
		}
		if !m.Empty() {
			return a, errAlgorithmIdentifier
		}
	}
	if v, present, err = field(2); err != nil {
		return a, err
	}
	if present && (!v.ReadASN1Integer(&a.salt) || !v.Empty()) {
		return a, fmt.Errorf("%w: RSA-PSS salt length", errAlgorithmIdentifier)
	}
	if a.salt < 0 || a.salt > maxSalt {
		return a, fmt.Errorf("RSA-PSS salt of %d octets", a.salt)
	}
	if v, present, err = field(3); err != nil {
		return a, err
	}
	if present {
		var trailer int
		if !v.ReadASN1Integer(&trailer) || !v.Empty() || trailer != 1 {
			return a, fmt.Errorf("%w: RSA-PSS trailer field is not 1", errAlgorithmIdentifier)
		}
	}
	if !p.Empty() {
		return a, errAlgorithmIdentifier
	}
	if mgf != a.hash {
		return a, fmt.Errorf("RSA-PSS with %v masks with %v; the same hash is wanted", a.hash, mgf)
	}
	return a, nil
}

// readHashIdentifier reads the AlgorithmIdentifier of a hash function, whose
// parameters are NULL or absent (RFC 4055 2.1).
func readHashIdentifier(s *cryptobyte.String) (message.HashAlgorithm, error) {
	var seq cryptobyte.String
	var oid asn1.ObjectIdentifier
	if !s.ReadASN1(&seq, cbasn1.SEQUENCE) || !seq.ReadASN1ObjectIdentifier(&oid) ||
		!seq.Empty() && !readNULL(&seq) || !seq.Empty() {
		return 0, errAlgorithmIdentifier
	}
	for _, k := range hashOIDs {
		if oid.Equal(k.oid) {
			return k.hash, nil
		}
	}
	return 0, fmt.Errorf("RSA-PSS hash function %v is unknown", oid)
}

// identifier encodes the AlgorithmIdentifier. RSA-PSS leaves the default
// trailer field out, as DER wants it.
func (a signatureAlgorithm) identifier() ([]byte, error) {
	var b cryptobyte.Builder
	hashIdentifier := func(b *cryptobyte.Builder) {
		for _, k := range hashOIDs {
			if k.hash == a.hash {
				b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1ObjectIdentifier(k.oid)
					b.AddASN1(cbasn1.NULL, func(*cryptobyte.Builder) {})
				})
			}
		}
	}
	tag := func(n uint8) cbasn1.Tag { return cbasn1.Tag(n).Constructed().ContextSpecific() }
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		switch a.scheme {
		case schemeEd25519:
			b.AddASN1ObjectIdentifier(oidEd25519)
			return
		case schemePSS:
			b.AddASN1ObjectIdentifier(oidRSAPSS)
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				if a.hash == message.HashSHA1 && a.salt == 20 {
					return // all of it is default
				}
				b.AddASN1(tag(0), hashIdentifier)
				b.AddASN1(tag(1), func(b *cryptobyte.Builder) {
					b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
						b.AddASN1ObjectIdentifier(oidMGF1)
						hashIdentifier(b)
					})
				})
				b.AddASN1(tag(2), func(b *cryptobyte.Builder) { b.AddASN1Int64(int64(a.salt)) })
			})
			return
		}
		for _, k := range hashedSignatureOIDs {
			if k.scheme == a.scheme && k.hash == a.hash {
				b.AddASN1ObjectIdentifier(k.oid)
				if k.scheme == schemePKCS1 {
					b.AddASN1(cbasn1.NULL, func(*cryptobyte.Builder) {})
				}
				return
			}
		}
		b.SetError(fmt.Errorf("no AlgorithmIdentifier for %v", a))
	})
	return b.Bytes()
}
