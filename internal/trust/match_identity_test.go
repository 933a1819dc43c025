package trust

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"testing"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/testpki"
	"github.com/stretchr/testify/require"
)

func TestB07_IdentityInCertificate(t *testing.T) {
	root := testpki.NewCA(t, "root")
	gw := root.Issue(t, testpki.Spec{Subject: "cn.lab", DNS: []string{"gw.lab", "Mixed.Lab", "*.wild.lab", "192.0.2.7"},
		Emails: []string{"Alice@Lab.Org"}, IPs: []string{"192.0.2.1", "2001:db8::1"}})
	tr := trusting(root)
	for who, want := range map[string]bool{
		"gw.lab":                  true,
		"GW.LAB":                  true,
		"mixed.lab":               true,
		"gw.lab.":                 true,
		"agw.lab":                 false,
		"gw.lab.org":              false,
		"cn.lab":                  false, // the common name is no host name
		"a.wild.lab":              false,
		"fqdn:*.wild.lab":         false, // a pattern is nobody's name
		"fqdn:*.lab":              false,
		"fqdn:192.0.2.1":          false,
		"Alice@lab.org":           true,
		"alice@lab.org":           false, // RFC 5280 7.5: the local part is exact
		"bob@lab.org":             false,
		"fqdn:Alice@Lab.Org":      false,
		"192.0.2.1":               true,
		"192.0.2.2":               false,
		"192.0.2.7":               false, // only as text in a DNS name
		"2001:db8::1":             true,
		"2001:db8::2":             false,
		"C=CH, O=lab, CN=cn.lab":  true,
		"C=ch, O=LAB, CN=CN.lab":  true,
		"CN=cn.lab, O=lab, C=CH":  false,
		"CN=cn.lab":               false,
		"C=CH, O=lab, CN=cn.labs": false,
		"C=CH, O=lab":             false,
		"keyid:gw.lab":            false,
		"%null":                   false,
		"192.0.2.0/24":            false,
		"gn:0x820667772e6c6162":   false,
	} {
		v, err := verify(t, tr, who, gw.Raw)
		if want {
			require.NoError(t, err, who)
			require.NotNil(t, v.PublicKey)
			continue
		}
		refused(t, err, ErrIdentity, "certificate 0 (C=CH, O=lab, CN=cn.lab): ")
		require.Nil(t, v.PublicKey, "nothing to verify with")
		_, err = verify(t, &ike.Trust{Pinned: gw.Chain()}, who, gw.Raw)
		refused(t, err, ErrIdentity, "")
	}
	_, err := verify(t, tr, "other.lab", gw.Raw)
	require.ErrorContains(t, err, "claimed is other.lab, the certificate has gw.lab, Mixed.Lab, fqdn:*.wild.lab, fqdn:192.0.2.7, 192.0.2.1, 2001:db8::1, Alice@Lab.Org, C=CH, O=lab, CN=cn.lab")

	// The identity itself is no text to be cut or matched.
	for _, bad := range []ike.Identity{{}, {Type: ike.IDFQDN}, {Type: ike.IDDERASN1DN}, {Type: ike.IDFQDN, Data: "gw.lab\x00.evil"}, {Type: ike.IDFQDN, Data: "gw.lab\x00"},
		{Type: ike.IDIPv4Addr, Data: "\xc0\x00\x02"}, {Type: 99, Data: "gw.lab"}} {
		_, err := Verify(testpki.Now, tr, bad, [][]byte{gw.Raw}, nil)
		require.ErrorIs(t, err, ike.ErrIdentity)
	}

	t.Run("settings", func(t *testing.T) {
		check := func(set func(*ike.Trust), who string, cert *testpki.Cert, want bool) {
			t.Helper()
			tr := trusting(root)
			set(tr)
			_, err := verify(t, tr, who, cert.Raw)
			require.Equal(t, want, err == nil, "%s: %v", who, err)
		}
		wild := func(tr *ike.Trust) { tr.WildcardSANs = true }
		check(wild, "a.wild.lab", gw, true)
		check(wild, "A.WILD.lab", gw, true)
		check(wild, "a.b.wild.lab", gw, false)
		check(wild, "wild.lab", gw, false)
		check(wild, "fqdn:.wild.lab", gw, false)
		check(wild, "fqdn:*.wild.lab", gw, false)
		top := root.Issue(t, testpki.Spec{Subject: "top", DNS: []string{"*.lab", "*"}})
		check(wild, "gw.lab", top, false) // a whole top level domain
		inDNS := func(tr *ike.Trust) { tr.AddressInDNS = true }
		check(inDNS, "192.0.2.7", gw, true)
		check(inDNS, "192.0.2.8", gw, false)
		cn := func(tr *ike.Trust) { tr.MatchCN = true }
		check(cn, "cn.lab", gw, false) // there are host names in the SAN
		bare := root.Issue(t, testpki.Spec{Subject: "Host.lab"})
		check(cn, "host.lab", bare, true)
		check(cn, "hosts.lab", bare, false)
		check(func(*ike.Trust) {}, "host.lab", bare, false)
		check(cn, "192.0.2.9", root.Issue(t, testpki.Spec{Subject: "192.0.2.9"}), true)
		check(cn, "a@lab", root.Issue(t, testpki.Spec{Subject: "a@lab"}), true)
		keyID := func(tr *ike.Trust) { tr.AnyIdentity = []ike.IDType{ike.IDKeyID} }
		check(keyID, "keyid:whatever", gw, true)
		check(keyID, "other.lab", gw, false)
	})

	t.Run("NUL in a name", func(t *testing.T) {
		raw := sanExtension(t, []byte("gw.lab\x00.evil"))
		evil := root.Issue(t, testpki.Spec{Subject: "evil", Extensions: []pkix.Extension{raw}})
		for _, who := range []string{"gw.lab", "fqdn:.evil"} {
			_, err := verify(t, tr, who, evil.Raw)
			require.Error(t, err)
			require.NotContains(t, err.Error(), "\x00")
		}
		cn := root.Issue(t, testpki.Spec{RawSubject: []byte("\x30\x11\x31\x0f\x30\x0d\x06\x03\x55\x04\x03\x0c\x06gw\x00bad")})
		lax := trusting(root)
		lax.MatchCN = true
		_, err := verify(t, lax, "gw", cn.Raw)
		require.Error(t, err)
		require.NotContains(t, err.Error(), "\x00")
	})

	t.Run("a certificate proves its own identity only", func(t *testing.T) {
		// IDi and IDr swapped: the peer shows its certificate with our name.
		us := root.Leaf(t, "us.lab")
		_, err := verify(t, tr, "us.lab", gw.Raw)
		refused(t, err, ErrIdentity, "claimed is us.lab")
		_, err = verify(t, tr, "gw.lab", us.Raw)
		refused(t, err, ErrIdentity, "claimed is gw.lab")
		// And a certificate behind the first proves nothing.
		_, err = verify(t, tr, "gw.lab", us.Raw, gw.Raw)
		refused(t, err, ErrIdentity, "")
	})
}

func sanExtension(t *testing.T, dns []byte) pkix.Extension {
	t.Helper()
	der, err := asn1.Marshal([]asn1.RawValue{{Class: asn1.ClassContextSpecific, Tag: 2, Bytes: dns}})
	require.NoError(t, err)
	return pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: der}
}

// What comes from a certificate is fit for a log.
func TestErrorsArePrintable(t *testing.T) {
	root := testpki.NewCA(t, "root")
	evil := root.Issue(t, testpki.Spec{Subject: "x\nFAKE: root logged in\x1b[2J", DNS: []string{"a\x07.lab"}})
	_, err := verify(t, trusting(root), "gw.lab", evil.Raw)
	refused(t, err, ErrIdentity, `CN=x\0AFAKE: root logged in\1B[2J`)
	require.NotContains(t, err.Error(), "\x1b")
	require.NotContains(t, err.Error(), "\x07")
}
