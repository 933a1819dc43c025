package ike

import (
	"context"
	"crypto"
	"crypto/dsa" //lint:ignore SA1019 IKEv1 has DSS signatures (RFC 2409 5.1)
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
)

// Credential is what a side proves its identity with: a pre-shared key, or a
// private key with the certificate chain that vouches for it, or a private key
// alone (raw public key, RFC 7670). It must not be changed once it is in use;
// to rotate keys, let a [CredentialSource] return another one.
type Credential struct {
	// PSK is the pre-shared key.
	PSK Secret
	// Certificates is the own chain: the leaf first, then the intermediates;
	// the root need not be there. Empty for a raw public key.
	Certificates []*x509.Certificate
	// Signer holds the private key, perhaps in a token or another process.
	// It is called from jobs only, never from a core, and by one job at a time
	// for each session; it must be safe for concurrent use.
	Signer crypto.Signer
	// Fallback: it is for anybody that has no credential of its own. Where a
	// peer has several identities, IKEv1 asks for each and takes one that is no
	// fallback.
	Fallback bool
}

// String says what the credential is, and nothing of its secrets.
func (c Credential) String() string {
	switch leaf := c.Leaf(); {
	case leaf != nil:
		return fmt.Sprintf("certificate %q", leaf.Subject)
	case c.Signer != nil:
		return fmt.Sprintf("raw key %T", c.Signer.Public())
	}
	return "pre-shared key " + c.PSK.String()
}

// Format implements [fmt.Formatter] for every verb: fmt would print what a
// pointer inside another value points to octet by octet under a verb that does
// not fit.
func (c Credential) Format(f fmt.State, _ rune) { fmt.Fprint(f, c.String()) }

// MarshalText implements [encoding.TextMarshaler], so that JSON and slog do not
// write out a private key either.
func (c Credential) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// A CredentialSource finds the credential of local for talking to remote; it
// runs in a job and may take its time. For a pre-shared key both sides' keys
// are the same one. It returns an error that matches [ErrNoCredential] if
// there is none. The caller does not change what it returns.
type CredentialSource func(ctx context.Context, local, remote Identity) (*Credential, error)

// ErrNoCredential: no credential is configured for the identities.
var ErrNoCredential = errors.New("no credential")

// NoCredentialError names the identities that no credential was found for.
// It matches [ErrNoCredential].
type NoCredentialError struct{ Local, Remote Identity }

func (e *NoCredentialError) Error() string {
	return fmt.Sprintf("no credential for %s with %s", e.Local, e.Remote)
}

// Is makes errors.Is(err, ErrNoCredential) true.
func (e *NoCredentialError) Is(target error) bool { return target == ErrNoCredential }

// Source returns a source that always finds c.
func (c *Credential) Source() CredentialSource {
	return func(_ context.Context, local, remote Identity) (*Credential, error) {
		if c == nil {
			return nil, &NoCredentialError{local, remote}
		}
		return c, nil
	}
}

// SharedKey is an entry of [SharedKeys]. Its patterns' zero values match any
// identity.
type SharedKey struct {
	Local, Remote IdentityPattern
	Key           Secret
}

// SharedKeys returns a source of pre-shared keys. Of the entries that match,
// the one with the most specific remote pattern is taken, then the most
// specific local one, then the first. An entry with an empty key is an error
// when it is used, since anybody knows the empty key.
func SharedKeys(entries ...SharedKey) CredentialSource {
	entries = append([]SharedKey(nil), entries...)
	return func(_ context.Context, local, remote Identity) (*Credential, error) {
		var best *SharedKey
		for i := range entries {
			e := &entries[i]
			if !e.Local.Match(local) || !e.Remote.Match(remote) {
				continue
			}
			if best == nil || e.Remote.Specificity() > best.Remote.Specificity() ||
				e.Remote.Specificity() == best.Remote.Specificity() && e.Local.Specificity() > best.Local.Specificity() {
				best = e
			}
		}
		if best == nil {
			return nil, &NoCredentialError{local, remote}
		}
		c := &Credential{PSK: best.Key, Fallback: best.Remote.Specificity() == 0}
		if err := c.Validate(); err != nil {
			return nil, fmt.Errorf("pre-shared key for %s with %s: %w", local, remote, err)
		}
		return c, nil
	}
}

// Leaf returns the own certificate, or nil.
func (c *Credential) Leaf() *x509.Certificate {
	if c == nil || len(c.Certificates) == 0 {
		return nil
	}
	return c.Certificates[0]
}

// Validate reports why the credential cannot work: nothing in it, a signer
// without a usable public key, a certificate of another key.
func (c *Credential) Validate() error {
	if c == nil {
		return ErrNoCredential
	}
	if c.Signer == nil {
		if len(c.Certificates) > 0 {
			return errors.New("credential: a certificate without its private key")
		}
		if len(c.PSK) == 0 {
			return errors.New("credential: neither a pre-shared key nor a private key (a pre-shared key must not be empty)")
		}
		return nil
	}
	public := c.Signer.Public()
	switch k := public.(type) {
	case *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey:
	case *dsa.PublicKey: // for IKEv1's DSS signatures
	default:
		return fmt.Errorf("credential: keys of type %T cannot sign in IKE; use RSA, ECDSA or Ed25519", k)
	}
	for i, cert := range c.Certificates {
		if cert == nil {
			return fmt.Errorf("credential: certificate %d is nil", i)
		}
	}
	if leaf := c.Leaf(); leaf != nil && !SamePublicKey(leaf.PublicKey, public) {
		return fmt.Errorf("credential: the private key is not that of the certificate %q; the leaf certificate comes first", leaf.Subject)
	}
	return nil
}

// Identities returns what the leaf certificate says of itself, in the order
// in which they are best used as the own identity: host names, addresses and
// mail addresses of the subjectAltName, then the subject.
func (c *Credential) Identities() []Identity { return CertificateIdentities(c.Leaf()) }

// CertificateIdentities returns the identities that a certificate holds:
// host names (without wildcard ones), addresses and mail addresses of the
// subjectAltName, then the subject if there is one (RFC 4945 3.1, 5.1.3.6).
func CertificateIdentities(cert *x509.Certificate) []Identity {
	if cert == nil {
		return nil
	}
	var ids []Identity
	add := func(id Identity) {
		if id.Validate() == nil {
			ids = append(ids, id)
		}
	}
	for _, n := range cert.DNSNames {
		if !looksLikePattern(n) {
			add(Identity{IDFQDN, n})
		}
	}
	for _, ip := range cert.IPAddresses {
		switch len(ip) {
		case 4:
			add(Identity{IDIPv4Addr, string(ip)})
		case 16:
			add(Identity{IDIPv6Addr, string(ip)})
		}
	}
	for _, m := range cert.EmailAddresses {
		add(Identity{IDRFC822Addr, m})
	}
	add(DNIdentity(cert.RawSubject)) // an empty subject is not valid as an identity
	return ids
}
