package ikev2

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/racoon3/racoon/ikev2/message"
	"github.com/racoon3/racoon/internal/trust"
)

// maxRSABits bounds what a peer can make us compute.
const maxRSABits = trust.MaxRSABits

// verifyAuth checks the data of an AUTH payload that is a signature with
// method, over octets (the signed octets of RFC 7296 2.15). announced are the
// hash functions of the own SIGNATURE_HASH_ALGORITHMS: method 14 with another
// one is refused. Errors are *SignatureError.
func verifyAuth(pub crypto.PublicKey, method uint8, data []byte, announced []uint16, opt SignatureOptions, octets []byte) error {
	m := message.AuthMethod(method)
	if err := verifyAuthMethod(pub, m, data, announced, opt, octets); err != nil {
		return &SignatureError{Method: m, Err: err}
	}
	return nil
}

func verifyAuthMethod(pub crypto.PublicKey, method message.AuthMethod, data []byte, announced []uint16, opt SignatureOptions, octets []byte) error {
	if err := trust.CheckPublicKey(pub, opt.MinRSABits); err != nil {
		return err
	}
	if len(data) == 0 {
		return errors.New("empty signature")
	}
	if method != message.AuthDigitalSignature && opt.NoLegacyMethods {
		return errors.New("only RFC 7427 digital signatures are allowed")
	}
	switch method {
	case message.AuthRSASignature:
		k, ok := pub.(*rsa.PublicKey)
		if !ok {
			return wrongKey("an RSA key", pub)
		}
		return verifyLegacyRSA(k, data, opt, octets)
	case message.AuthECDSASHA256P256, message.AuthECDSASHA384P384, message.AuthECDSASHA512P521:
		for _, e := range ecdsaMethods {
			if e.method != method {
				continue
			}
			k, ok := pub.(*ecdsa.PublicKey)
			if !ok || k.Curve != e.curve {
				return wrongKey("a key on "+e.curve.Params().Name, pub)
			}
			if !slices.Contains(opt.hashes(), e.hash) {
				return notAllowed(e.hash, opt)
			}
			return verifyECDSAFixed(k, e.hash, data, octets)
		}
	case message.AuthDigitalSignature:
		return verifyDigital(pub, data, announced, opt, octets)
	}
	return errors.New("not a signature method that is supported")
}

func wrongKey(want string, got crypto.PublicKey) error {
	return fmt.Errorf("needs %s, the peer has %s", want, keyName(got))
}

func keyName(pub crypto.PublicKey) string {
	switch k := pub.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf("an RSA key of %d bits", k.N.BitLen())
	case *ecdsa.PublicKey:
		return "a key on " + k.Params().Name
	case ed25519.PublicKey:
		return "an Ed25519 key"
	}
	return fmt.Sprintf("a key of type %T", pub)
}

func notAllowed(h message.HashAlgorithm, opt SignatureOptions) error {
	return fmt.Errorf("the hash %v is not allowed; allowed are %s", h, hashList(opt.hashes()))
}

// verifyLegacyRSA verifies method 1. RFC 7296 3.8 leaves the hash to the
// signer and says SHA-1 is the usual one; PKCS#1 v1.5 names it in the
// signature, so each allowed one is tried.
func verifyLegacyRSA(k *rsa.PublicKey, sig []byte, opt SignatureOptions, octets []byte) error {
	for _, h := range opt.hashes() {
		f, ok := hashFunc(h)
		if ok && rsa.VerifyPKCS1v15(k, f, digest(f, octets), sig) == nil {
			return nil
		}
	}
	if !slices.Contains(opt.hashes(), message.HashSHA1) && rsa.VerifyPKCS1v15(k, crypto.SHA1, digest(crypto.SHA1, octets), sig) == nil {
		return notAllowed(message.HashSHA1, opt)
	}
	return errSignature
}

// verifyDigital verifies method 14.
func verifyDigital(pub crypto.PublicKey, data []byte, announced []uint16, opt SignatureOptions, octets []byte) error {
	id, sig, err := message.ParseDigitalSignature(data)
	var alg signatureAlgorithm
	if err == nil {
		alg, err = parseSignatureAlgorithm(id)
	}
	if err != nil {
		if opt.BareDigitalSignature && verifyBare(pub, data, announced, opt, octets) == nil {
			return nil
		}
		return err
	}
	if !slices.Contains(opt.hashes(), alg.hash) {
		return notAllowed(alg.hash, opt)
	}
	if !slices.Contains(announced, uint16(alg.hash)) {
		return fmt.Errorf("the hash %v was not announced; announced were %s", alg.hash, hashList(announced))
	}
	f, _ := hashFunc(alg.hash)
	switch alg.scheme {
	case schemePKCS1:
		k, ok := pub.(*rsa.PublicKey)
		if !ok {
			return wrongKey("an RSA key", pub)
		}
		if rsa.VerifyPKCS1v15(k, f, digest(f, octets), sig) != nil {
			return errSignature
		}
	case schemePSS:
		k, ok := pub.(*rsa.PublicKey)
		if !ok {
			return wrongKey("an RSA key", pub)
		}
		if !verifyPSS(k, f, alg.salt, digest(f, octets), sig) {
			return errSignature
		}
	case schemeECDSA:
		k, ok := pub.(*ecdsa.PublicKey)
		if !ok {
			return wrongKey("an ECDSA key", pub)
		}
		if !ecdsa.VerifyASN1(k, digest(f, octets), sig) {
			return errSignature
		}
	case schemeEd25519:
		k, ok := pub.(ed25519.PublicKey)
		if !ok {
			return wrongKey("an Ed25519 key", pub)
		}
		if !ed25519.Verify(k, octets, sig) {
			return errSignature
		}
	}
	return nil
}

// verifyBare tries the forms that peers without an AlgorithmIdentifier send.
func verifyBare(pub crypto.PublicKey, sig []byte, announced []uint16, opt SignatureOptions, octets []byte) error {
	for _, h := range opt.hashes() {
		f, ok := hashFunc(h)
		if !ok || !slices.Contains(announced, uint16(h)) {
			continue
		}
		switch k := pub.(type) {
		case *rsa.PublicKey:
			if rsa.VerifyPKCS1v15(k, f, digest(f, octets), sig) == nil {
				return nil
			}
		case *ecdsa.PublicKey:
			if verifyECDSAFixed(k, h, sig, octets) == nil {
				return nil
			}
		}
	}
	return errSignature
}

// verifyPSS verifies an RSASSA-PSS signature whose salt has exactly salt
// octets. rsa.PSSOptions has no way to say none: 0 stands for any length, so
// that case looks at the encoded message itself.
func verifyPSS(k *rsa.PublicKey, f crypto.Hash, salt int, sum, sig []byte) bool {
	if salt > 0 {
		return rsa.VerifyPSS(k, f, sum, sig, &rsa.PSSOptions{SaltLength: salt, Hash: f}) == nil
	}
	return rsa.VerifyPSS(k, f, sum, sig, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthAuto, Hash: f}) == nil &&
		pssHashWithoutSalt(k, f, sum, sig)
}

// pssHashWithoutSalt compares the hash H in the encoded message with the one
// that an empty salt gives (RFC 8017 9.1.2, steps 12 to 14). The signature has
// verified already; all of this is public.
func pssHashWithoutSalt(k *rsa.PublicKey, f crypto.Hash, sum, sig []byte) bool {
	m := new(big.Int).SetBytes(sig)
	m.Exp(m, big.NewInt(int64(k.E)), k.N)
	em := m.FillBytes(make([]byte, (k.N.BitLen()-1+7)/8))
	if len(em) < f.Size()+1 {
		return false
	}
	h := em[len(em)-1-f.Size() : len(em)-1]
	w := f.New()
	w.Write(make([]byte, 8))
	w.Write(sum)
	return bytes.Equal(h, w.Sum(nil))
}

// verifyECDSAFixed verifies r and s in their fixed length (RFC 4754 7).
func verifyECDSAFixed(k *ecdsa.PublicKey, h message.HashAlgorithm, sig, octets []byte) error {
	der, err := trust.SignatureDER(sig, k.Params().N)
	if err != nil {
		return err
	}
	f, _ := hashFunc(h)
	// VerifyASN1 refuses r and s of 0, and those not below the order.
	if !ecdsa.VerifyASN1(k, digest(f, octets), der) {
		return errSignature
	}
	return nil
}
