package trust

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"testing"

	"github.com/racoon3/racoon/internal/testpki"
	"github.com/stretchr/testify/require"
)

func TestB07_NameConstraints(t *testing.T) {
	root := testpki.NewCA(t, "root")
	for _, critical := range []bool{true, false} {
		excluding := root.Issue(t, testpki.Spec{Subject: "excluding", CA: true, ExcludedDNS: []string{"Secret.Lab"}, NameConstraintsUncritical: !critical})
		permitting := root.Issue(t, testpki.Spec{Subject: "permitting", CA: true, PermittedDNS: []string{"Site.Lab"}, NameConstraintsUncritical: !critical})
		for _, v := range []struct {
			ca   *testpki.Cert
			host string
			good bool
		}{
			{excluding, "gw.lab", true},
			{excluding, "secret.lab", false},
			{excluding, "SECRET.LAB", false},
			{excluding, "a.sEcReT.lAb", false},
			{permitting, "gw.site.lab", true},
			{permitting, "GW.SITE.LAB", true},
			{permitting, "gw.other.lab", false},
		} {
			leaf := v.ca.Leaf(t, v.host)
			_, err := verify(t, trusting(root), v.host, leaf.DER()...)
			require.Equal(t, v.good, err == nil, "%s: %v", v.host, err)
		}
		// A common name is not bound by the constraint, so it does not count.
		lax := trusting(root)
		lax.MatchCN = true
		leaf := excluding.Issue(t, testpki.Spec{Subject: "secret.lab"})
		_, err := verify(t, lax, "secret.lab", leaf.DER()...)
		require.Error(t, err)
		_, err = verify(t, lax, "secret.lab", root.Issue(t, testpki.Spec{Subject: "secret.lab"}).DER()...)
		require.NoError(t, err)
	}
}

func TestB07_DirectoryNameConstraints(t *testing.T) {
	root := testpki.NewCA(t, "root")
	name := func(s string) string { return id(t, s).Data }
	constraint := func(critical bool, which int, bases ...asn1.RawValue) pkix.Extension {
		var trees []byte
		for _, b := range bases {
			der, err := asn1.Marshal([]asn1.RawValue{b})
			require.NoError(t, err)
			trees = append(trees, der...)
		}
		der, err := asn1.Marshal([]asn1.RawValue{{Class: asn1.ClassContextSpecific, Tag: which, IsCompound: true, Bytes: trees}})
		require.NoError(t, err)
		return pkix.Extension{Id: oidNameConstraints, Critical: critical, Value: der}
	}
	directory := func(s string) asn1.RawValue {
		return asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 4, IsCompound: true, Bytes: []byte(name(s))}
	}
	for _, critical := range []bool{true, false} {
		permitted := root.Issue(t, testpki.Spec{Subject: "sub", CA: true, Extensions: []pkix.Extension{constraint(critical, 0, directory("C=CH, O=Lab"))}})
		excluded := root.Issue(t, testpki.Spec{Subject: "sub", CA: true, Extensions: []pkix.Extension{constraint(critical, 1, directory("C=CH, O=Lab"))}})
		for _, v := range []struct {
			ca   *testpki.Cert
			who  string
			good bool
		}{
			{permitted, "C=CH, O=lab, CN=a", true},
			{permitted, "C=CH, O=LAB, CN=a", true},
			{permitted, "C=CH, O=other, CN=a", false},
			{permitted, "C=CH", false},
			{excluded, "C=CH, O=lab, CN=a", false},
			{excluded, "C=ch, O=LAB, CN=a", false},
			{excluded, "C=CH, O=other, CN=a", true},
		} {
			leaf := v.ca.Issue(t, testpki.Spec{RawSubject: []byte(name(v.who))})
			_, err := verify(t, trusting(root), v.who, leaf.DER()...)
			require.Equal(t, v.good, err == nil, "critical %v, %s: %v", critical, v.who, err)
			if !v.good {
				refused(t, err, ErrNoPath, "outside the name constraints of C=CH, O=lab, CN=sub")
			}
			anonymous := v.ca.Issue(t, testpki.Spec{DNS: []string{"gw.lab"}})
			_, err = verify(t, trusting(root), "gw.lab", anonymous.DER()...)
			require.NoError(t, err, "no subject, no constraint on it")
		}
	}
	// A kind of name that nobody here compares.
	other := asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 8, Bytes: []byte{42}}
	odd := root.Issue(t, testpki.Spec{Subject: "odd", CA: true, Extensions: []pkix.Extension{constraint(true, 1, directory("C=XX"), other)}})
	_, err := verify(t, trusting(root), "gw.lab", odd.Leaf(t, "gw.lab").DER()...)
	refused(t, err, ErrMalformed, "critical extension 2.5.29.30")
}
