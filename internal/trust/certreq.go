package trust

import (
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
