package trust

import (
	"bytes"
	"crypto/sha1" // #nosec: a name in CERTREQ, not a protection
	"crypto/x509"
	"slices"

	"github.com/racoon3/racoon/ike"
)

// KeyHash is how CERTREQ names an authority: the SHA-1 hash of its
// SubjectPublicKeyInfo (RFC 7296 3.7).
func KeyHash(c *x509.Certificate) [20]byte { return sha1.Sum(c.RawSubjectPublicKeyInfo) }

// CAHashes returns the hashes of the roots, for the own CERTREQ. A nil Trust
// has none.
func CAHashes(t *ike.Trust) [][20]byte {
	if t == nil {
		return nil
	}
	var hashes [][20]byte
	for _, c := range t.Roots {
		if h := KeyHash(c); !slices.Contains(hashes, h) {
			hashes = append(hashes, h)
		}
	}
	return hashes
}

// Choose returns the credential that serves a peer which asked for
// certificates under the authorities named by requested: the first whose
// chain holds one of them or, since an intermediate may be all we hold, was
// issued by one that chains to it. A CERTREQ is a hint only, and some peers
// send none (RFC 7296 3.7), so with no match the first credential that can
// sign is returned, and nil if there is none.
func Choose(creds []*ike.Credential, requested [][20]byte) *ike.Credential {
	var first *ike.Credential
	for _, c := range creds {
		if c == nil || c.Signer == nil {
			continue
		}
		if first == nil {
			first = c
		}
		for _, cert := range c.Certificates {
			if slices.Contains(requested, KeyHash(cert)) || issuedBy(cert, requested) {
				return c
			}
		}
	}
	return first
}

// issuedBy looks at the authority key identifier, which many authorities make
// the very hash that CERTREQ has (RFC 5280 4.2.1.2 method 1 hashes the key
// without its algorithm, so a miss says nothing).
func issuedBy(c *x509.Certificate, requested [][20]byte) bool {
	return slices.ContainsFunc(requested, func(h [20]byte) bool { return bytes.Equal(c.AuthorityKeyId, h[:]) })
}
