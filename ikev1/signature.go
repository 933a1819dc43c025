package ikev1

import (
	"crypto"
	"crypto/dsa" //lint:ignore SA1019 IKEv1 has DSS signatures (RFC 2409 5.1)
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"math/big"

	"github.com/racoon3/racoon/internal/trust"
)

// SignatureOptions is the policy for signatures in phase 1. The zero value is
// the sensible one.
type SignatureOptions struct {
	// MinRSABits is the smallest RSA modulus accepted from a peer; 0 means
	// 2048. The smallest value is 1024, the largest 8192.
	MinRSABits int
}

func (o SignatureOptions) validate() error {
	if o.MinRSABits != 0 && (o.MinRSABits < 1024 || o.MinRSABits > trust.MaxRSABits) {
		return fmt.Errorf("MinRSABits: %d, want 1024 to %d, or 0 for the default", o.MinRSABits, trust.MaxRSABits)
	}
	return nil
}

// errSignature: the signature does not fit the key and the octets.
var errSignature = errors.New("the signature does not verify")

// A SignatureError says why a signature was refused or could not be made.
type SignatureError struct {
	Method AuthMethod
	Err    error
}

func (e *SignatureError) Error() string { return fmt.Sprintf("%v: %v", e.Method, e.Err) }

func (e *SignatureError) Unwrap() error { return e.Err }

// dssSize is the length of r and of s in a DSS signature.
const dssSize = 20

// signHash makes the data of a SIG payload over HASH_I or HASH_R, which was
// computed with [AuthMethod.hash].
//
// The signer is called with the hash and, for RSA, crypto.Hash(0): the padded
// block holds the bare HASH, without the name of the hash function (RFC 2409
// 5.1). DSA and ECDSA signers return DER, as crypto.Signer says; on the wire
// are r and s, each of fixed length. It may take its time and belongs in a
// job.
func signHash(signer crypto.Signer, rand io.Reader, m AuthMethod, hash []byte) ([]byte, error) {
	sig, err := signWith(signer, rand, m, hash)
	if err != nil {
		return nil, &SignatureError{Method: m, Err: err}
	}
	return sig, nil
}

func signWith(signer crypto.Signer, rand io.Reader, m AuthMethod, hash []byte) ([]byte, error) {
	if signer == nil {
		return nil, errors.New("no private key")
	}
	pub := signer.Public()
	order, err := m.checkKey(pub, len(hash))
	if err != nil {
		return nil, err
	}
	sig, err := signer.Sign(rand, hash, m.signatureHash())
	if err != nil || order == nil {
		return sig, err
	}
	return trust.FixedSignature(sig, order)
}

// verifyHash checks the data of a SIG payload over HASH_I or HASH_R, which was
// computed with [AuthMethod.hash] for the side that signed. The key has been
// found good for the peer's identity (package trust). Errors are
// [*SignatureError].
func verifyHash(pub crypto.PublicKey, m AuthMethod, hash, sig []byte, opt SignatureOptions) error {
	if err := verifyWith(pub, m, hash, sig, opt); err != nil {
		return &SignatureError{Method: m, Err: err}
	}
	return nil
}

func verifyWith(pub crypto.PublicKey, m AuthMethod, hash, sig []byte, opt SignatureOptions) error {
	if err := trust.CheckPublicKey(pub, opt.MinRSABits); err != nil {
		return err
	}
	order, err := m.checkKey(pub, len(hash))
	if err != nil {
		return err
	}
	if len(sig) == 0 {
		return errors.New("empty signature")
	}
	if k, ok := pub.(*rsa.PublicKey); ok {
		// Without a hash function the block is 00 01 ff.. 00 and the HASH; the
		// library compares all of it.
		if rsa.VerifyPKCS1v15(k, 0, hash, sig) != nil {
			return errSignature
		}
		return nil
	}
	r, s, err := trust.SplitSignature(sig, order)
	if err != nil {
		return err
	}
	ok := false
	switch k := pub.(type) {
	case *dsa.PublicKey:
		ok = dsa.Verify(k, hash, r, s) // refuses 0, and what is not below q
	case *ecdsa.PublicKey:
		der, err := trust.SignatureDER(sig, order)
		ok = err == nil && ecdsa.VerifyASN1(k, hash, der) // likewise
	}
	if !ok {
		return errSignature
	}
	return nil
}

// checkKey checks that a key fits the method, and the hash too. It returns the
// order that r and s are below, nil for RSA.
func (m AuthMethod) checkKey(pub crypto.PublicKey, hash int) (order *big.Int, err error) {
	if f := m.signatureHash(); f != 0 && hash != f.Size() {
		return nil, fmt.Errorf("hash of %d octets, want %d of %v", hash, f.Size(), f)
	}
	var curve elliptic.Curve
	switch m.Base() {
	case AuthRSA:
		if _, ok := pub.(*rsa.PublicKey); ok {
			return nil, nil
		}
		return nil, wrongKey("an RSA key", pub)
	case AuthDSS:
		k, ok := pub.(*dsa.PublicKey)
		if !ok {
			return nil, wrongKey("a DSA key", pub)
		}
		if k.Q == nil || k.Q.BitLen() != 8*dssSize {
			return nil, fmt.Errorf("DSA key whose q has %d bits, want %d", bitLen(k.Q), 8*dssSize)
		}
		return k.Q, nil
	case AuthECDSA256:
		curve = elliptic.P256()
	case AuthECDSA384:
		curve = elliptic.P384()
	case AuthECDSA521:
		curve = elliptic.P521()
	default:
		return nil, errors.New("not a signature method that is supported")
	}
	k, ok := pub.(*ecdsa.PublicKey)
	if !ok || k.Curve != curve {
		return nil, wrongKey("a key on "+curve.Params().Name, pub)
	}
	return curve.Params().N, nil
}

func bitLen(x *big.Int) int {
	if x == nil {
		return 0
	}
	return x.BitLen()
}

func wrongKey(want string, got crypto.PublicKey) error {
	name := fmt.Sprintf("a key of type %T", got)
	switch k := got.(type) {
	case *rsa.PublicKey:
		name = fmt.Sprintf("an RSA key of %d bits", bitLen(k.N))
	case *ecdsa.PublicKey:
		name = "a key on no curve"
		if k.Curve != nil {
			name = "a key on " + k.Params().Name
		}
	case *dsa.PublicKey:
		name = fmt.Sprintf("a DSA key of %d bits", bitLen(k.P))
	}
	return fmt.Errorf("needs %s, got %s", want, name)
}

// MethodOfKey returns the signature method that a key is for, 0 if there is
// none. DSS is not among them: it is used where it is named only.
func MethodOfKey(pub crypto.PublicKey) AuthMethod {
	switch k := pub.(type) {
	case *rsa.PublicKey:
		return AuthRSA
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256():
			return AuthECDSA256
		case elliptic.P384():
			return AuthECDSA384
		case elliptic.P521():
			return AuthECDSA521
		}
	}
	return 0
}
