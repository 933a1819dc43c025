package trust

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/racoon3/racoon/ike"
)

// Limits on what a peer sends, checked before anything is parsed.
const (
	MaxCertificates    = 16       // CERT payloads with a certificate
	MaxCertificateSize = 16 << 10 // octets of one
	MaxTotalSize       = 64 << 10 // octets of all
	maxNames           = 256      // subject alternative names in the peer's own
	defaultMaxChain    = 8        // certificates in a path, both ends included
	maxPaths           = 8        // paths that are looked at
)

// Verified is the outcome of a successful [Verify].
type Verified struct {
	Leaf  *x509.Certificate   // the peer's certificate; nil for a raw public key
	Chain []*x509.Certificate // from the leaf to the root; the leaf alone if it is pinned
	// PublicKey is the key that the peer's signature has to verify with.
	PublicKey crypto.PublicKey
	// PublicKeys are all keys that the peer may have signed with, PublicKey
	// first. There is more than one only if the peer sent neither certificate
	// nor key, and several configured ones fit its identity.
	PublicKeys []crypto.PublicKey
	// Warnings are what an operator should know: outdated revocation lists.
	Warnings []error
}

// Why tells, for the log, what the peer is trusted for.
func (v Verified) Why() string {
	switch n := len(v.Chain); {
	case v.Leaf == nil:
		return "a raw public key that is trusted"
	case n > 1:
		return "certificate " + ike.DNIdentity(v.Leaf.RawSubject).String() + " under " + ike.DNIdentity(v.Chain[n-1].RawSubject).String()
	}
	return "pinned certificate " + ike.DNIdentity(v.Leaf.RawSubject).String()
}

// Verify decides whether the peer with the identity id may authenticate with
// what it sent: certificates in DER, its own first and the others in any
// order (RFC 7296 3.6), or a raw public key, a DER SubjectPublicKeyInfo (RFC
// 7670). With neither, its configured certificate or key is taken. A certificate
// that is of no use still carries a key, which may be configured.
//
// It does not look at the peer's signature. Errors are [*CertificateError] or
// name the identity. t is not changed; the call is safe to make concurrently.
func Verify(now time.Time, t *ike.Trust, id ike.Identity, certs [][]byte, rawKey []byte) (Verified, error) {
	if t == nil {
		return Verified{}, &CertificateError{Kind: ErrNoPath, Index: -1, Detail: "no trust is configured for signatures"}
	}
	if err := id.Validate(); err != nil {
		return Verified{}, err
	}
	if len(certs) > 0 {
		return verifyCertificates(now, t, id, certs)
	}
	if rawKey != nil {
		return verifyRawKey(now, t, id, rawKey)
	}
	return configuredKeys(now, t, id)
}

func verifyCertificates(now time.Time, t *ike.Trust, id ike.Identity, certs [][]byte) (Verified, error) {
	parsed, err := parse(certs)
	if err != nil {
		return Verified{}, err
	}
	leaf := parsed[0]
	if err := CheckPublicKey(leaf.PublicKey, t.MinRSABits); err != nil {
		return Verified{}, fail(ErrKey, 0, leaf, err, "")
	}
	if len(leaf.DNSNames)+len(leaf.EmailAddresses)+len(leaf.IPAddresses)+len(leaf.URIs) > maxNames {
		return Verified{}, fail(ErrLimit, 0, leaf, nil, "more than %d alternative names", maxNames)
	}
	if slices.ContainsFunc(t.Pinned, leaf.Equal) {
		return verifyPinned(now, t, id, leaf)
	}
	v, err := verifyPath(now, t, id, parsed)
	if err == nil {
		return v, nil
	}
	// Without its certificate the peer would be accepted by its key. It cannot
	// know that, and sends what it has (racoon2's iked does).
	if i := slices.IndexFunc(t.RawKeys, func(k ike.RawKey) bool { return ike.SamePublicKey(k.Key, leaf.PublicKey) && k.ID.Match(id) }); i >= 0 {
		return Verified{PublicKey: leaf.PublicKey, PublicKeys: []crypto.PublicKey{leaf.PublicKey}}, nil
	}
	return Verified{}, err
}

// verifyPath looks for a path from the first certificate to a root.
func verifyPath(now time.Time, t *ike.Trust, id ike.Identity, parsed []*x509.Certificate) (Verified, error) {
	leaf := parsed[0]
	chains, err := buildChains(now, t, parsed)
	if err != nil {
		return Verified{}, err
	}
	// The first path that satisfies the policy counts; if none does, the
	// reason of the first one is told.
	var first error
	for i, chain := range chains {
		if i == maxPaths {
			break
		}
		warnings, err := checkChain(now, t, chain)
		if err == nil {
			err = matchIdentity(t, id, leaf, hasNameConstraints(chain))
		}
		if err == nil {
			return Verified{Leaf: leaf, Chain: chain, PublicKey: leaf.PublicKey,
				PublicKeys: []crypto.PublicKey{leaf.PublicKey}, Warnings: warnings}, nil
		}
		if first == nil {
			first = err
		}
	}
	return Verified{}, first
}

// parse bounds and parses what the peer sent. Certificates after the first
// that cannot be parsed are left out, since they may be of no use anyway.
func parse(certs [][]byte) ([]*x509.Certificate, error) {
	if len(certs) > MaxCertificates {
		return nil, &CertificateError{Kind: ErrLimit, Index: -1, Detail: fmt.Sprintf("%d certificates, at most %d are accepted", len(certs), MaxCertificates)}
	}
	total := 0
	for i, der := range certs {
		if len(der) > MaxCertificateSize {
			return nil, fail(ErrLimit, i, nil, nil, "%d octets, at most %d are accepted", len(der), MaxCertificateSize)
		}
		if total += len(der); total > MaxTotalSize {
			return nil, fail(ErrLimit, i, nil, nil, "more than %d octets together", MaxTotalSize)
		}
	}
	var parsed []*x509.Certificate
	for i, der := range certs {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			if i == 0 {
				return nil, fail(ErrMalformed, 0, nil, err, "")
			}
			continue
		}
		if !slices.ContainsFunc(parsed, c.Equal) {
			parsed = append(parsed, c)
		}
	}
	return parsed, nil
}

// buildChains finds the paths of RFC 5280 6 from parsed[0] to a root. Keys are
// checked before they are used, so that no peer can make us compute with a
// huge one.
func buildChains(now time.Time, t *ike.Trust, parsed []*x509.Certificate) ([][]*x509.Certificate, error) {
	leaf := parsed[0]
	if len(t.Roots) == 0 {
		return nil, fail(ErrNoPath, 0, leaf, nil, "it is not a pinned one, and no root is configured")
	}
	roots, intermediates := x509.NewCertPool(), x509.NewCertPool()
	for _, c := range t.Roots {
		roots.AddCert(withDirectoryNames(c))
	}
	for _, list := range [][]*x509.Certificate{parsed[1:], t.Intermediates} {
		for _, c := range list {
			if CheckPublicKey(c.PublicKey, t.MinRSABits) == nil {
				intermediates.AddCert(withDirectoryNames(c))
			}
		}
	}
	chains, err := leaf.Verify(x509.VerifyOptions{
		Roots:         roots,
		Intermediates: intermediates,
		CurrentTime:   now,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageAny}, // our own policy follows
	})
	if err != nil {
		return nil, explainPath(t, parsed, err)
	}
	most := t.MaxChain
	if most == 0 {
		most = defaultMaxChain
	}
	short := chains[:0]
	for _, c := range chains {
		if len(c) <= most {
			short = append(short, c)
		}
	}
	if len(short) == 0 {
		return nil, fail(ErrLimit, 0, leaf, nil, "a path of %d certificates, at most %d are accepted", len(chains[0]), most)
	}
	slices.SortStableFunc(short, func(a, b []*x509.Certificate) int { return len(a) - len(b) })
	return short, nil
}

// explainPath turns the library's error into one that says which certificate
// failed and what was expected of it.
func explainPath(t *ike.Trust, parsed []*x509.Certificate, err error) error {
	leaf := parsed[0]
	index := func(c *x509.Certificate) int {
		return slices.IndexFunc(parsed, func(p *x509.Certificate) bool { return p == c || c != nil && p.Equal(c) })
	}
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) {
		c := invalid.Cert
		if c == nil {
			c = leaf
		}
		switch invalid.Reason {
		case x509.Expired:
			return fail(ErrNotInterval, index(c), c, nil, "valid from %s to %s", date(c.NotBefore), date(c.NotAfter))
		case x509.IncompatibleUsage:
			return fail(ErrUsage, index(c), c, err, "")
		}
		return fail(ErrNoPath, index(c), c, err, "")
	}
	var critical x509.UnhandledCriticalExtension
	if errors.As(err, &critical) {
		for i, c := range parsed {
			if len(c.UnhandledCriticalExtensions) > 0 {
				return fail(ErrMalformed, i, c, nil, "critical extension %v is not understood", c.UnhandledCriticalExtensions[0])
			}
		}
		return fail(ErrMalformed, -1, nil, err, "")
	}
	// Follow the issuers as far as they are known, to name the gap.
	c, known := leaf, append(slices.Clone(parsed[1:]), t.Intermediates...)
	for range parsed {
		i := slices.IndexFunc(known, func(k *x509.Certificate) bool {
			return bytes.Equal(k.RawSubject, c.RawIssuer) && !k.Equal(c)
		})
		if i < 0 {
			break
		}
		c = known[i]
		known = slices.Delete(known, i, i+1)
		if err := CheckPublicKey(c.PublicKey, t.MinRSABits); err != nil {
			return fail(ErrKey, index(c), c, err, "")
		}
	}
	issuer := "an issuer without name"
	if dn := ike.DNIdentity(c.RawIssuer); dn.Validate() == nil {
		issuer = dn.String()
	}
	if slices.ContainsFunc(t.Roots, func(r *x509.Certificate) bool { return bytes.Equal(r.RawSubject, c.RawIssuer) }) {
		return fail(ErrNoPath, index(c), c, err, "a root is named %s, but does not vouch for it", issuer)
	}
	return fail(ErrNoPath, index(c), c, err, "its issuer, %s, is neither a root nor among the intermediates", issuer)
}

// verifyPinned checks a certificate that is accepted without a path.
func verifyPinned(now time.Time, t *ike.Trust, id ike.Identity, leaf *x509.Certificate) (Verified, error) {
	if now.Before(leaf.NotBefore) || now.After(leaf.NotAfter) {
		return Verified{}, fail(ErrNotInterval, 0, leaf, nil, "valid from %s to %s", date(leaf.NotBefore), date(leaf.NotAfter))
	}
	if err := CheckPublicKey(leaf.PublicKey, t.MinRSABits); err != nil {
		return Verified{}, fail(ErrKey, 0, leaf, err, "")
	}
	if len(leaf.UnhandledCriticalExtensions) > 0 {
		return Verified{}, fail(ErrMalformed, 0, leaf, nil, "critical extension %v is not understood", leaf.UnhandledCriticalExtensions[0])
	}
	if err := matchIdentity(t, id, leaf, false); err != nil {
		return Verified{}, err
	}
	return Verified{Leaf: leaf, Chain: []*x509.Certificate{leaf}, PublicKey: leaf.PublicKey, PublicKeys: []crypto.PublicKey{leaf.PublicKey}}, nil
}

// verifyRawKey accepts a key that is configured for the identity, or that of a
// pinned certificate which has the identity.
func verifyRawKey(now time.Time, t *ike.Trust, id ike.Identity, spki []byte) (Verified, error) {
	pub, err := ParseRawKey(spki, t.MinRSABits)
	if err != nil {
		return Verified{}, &CertificateError{Kind: ErrKey, Index: -1, Err: err}
	}
	other := false
	for _, k := range t.RawKeys {
		if !ike.SamePublicKey(k.Key, pub) {
			continue
		}
		if k.ID.Match(id) {
			return Verified{PublicKey: pub, PublicKeys: []crypto.PublicKey{pub}}, nil
		}
		other = true
	}
	for _, c := range t.Pinned {
		if ike.SamePublicKey(c.PublicKey, pub) {
			return verifyPinned(now, t, id, c)
		}
	}
	e := &CertificateError{Kind: ErrUnknownKey, Index: -1, Detail: fmt.Sprintf("raw public key of %s", id)}
	if other {
		e.Detail += " is configured for another identity"
	}
	return Verified{}, e
}

// configuredKeys finds the keys of a peer that sent none.
func configuredKeys(now time.Time, t *ike.Trust, id ike.Identity) (Verified, error) {
	var v Verified
	add := func(k crypto.PublicKey) {
		if !slices.ContainsFunc(v.PublicKeys, func(o crypto.PublicKey) bool { return ike.SamePublicKey(k, o) }) && len(v.PublicKeys) < maxPaths {
			v.PublicKeys = append(v.PublicKeys, k)
		}
	}
	var first error
	for _, c := range t.Pinned {
		p, err := verifyPinned(now, t, id, c)
		if err != nil {
			if first == nil {
				first = err
			}
			continue
		}
		if v.PublicKeys == nil {
			v = p
		}
		add(c.PublicKey)
	}
	for _, k := range t.RawKeys {
		if !k.ID.Match(id) {
			continue
		}
		if err := CheckPublicKey(k.Key, t.MinRSABits); err != nil {
			if first == nil {
				first = &CertificateError{Kind: ErrKey, Index: -1, Err: err}
			}
			continue
		}
		add(k.Key)
	}
	if len(v.PublicKeys) == 0 {
		if first == nil || len(t.Pinned) > 1 {
			first = &CertificateError{Kind: ErrUnknownKey, Index: -1,
				Detail: fmt.Sprintf("%s sent no certificate, and neither a pinned certificate nor a raw key is configured for it", id)}
		}
		return Verified{}, first
	}
	v.PublicKey = v.PublicKeys[0]
	return v, nil
}
