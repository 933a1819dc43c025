package ikev2

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/racoon3/racoon/ikev2/message"
	"github.com/racoon3/racoon/internal/trust"
)

// SignatureOptions is the policy for signatures in AUTH payloads. The zero
// value is the sensible one: SHA-2, RSA-PSS, RSA of 2048 bits or more.
type SignatureOptions struct {
	// Hashes are the hash functions allowed in signatures, the preferred ones
	// first; nil means SHA2-256, SHA2-384, SHA2-512 and Identity (Ed25519).
	// SHA-1 has to be named; with a peer that does not know RFC 7427 it is the
	// only one that RSA can use (RFC 7296 3.8).
	Hashes []message.HashAlgorithm
	// RSAPadding is how the own RSA key signs under RFC 7427; both are
	// accepted from the peer.
	RSAPadding RSAPadding
	// MinRSABits is the smallest RSA modulus accepted from a peer; 0 means
	// 2048. The largest is 8192.
	MinRSABits int
	// NoLegacyMethods refuses the methods from before RFC 7427: RSA digital
	// signature (1) and ECDSA (9 to 11).
	NoLegacyMethods bool
	// BareDigitalSignature accepts method 14 without its AlgorithmIdentifier,
	// as some FortiClient versions send it: the data is then an RSA PKCS#1
	// v1.5 signature or the fixed-length r and s of ECDSA.
	BareDigitalSignature bool
}

// RSAPadding is a way to sign with RSA.
type RSAPadding uint8

const (
	RSAPSS   RSAPadding = iota // RSASSA-PSS with a salt as long as the hash (RFC 8247 3.2)
	RSAPKCS1                   // RSASSA-PKCS1-v1_5, for peers without PSS
)

func (p RSAPadding) String() string {
	switch p {
	case RSAPSS:
		return "PSS"
	case RSAPKCS1:
		return "PKCS1"
	}
	return "unknown"
}

var defaultSignatureHashes = []message.HashAlgorithm{message.HashSHA256, message.HashSHA384, message.HashSHA512, message.HashIdentity}

func (o SignatureOptions) hashes() []message.HashAlgorithm {
	if o.Hashes == nil {
		return defaultSignatureHashes
	}
	return o.Hashes
}

// validate reports what cannot work in the options.
func (o SignatureOptions) validate() error {
	for _, h := range o.Hashes {
		if _, ok := hashFunc(h); !ok && h != message.HashIdentity {
			return fmt.Errorf("Hashes: %v is not supported", h)
		}
	}
	if o.Hashes != nil && len(o.Hashes) == 0 {
		return errors.New("Hashes: an empty list allows nothing; nil means the default")
	}
	if o.RSAPadding > RSAPKCS1 {
		return fmt.Errorf("RSAPadding: %d is unknown", o.RSAPadding)
	}
	if o.MinRSABits < 0 || o.MinRSABits > 0 && o.MinRSABits < 1024 || o.MinRSABits > maxRSABits {
		return fmt.Errorf("MinRSABits: %d, want 1024 to %d, or 0 for the default", o.MinRSABits, maxRSABits)
	}
	return nil
}

// errSignature: the signature does not fit the key and the octets.
var errSignature = errors.New("the signature does not verify")

// A SignatureError says why an AUTH payload with a signature was refused or
// could not be made.
type SignatureError struct {
	Method message.AuthMethod
	Err    error
}

func (e *SignatureError) Error() string { return fmt.Sprintf("AUTH method %v: %v", e.Method, e.Err) }

func (e *SignatureError) Unwrap() error { return e.Err }

// ecdsaMethods are the methods of RFC 4754: a curve with its hash.
var ecdsaMethods = []struct {
	method message.AuthMethod
	curve  elliptic.Curve
	hash   message.HashAlgorithm
}{
	{message.AuthECDSASHA256P256, elliptic.P256(), message.HashSHA256},
	{message.AuthECDSASHA384P384, elliptic.P384(), message.HashSHA384},
	{message.AuthECDSASHA512P521, elliptic.P521(), message.HashSHA512},
}

// signAuth computes the AUTH payload's method and data over octets (the signed
// octets of RFC 7296 2.15). peerHashes are the peer's
// SIGNATURE_HASH_ALGORITHMS: with them RFC 7427 is used, without them (nil)
// the older method that fits the key.
//
// rand is handed to the signer; the standard library's own keys ignore it for
// some algorithms, and Ed25519 and PKCS#1 v1.5 need none. A signer is called
// with a digest and *rsa.PSSOptions or a crypto.Hash, for Ed25519 with the
// message and crypto.Hash(0), and returns ECDSA signatures in DER, as
// crypto.Signer says.
func signAuth(signer crypto.Signer, rand io.Reader, peerHashes []uint16, opt SignatureOptions, octets []byte) (method uint8, data []byte, err error) {
	m, data, err := signAuthMethod(signer, rand, peerHashes, opt, octets)
	if err != nil {
		return 0, nil, &SignatureError{Method: m, Err: err}
	}
	return uint8(m), data, nil
}

func signAuthMethod(signer crypto.Signer, rand io.Reader, peerHashes []uint16, opt SignatureOptions, octets []byte) (message.AuthMethod, []byte, error) {
	if signer == nil {
		return message.AuthDigitalSignature, nil, errors.New("no private key")
	}
	pub := signer.Public()
	if len(peerHashes) > 0 {
		alg, err := chooseAlgorithm(pub, peerHashes, opt)
		if err == nil {
			data, err := signDigital(signer, rand, alg, octets)
			return message.AuthDigitalSignature, data, err
		}
		// RFC 7427 4: without a common hash the older methods are still there.
		if m, data, lerr := signLegacy(signer, rand, opt, octets); lerr == nil {
			return m, data, nil
		}
		return message.AuthDigitalSignature, nil, err
	}
	return signLegacy(signer, rand, opt, octets)
}

// chooseAlgorithm finds the algorithm of RFC 7427 for a key.
func chooseAlgorithm(pub crypto.PublicKey, peerHashes []uint16, opt SignatureOptions) (signatureAlgorithm, error) {
	both := func(h message.HashAlgorithm) bool {
		return slices.Contains(opt.hashes(), h) && slices.Contains(peerHashes, uint16(h))
	}
	first := func() (message.HashAlgorithm, bool) {
		for _, h := range opt.hashes() {
			if _, ok := hashFunc(h); ok && both(h) {
				return h, true
			}
		}
		return 0, false
	}
	var alg signatureAlgorithm
	switch k := pub.(type) {
	case ed25519.PublicKey:
		if !both(message.HashIdentity) {
			return alg, fmt.Errorf("an Ed25519 key needs the hash %v (RFC 8420); the peer has %s, allowed here are %s",
				message.HashIdentity, hashList(peerHashes), hashList(opt.hashes()))
		}
		return signatureAlgorithm{scheme: schemeEd25519, hash: message.HashIdentity}, nil
	case *ecdsa.PublicKey:
		alg.scheme = schemeECDSA
		// The hash that is as strong as the curve, if possible.
		for _, m := range ecdsaMethods {
			if k.Curve == m.curve && both(m.hash) {
				alg.hash = m.hash
				return alg, nil
			}
		}
	case *rsa.PublicKey:
		alg.scheme = schemePSS
		if opt.RSAPadding == RSAPKCS1 {
			alg.scheme = schemePKCS1
		}
	default:
		return alg, fmt.Errorf("keys of type %T cannot sign", pub)
	}
	h, ok := first()
	if !ok {
		return alg, fmt.Errorf("no common hash for %v: the peer has %s, allowed here are %s", alg.scheme, hashList(peerHashes), hashList(opt.hashes()))
	}
	alg.hash = h
	if alg.scheme == schemePSS {
		f, _ := hashFunc(h)
		alg.salt = f.Size()
	}
	return alg, nil
}

func hashList[H ~uint16](hs []H) string {
	if len(hs) == 0 {
		return "none"
	}
	var names []string
	for i, h := range hs {
		if i == 8 {
			names = append(names, "...")
			break
		}
		names = append(names, message.HashAlgorithm(h).String())
	}
	return strings.Join(names, ", ")
}

// signDigital makes the data of method 14.
func signDigital(signer crypto.Signer, rand io.Reader, alg signatureAlgorithm, octets []byte) ([]byte, error) {
	id, err := alg.identifier()
	if err != nil {
		return nil, err
	}
	in, opts := octets, crypto.SignerOpts(crypto.Hash(0))
	if f, ok := hashFunc(alg.hash); ok {
		in, opts = digest(f, octets), f
		if alg.scheme == schemePSS {
			opts = &rsa.PSSOptions{SaltLength: alg.salt, Hash: f}
		}
	}
	sig, err := signer.Sign(rand, in, opts)
	if err != nil {
		return nil, fmt.Errorf("%v: %w", alg, err)
	}
	return message.AppendDigitalSignature(make([]byte, 0, 1+len(id)+len(sig)), id, sig), nil
}

// signLegacy signs as before RFC 7427.
func signLegacy(signer crypto.Signer, rand io.Reader, opt SignatureOptions, octets []byte) (message.AuthMethod, []byte, error) {
	if opt.NoLegacyMethods {
		return message.AuthDigitalSignature, nil, errors.New("the peer does not announce SIGNATURE_HASH_ALGORITHMS (RFC 7427), and older methods are not allowed")
	}
	switch k := signer.Public().(type) {
	case *ecdsa.PublicKey:
		for _, m := range ecdsaMethods {
			if k.Curve != m.curve {
				continue
			}
			if !slices.Contains(opt.hashes(), m.hash) {
				return m.method, nil, fmt.Errorf("the hash %v is not allowed here", m.hash)
			}
			f, _ := hashFunc(m.hash)
			der, err := signer.Sign(rand, digest(f, octets), f)
			if err != nil {
				return m.method, nil, err
			}
			raw, err := trust.FixedSignature(der, m.curve.Params().N)
			return m.method, raw, err
		}
		return message.AuthDigitalSignature, nil, fmt.Errorf("no method of RFC 4754 has the curve %s", k.Params().Name)
	case *rsa.PublicKey:
		if !slices.Contains(opt.hashes(), message.HashSHA1) {
			return message.AuthRSASignature, nil, errors.New("the peer does not announce SIGNATURE_HASH_ALGORITHMS (RFC 7427), which leaves RSA with SHA1 (RFC 7296 3.8): name SHA1 among the allowed hashes if that must be")
		}
		sig, err := signer.Sign(rand, digest(crypto.SHA1, octets), crypto.SHA1)
		return message.AuthRSASignature, sig, err
	case ed25519.PublicKey:
		return message.AuthDigitalSignature, nil, errors.New("an Ed25519 key needs a peer with RFC 7427 and RFC 8420")
	default:
		return message.AuthDigitalSignature, nil, fmt.Errorf("keys of type %T cannot sign", k)
	}
}

func digest(f crypto.Hash, octets []byte) []byte {
	h := f.New()
	h.Write(octets)
	return h.Sum(nil)
}
