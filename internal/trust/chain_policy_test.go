package trust

import (
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"testing"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/testpki"
	"github.com/stretchr/testify/require"
)

func TestUsage(t *testing.T) {
	root := testpki.NewCA(t, "root")
	codeSigning := asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 3}
	oids := func(o ...asn1.ObjectIdentifier) []asn1.ObjectIdentifier { return o }
	for _, v := range []struct {
		name string
		ekus []asn1.ObjectIdentifier
		set  func(*ike.Trust)
		says string // empty: accepted
	}{
		{"absent", nil, nil, ""},
		{"serverAuth", oids(oidServerAuth), nil, ""},
		{"clientAuth", oids(oidClientAuth), nil, ""},
		{"ipsecIKE", oids(oidIPsecIKE), nil, ""},
		{"ipsecIKEIntermediate", oids(oidIKEIntermediate), nil, ""},
		{"any", oids(oidAnyEKU), nil, ""},
		{"one of two", oids(codeSigning, oidClientAuth), nil, ""},
		{"codeSigning", oids(codeSigning), nil, "its extended key usages are codeSigning, wanted is one of ipsecIKE, serverAuth, clientAuth, ipsecIKEIntermediate"},
		{"codeSigning ignored", oids(codeSigning), func(t *ike.Trust) { t.EKU = ike.EKUIgnored }, ""},
		{"absent, required", nil, func(t *ike.Trust) { t.EKU = ike.EKURequired }, "it has no extended key usage"},
		{"present, required", oids(oidServerAuth), func(t *ike.Trust) { t.EKU = ike.EKURequired }, ""},
		{"not the configured one", oids(oidClientAuth), func(t *ike.Trust) { t.EKUs = oids(oidServerAuth) }, "wanted is one of serverAuth"},
		{"the configured one", oids(codeSigning), func(t *ike.Trust) { t.EKUs = oids(codeSigning) }, ""},
	} {
		for _, critical := range []bool{false, true} {
			tr := trusting(root)
			if v.set != nil {
				v.set(tr)
			}
			c := root.Issue(t, testpki.Spec{Subject: "gw", DNS: []string{"gw.lab"}, EKU: v.ekus, EKUCritical: critical})
			_, err := verify(t, tr, "gw.lab", c.Raw)
			if v.says == "" {
				require.NoError(t, err, v.name)
				continue
			}
			refused(t, err, ErrUsage, v.says)
		}
	}
	// What an intermediate limits, its leaf cannot widen.
	sub := root.Issue(t, testpki.Spec{Subject: "sub", CA: true, EKU: oids(codeSigning)})
	_, err := verify(t, trusting(root), "gw.lab", sub.Leaf(t, "gw.lab").DER()...)
	refused(t, err, ErrUsage, "certificate 1 (C=CH, O=lab, CN=sub)")
	sub = root.Issue(t, testpki.Spec{Subject: "sub", CA: true, EKU: oids(oidClientAuth)})
	_, err = verify(t, trusting(root), "gw.lab", sub.Issue(t, testpki.Spec{Subject: "gw", DNS: []string{"gw.lab"}, EKU: oids(oidServerAuth)}).DER()...)
	refused(t, err, ErrUsage, "certificate 1")

	// RFC 4945 5.1.3.2.
	for usage, good := range map[x509.KeyUsage]bool{
		-1: true, x509.KeyUsageDigitalSignature: true, x509.KeyUsageContentCommitment: true,
		x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment: true,
		x509.KeyUsageKeyEncipherment:                                 false, x509.KeyUsageCertSign: false,
	} {
		c := root.Issue(t, testpki.Spec{Subject: "gw", DNS: []string{"gw.lab"}, KeyUsage: usage})
		_, err := verify(t, trusting(root), "gw.lab", c.Raw)
		require.Equal(t, good, err == nil, "%v: %v", usage, err)
	}
}

func TestChainSignatures(t *testing.T) {
	root := testpki.NewRoot(t, testpki.Spec{Subject: "root", CA: true, Key: testpki.RSA2048})
	tr := trusting(root)
	for alg, good := range map[x509.SignatureAlgorithm]bool{x509.SHA256WithRSA: true, x509.SHA384WithRSA: true, x509.SHA512WithRSA: true, x509.SHA256WithRSAPSS: true, x509.SHA1WithRSA: false} {
		c := root.Issue(t, testpki.Spec{Subject: "gw", DNS: []string{"gw.lab"}, SignatureAlgorithm: alg})
		_, err := verify(t, tr, "gw.lab", c.Raw)
		require.Equal(t, good, err == nil, "%v: %v", alg, err)
	}
	strict := trusting(root)
	strict.Hashes = []crypto.Hash{crypto.SHA384}
	c := root.Issue(t, testpki.Spec{Subject: "gw", DNS: []string{"gw.lab"}, SignatureAlgorithm: x509.SHA256WithRSA})
	_, err := verify(t, strict, "gw.lab", c.Raw)
	refused(t, err, ErrKey, "signed with SHA256-RSA; allowed are [SHA-384]")
	c = root.Issue(t, testpki.Spec{Subject: "gw", DNS: []string{"gw.lab"}, SignatureAlgorithm: x509.SHA384WithRSA})
	_, err = verify(t, strict, "gw.lab", c.Raw)
	require.NoError(t, err)
	for _, key := range []testpki.KeyType{testpki.P384, testpki.P521, testpki.Ed25519, testpki.RSA3072} {
		ca := testpki.NewRoot(t, testpki.Spec{Subject: "ca", CA: true, Key: key})
		_, err = verify(t, trusting(ca), "gw.lab", ca.Issue(t, testpki.Spec{Subject: "gw", DNS: []string{"gw.lab"}, Key: key, KeyNumber: 1}).Raw)
		require.NoError(t, err, key)
	}
}
