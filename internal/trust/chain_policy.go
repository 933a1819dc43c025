package trust

import (
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/racoon3/racoon/ike"
)

// checkChain applies our policy to a path that is good by RFC 5280: keys,
// signature hashes, purposes, revocation.
func checkChain(now time.Time, t *ike.Trust, chain []*x509.Certificate) (warnings []error, err error) {
	for i, c := range chain {
		if err := CheckPublicKey(c.PublicKey, t.MinRSABits); err != nil {
			return nil, fail(ErrKey, i, c, err, "")
		}
		if i < len(chain)-1 { // nobody looks at the root's own signature
			if err := checkHash(t, c); err != nil {
				return nil, fail(ErrKey, i, c, err, "")
			}
		}
	}
	if err := checkUsage(t, chain); err != nil {
		return nil, err
	}
	if err := checkDirectoryNames(chain); err != nil {
		return nil, err
	}
	return checkRevocation(now, t, chain)
}

func checkHash(t *ike.Trust, c *x509.Certificate) error {
	h, ok := signatureHash(c.SignatureAlgorithm)
	if !ok {
		return fmt.Errorf("signed with %v, which is not accepted", c.SignatureAlgorithm)
	}
	if h == 0 || t.Hashes == nil || slices.Contains(t.Hashes, h) { // 0: Ed25519
		return nil
	}
	return fmt.Errorf("signed with %v; allowed are %v", c.SignatureAlgorithm, t.Hashes)
}

func signatureHash(a x509.SignatureAlgorithm) (crypto.Hash, bool) {
	switch a {
	case x509.SHA256WithRSA, x509.SHA256WithRSAPSS, x509.ECDSAWithSHA256:
		return crypto.SHA256, true
	case x509.SHA384WithRSA, x509.SHA384WithRSAPSS, x509.ECDSAWithSHA384:
		return crypto.SHA384, true
	case x509.SHA512WithRSA, x509.SHA512WithRSAPSS, x509.ECDSAWithSHA512:
		return crypto.SHA512, true
	case x509.PureEd25519:
		return 0, true
	}
	return 0, false
}

// Purposes that count for IKE unless configured otherwise.
var (
	oidServerAuth      = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 1}
	oidClientAuth      = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 2}
	oidIPsecIKE        = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 17} // RFC 4945 5.1.3.12
	oidIKEIntermediate = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 8, 2, 2}  // what Apple and Microsoft know
	oidAnyEKU          = asn1.ObjectIdentifier{2, 5, 29, 37, 0}
	oidExtKeyUsage     = asn1.ObjectIdentifier{2, 5, 29, 37}

	defaultEKUs = []asn1.ObjectIdentifier{oidIPsecIKE, oidServerAuth, oidClientAuth, oidIKEIntermediate}
)

// checkUsage looks at the leaf's key usage (RFC 4945 5.1.3.2) and at the
// extended key usages along the path: what an authority's certificate limits,
// its leaves cannot widen.
func checkUsage(t *ike.Trust, chain []*x509.Certificate) error {
	leaf := chain[0]
	if leaf.KeyUsage != 0 && leaf.KeyUsage&(x509.KeyUsageDigitalSignature|x509.KeyUsageContentCommitment) == 0 {
		return fail(ErrUsage, 0, leaf, nil, "its key usage has neither digitalSignature nor nonRepudiation")
	}
	if t.EKU == ike.EKUIgnored {
		return nil
	}
	allowed := t.EKUs
	if allowed == nil {
		allowed = defaultEKUs
	}
	for i, c := range chain {
		if i > 0 && i == len(chain)-1 {
			break // a root's own limits are for its owner to configure
		}
		ekus, present := extKeyUsages(c)
		if !present {
			if i == 0 && t.EKU == ike.EKURequired {
				return fail(ErrUsage, i, c, nil, "it has no extended key usage, wanted is one of %s", oidList(allowed))
			}
			continue
		}
		if slices.ContainsFunc(ekus, oidAnyEKU.Equal) {
			continue
		}
		var both []asn1.ObjectIdentifier
		for _, e := range ekus {
			if slices.ContainsFunc(allowed, e.Equal) {
				both = append(both, e)
			}
		}
		if len(both) == 0 {
			return fail(ErrUsage, i, c, nil, "its extended key usages are %s, wanted is one of %s", oidList(ekus), oidList(allowed))
		}
		allowed = both
	}
	return nil
}

// extKeyUsages reads the extension itself: the parsed form splits known from
// unknown purposes.
func extKeyUsages(c *x509.Certificate) (ekus []asn1.ObjectIdentifier, present bool) {
	for _, e := range c.Extensions {
		if e.Id.Equal(oidExtKeyUsage) {
			// An extension that does not parse permits nothing; ParseCertificate
			// has refused it already.
			rest, err := asn1.Unmarshal(e.Value, &ekus)
			if err != nil || len(rest) > 0 {
				return nil, true
			}
			return ekus, true
		}
	}
	return nil, false
}

var ekuNames = []struct {
	oid  asn1.ObjectIdentifier
	name string
}{
	{oidServerAuth, "serverAuth"}, {oidClientAuth, "clientAuth"}, {oidIPsecIKE, "ipsecIKE"}, {oidIKEIntermediate, "ipsecIKEIntermediate"},
	{asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 3}, "codeSigning"},
	{asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 4}, "emailProtection"},
	{asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 8}, "timeStamping"},
	{asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 9}, "OCSPSigning"},
}

func oidList(oids []asn1.ObjectIdentifier) string {
	if len(oids) == 0 {
		return "none"
	}
	var names []string
	for i, o := range oids {
		if i == 8 {
			names = append(names, "...")
			break
		}
		name := o.String()
		for _, n := range ekuNames {
			if n.oid.Equal(o) {
				name = n.name
			}
		}
		names = append(names, name)
	}
	return strings.Join(names, ", ")
}
