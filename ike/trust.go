package ike

import (
	"bytes"
	"crypto"
	"crypto/dsa" //lint:ignore SA1019 IKEv1 has DSS signatures (RFC 2409 5.1)
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
)

// Trust says which certificates and keys of a peer are accepted. It must not
// be changed once it is in use; to change it, configure another one.
//
// The zero Trust accepts nobody.
type Trust struct {
	// Roots are the certification authorities whose word is taken (trust
	// anchors); they need not be self-signed.
	Roots []*x509.Certificate
	// Intermediates help to build a path when the peer does not send them;
	// they are not trusted by themselves.
	Intermediates []*x509.Certificate
	// Pinned are peers' own certificates that are accepted without a path to
	// a root. Their validity times, key and names are checked like others'.
	Pinned []*x509.Certificate
	// RawKeys are peers' public keys that are accepted without a certificate
	// (RFC 7670, or no CERT payload at all), or whatever certificate is sent
	// with them.
	RawKeys []RawKey

	// CRLs are the revocation lists of the authorities.
	CRLs []*x509.RevocationList
	// Revocation says what a missing or outdated list means.
	Revocation RevocationPolicy

	// EKU says what the extended key usage of the peer's certificate has to
	// be, EKUs which purposes count; nil means serverAuth, clientAuth,
	// ipsecIKE (RFC 4945) and ipsecIKEIntermediate. anyExtendedKeyUsage always
	// counts.
	EKU  EKUPolicy
	EKUs []asn1.ObjectIdentifier

	// MatchCN also looks for a host name, address or mail address in the
	// subject's common name when the certificate has no subjectAltName of that
	// kind. Off by default: name constraints do not bind a common name.
	MatchCN bool
	// WildcardSANs lets a subjectAltName of *.example.org stand for every
	// host with one more label. Off by default.
	WildcardSANs bool
	// AddressInDNS also looks for an address written as text in a DNS
	// subjectAltName, as some Windows set-ups have it. Off by default.
	AddressInDNS bool
	// AnyIdentity lists identity types that are not looked for in the
	// certificate. A KEY_ID has no counterpart there (RFC 4945 3.1.7) and is
	// refused unless listed; listing a type means that every holder of an
	// acceptable certificate may use every identity of that type, so the
	// configured identity has to be narrow enough.
	AnyIdentity []IDType

	// MaxChain is the largest number of certificates in a path, leaf and root
	// included; 0 means 8.
	MaxChain int
	// MinRSABits is the smallest RSA modulus accepted in a path; 0 means 2048.
	// The largest is 8192.
	MinRSABits int
	// Hashes are the hash functions allowed in the signatures of the path;
	// nil allows the SHA-2 family. SHA-1 and MD5 are never accepted.
	Hashes []crypto.Hash
}

// RawKey is a public key accepted without a certificate, for the identities
// that match; the zero pattern means any identity the peer's configuration
// allows.
type RawKey struct {
	ID  IdentityPattern
	Key crypto.PublicKey // *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey; *dsa.PublicKey for IKEv1's DSS signatures
}

// RevocationPolicy says how CRLs count.
type RevocationPolicy uint8

const (
	// RevocationIfPresent refuses what a list revokes, even an outdated one;
	// certificates that no current list speaks of pass.
	RevocationIfPresent RevocationPolicy = iota
	// RevocationStrict also wants a current list of every issuer in the path.
	RevocationStrict
	// RevocationOff looks at no list.
	RevocationOff
)

func (p RevocationPolicy) String() string {
	switch p {
	case RevocationIfPresent:
		return "if present"
	case RevocationStrict:
		return "strict"
	case RevocationOff:
		return "off"
	}
	return "unknown"
}

// EKUPolicy says how extended key usages count (RFC 4945 5.1.3.12).
type EKUPolicy uint8

const (
	// EKUIfPresent accepts a certificate without the extension; if it has
	// one, a purpose that counts must be in it.
	EKUIfPresent EKUPolicy = iota
	// EKURequired wants a purpose that counts.
	EKURequired
	// EKUIgnored does not look.
	EKUIgnored
)

func (p EKUPolicy) String() string {
	switch p {
	case EKUIfPresent:
		return "if present"
	case EKURequired:
		return "required"
	case EKUIgnored:
		return "ignored"
	}
	return "unknown"
}

// Validate reports what in the configuration cannot work.
func (t *Trust) Validate() error {
	if t == nil || len(t.Roots)+len(t.Pinned)+len(t.RawKeys) == 0 {
		return errors.New("trust: neither a root, a pinned certificate nor a raw key: nobody could be accepted")
	}
	for _, l := range []struct {
		name  string
		certs []*x509.Certificate
		ca    bool
	}{{"Roots", t.Roots, true}, {"Intermediates", t.Intermediates, true}, {"Pinned", t.Pinned, false}} {
		for i, c := range l.certs {
			if c == nil {
				return fmt.Errorf("trust: %s[%d] is nil", l.name, i)
			}
			if l.ca && !mayIssue(c) {
				return fmt.Errorf("trust: %s[%d], %q, is not the certificate of a certification authority; a peer's own certificate goes to Pinned", l.name, i, c.Subject)
			}
		}
	}
	for i, k := range t.RawKeys {
		if _, ok := k.Key.(*dsa.PublicKey); ok {
			continue // the library does not write them
		}
		if _, err := x509.MarshalPKIXPublicKey(k.Key); err != nil {
			return fmt.Errorf("trust: RawKeys[%d]: %w", i, err)
		}
	}
	for i, l := range t.CRLs {
		if l == nil {
			return fmt.Errorf("trust: CRLs[%d] is nil", i)
		}
		if err := checkCRL(l); err != nil {
			return fmt.Errorf("trust: CRLs[%d]: %w", i, err)
		}
	}
	if t.Revocation > RevocationOff {
		return fmt.Errorf("trust: Revocation is %d, want one of the constants", t.Revocation)
	}
	if t.EKU > EKUIgnored {
		return fmt.Errorf("trust: EKU is %d, want one of the constants", t.EKU)
	}
	if t.MaxChain < 0 || t.MaxChain > 32 {
		return fmt.Errorf("trust: MaxChain is %d, want 1 to 32, or 0 for the default", t.MaxChain)
	}
	if t.MinRSABits < 0 || t.MinRSABits > 8192 || t.MinRSABits > 0 && t.MinRSABits < 1024 {
		return fmt.Errorf("trust: MinRSABits is %d, want 1024 to 8192, or 0 for the default", t.MinRSABits)
	}
	for i, h := range t.Hashes {
		switch h {
		case crypto.SHA256, crypto.SHA384, crypto.SHA512:
		default:
			return fmt.Errorf("trust: Hashes[%d] is %v, want SHA-256, SHA-384 or SHA-512", i, h)
		}
	}
	return nil
}

// mayIssue reports whether a certificate is one of an authority: it says so,
// or is a self-signed one from before version 3, which could not say it.
func mayIssue(c *x509.Certificate) bool {
	if c.BasicConstraintsValid {
		return c.IsCA
	}
	return c.Version < 3 && bytes.Equal(c.RawIssuer, c.RawSubject)
}

var oidDeltaCRL = asn1.ObjectIdentifier{2, 5, 29, 27}

// checkCRL refuses lists whose meaning we would get wrong: a critical
// extension (RFC 5280 5.2.5 makes the issuing distribution point one) says
// that the list is partial or about other issuers' certificates.
func checkCRL(l *x509.RevocationList) error {
	for _, e := range l.Extensions {
		if e.Critical || e.Id.Equal(oidDeltaCRL) {
			return fmt.Errorf("revocation list of %q has the extension %v: indirect, partial and delta lists are not supported", l.Issuer, e.Id)
		}
	}
	return nil
}
