package ike_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"crypto/x509/pkix"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/testpki"
	"github.com/stretchr/testify/require"
)

func id(t testing.TB, s string) ike.Identity {
	t.Helper()
	id, err := ike.ParseIdentity(s)
	require.NoError(t, err)
	return id
}

func pattern(t testing.TB, s string) ike.IdentityPattern {
	t.Helper()
	p, err := ike.ParseIdentityPattern(s)
	require.NoError(t, err)
	return p
}

// A peer with an identity for which there is no key: an error that names both
// sides, the same one at every retransmission, and no key of somebody else.
func TestB17_NoSharedKey(t *testing.T) {
	find := ike.SharedKeys(
		ike.SharedKey{Local: pattern(t, "gw.lab"), Remote: pattern(t, "a.lab"), Key: ike.Secret("key of a")},
		ike.SharedKey{Remote: pattern(t, "*.site.lab"), Key: ike.Secret("key of the site")},
		ike.SharedKey{Remote: pattern(t, "b.site.lab"), Key: ike.Secret("key of b")},
		ike.SharedKey{Remote: pattern(t, "empty.lab")},
	)
	ctx := context.Background()
	for range 3 {
		for _, remote := range []string{"x.lab", "keyid:a.lab", "a@lab", "10.0.0.1", "%null", "CN=a"} {
			c, err := find(ctx, id(t, "gw.lab"), id(t, remote))
			require.Nil(t, c)
			require.ErrorIs(t, err, ike.ErrNoCredential)
			var e *ike.NoCredentialError
			require.ErrorAs(t, err, &e)
			require.Equal(t, fmt.Sprintf("no credential for gw.lab with %s", remote), err.Error())
		}
		_, err := find(ctx, ike.Identity{}, ike.Identity{})
		require.ErrorIs(t, err, ike.ErrNoCredential)
		_, err = find(ctx, id(t, "other.lab"), id(t, "a.lab"))
		require.ErrorIs(t, err, ike.ErrNoCredential, "the key is for another of our identities")
		_, err = find(ctx, id(t, "gw.lab"), id(t, "empty.lab"))
		require.ErrorContains(t, err, "must not be empty")
		for remote, key := range map[string]string{"a.lab": "key of a", "A.LAB": "key of a", "c.site.lab": "key of the site", "b.site.lab": "key of b"} {
			c, err := find(ctx, id(t, "gw.lab"), id(t, remote))
			require.NoError(t, err)
			require.Equal(t, key, string(c.PSK), remote)
			require.NotContains(t, fmt.Sprintf("%v %+v %#v", c, *c, *c), "key of")
		}
	}
	_, err := (*ike.Credential)(nil).Source()(ctx, id(t, "gw.lab"), id(t, "a.lab"))
	require.ErrorIs(t, err, ike.ErrNoCredential)
	require.ErrorIs(t, (*ike.Credential)(nil).Validate(), ike.ErrNoCredential)
}

type opaqueKey struct{ crypto.Signer }

func (opaqueKey) Public() crypto.PublicKey { return []byte("what") }

func TestCredentialValidate(t *testing.T) {
	ca := testpki.NewCA(t, "ca")
	gw, other := ca.Leaf(t, "gw.lab"), ca.Leaf(t, "other.lab")
	require.NoError(t, (&ike.Credential{PSK: ike.Secret("k")}).Validate())
	require.NoError(t, (&ike.Credential{Signer: gw.Key}).Validate())
	require.NoError(t, (&ike.Credential{Signer: gw.Key, Certificates: gw.Chain()}).Validate())
	for says, c := range map[string]ike.Credential{
		"neither":                             {},
		"without its private key":             {Certificates: gw.Chain()},
		`"CN=other.lab,O=lab,C=CH"; the leaf`: {Signer: gw.Key, Certificates: other.Chain()},
		"leaf certificate comes first":        {Signer: gw.Key, Certificates: []*x509.Certificate{ca.Certificate, gw.Certificate}},
		"certificate 0 is nil":                {Signer: gw.Key, Certificates: []*x509.Certificate{nil}},
		"cannot sign in IKE":                  {Signer: opaqueKey{gw.Key}},
	} {
		require.ErrorContains(t, c.Validate(), says)
	}
}

func TestCertificateIdentities(t *testing.T) {
	ca := testpki.NewCA(t, "ca")
	c := ca.Issue(t, testpki.Spec{Subject: "gw", DNS: []string{"gw.lab", "*.lab"}, IPs: []string{"10.0.0.1", "2001:db8::1"}, Emails: []string{"a@lab"}})
	cred := ike.Credential{Signer: c.Key, Certificates: c.Chain()}
	require.Equal(t, "[gw.lab 10.0.0.1 2001:db8::1 a@lab C=CH, O=lab, CN=gw]", fmt.Sprint(cred.Identities()))
	require.Equal(t, string(c.RawSubject), cred.Identities()[4].Data, "RFC 4945 3.1.5: the very octets of the subject")
	require.Empty(t, ike.CertificateIdentities(nil))
	require.Empty(t, ike.CertificateIdentities(ca.Issue(t, testpki.Spec{}).Certificate))
}

func write(t *testing.T, name string, data []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(file, data, 0o600))
	return file
}

func block(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func TestLoadCredential(t *testing.T) {
	ca := testpki.NewCA(t, "ca")
	sub := ca.Issue(t, testpki.Spec{Subject: "sub", CA: true})
	ec := sub.Leaf(t, "gw.lab")
	rs := sub.Issue(t, testpki.Spec{Subject: "rsa", Key: testpki.RSA2048})
	ed := sub.Issue(t, testpki.Spec{Subject: "ed", Key: testpki.Ed25519})
	sec1, err := x509.MarshalECPrivateKey(ec.Key.(*ecdsa.PrivateKey))
	require.NoError(t, err)
	pkcs1 := x509.MarshalPKCS1PrivateKey(rs.Key.(*rsa.PrivateKey))
	pkcs8, err := x509.MarshalPKCS8PrivateKey(ec.Key)
	require.NoError(t, err)
	params := block("EC PARAMETERS", []byte{6, 1, 0})
	for name, v := range map[string]struct {
		of        *testpki.Cert
		cert, key []byte
		chain     int
	}{
		"PKCS#8":                {ec, ec.PEM(), ec.KeyPEM(t), 2},
		"PKCS#8 Ed25519":        {ed, ed.PEM(), ed.KeyPEM(t), 2},
		"SEC 1 with parameters": {ec, ec.PEM(), append(params, block("EC PRIVATE KEY", sec1)...), 2},
		"PKCS#1":                {rs, rs.PEM(), block("RSA PRIVATE KEY", pkcs1), 2},
		"DER, PKCS#8":           {ec, ec.Raw, pkcs8, 1},
		"DER, PKCS#1":           {rs, rs.Raw, pkcs1, 1},
		"DER, SEC 1":            {ec, ec.Raw, sec1, 1},
		"text around":           {ec, append([]byte("Certificate:\n  Data\n"), ec.PEM()...), append([]byte("Bag Attributes\n"), ec.KeyPEM(t)...), 2},
	} {
		c, err := ike.LoadCredential(write(t, "cert", v.cert), write(t, "key", v.key))
		require.NoError(t, err, name)
		require.Len(t, c.Certificates, v.chain)
		require.True(t, c.Leaf().Equal(v.of.Certificate))
	}
	both := write(t, "both.pem", append(ec.KeyPEM(t), ec.PEM()...))
	c, err := ike.LoadCredential(both, "")
	require.NoError(t, err)
	require.Len(t, c.Certificates, 2)
	c, err = ike.LoadCredential("", both)
	require.NoError(t, err)
	require.Nil(t, c.Leaf(), "a raw key")

	cert := write(t, "cert.pem", ec.PEM())
	for says, key := range map[string][]byte{
		"not that of the certificate": rs.KeyPEM(t),
		"is encrypted":                block("ENCRYPTED PRIVATE KEY", []byte{0x30, 0}),
		"key is encrypted; decrypt":   pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-256-CBC,00"}, Bytes: []byte{1}}),
		"OpenSSH":                     block("OPENSSH PRIVATE KEY", []byte{1}),
		"private key: asn1":           block("PRIVATE KEY", []byte{0x30, 3, 1}),
		"more than one private key":   append(ec.KeyPEM(t), rs.KeyPEM(t)...),
		"no private key in the file":  ec.PEM(),
		"neither PEM nor DER":         []byte("hello"),
		"the file is empty":           []byte("\n"),
		"is damaged":                  []byte("-----BEGIN PRIVATE KEY-----\n!!!\n-----END PRIVATE KEY-----\n"),
		"no private key in PKCS#8":    {0x30, 3, 2, 1, 1},
	} {
		file := write(t, "key.pem", key)
		_, err := ike.LoadCredential(cert, file)
		require.ErrorContains(t, err, says)
		require.ErrorContains(t, err, file)
	}
	_, err = ike.LoadCredential(cert, "/nonexistent/key.pem")
	require.ErrorIs(t, err, os.ErrNotExist)
	require.ErrorContains(t, err, "/nonexistent/key.pem")
	_, err = ike.LoadCredential("/nonexistent/cert.pem", both)
	require.ErrorContains(t, err, "/nonexistent/cert.pem")
	keyOnly := write(t, "key.pem", ec.KeyPEM(t))
	_, err = ike.LoadCredential(keyOnly, keyOnly)
	require.ErrorContains(t, err, "no certificate in the file")
}

func TestLoadTrust(t *testing.T) {
	a, b := testpki.NewCA(t, "a"), testpki.NewCA(t, "b")
	leaf := a.Leaf(t, "gw.lab")
	a.Revoke(leaf, 1)
	crl := a.CRL(t)
	dir := t.TempDir()
	put := func(name string, data []byte) string {
		file := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(file, data, 0o600))
		return file
	}
	put("a.pem", append([]byte("the CA\n"), a.PEM()...))
	put("B.CRT", b.Raw)
	put("a.crl", crl.Raw)
	put("README", []byte("not a certificate"))
	put(".hidden.pem", []byte("not a certificate"))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "sub.pem"), 0o700))
	tr, err := ike.LoadTrust(dir)
	require.NoError(t, err)
	require.NoError(t, tr.Validate())
	require.Len(t, tr.Roots, 2)
	require.Len(t, tr.CRLs, 1)
	require.Len(t, tr.CRLs[0].RevokedCertificateEntries, 1)

	bundle := write(t, "bundle", append(append(a.PEM(), block("X509 CRL", crl.Raw)...), b.PEM()...))
	tr, err = ike.LoadTrust(bundle, filepath.Join(dir, "a.pem"))
	require.NoError(t, err)
	require.Len(t, tr.Roots, 2, "the same root twice counts once")

	idp := a.CRLAt(t, testpki.Now, testpki.Now.Add(time.Hour), pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 28}, Critical: true, Value: []byte{0x30, 3, 0x81, 1, 0xff}})
	for says, data := range map[string][]byte{
		"is not the certificate of a certification authority": leaf.PEM()[:len(block("CERTIFICATE", leaf.Raw))],
		"neither a certificate nor a revocation list":         leaf.KeyPEM(t),
		"indirect, partial and delta":                         block("X509 CRL", idp.Raw),
		"block 2 (CERTIFICATE)":                               append(a.PEM(), block("CERTIFICATE", []byte{0x30, 0})...),
		"neither PEM nor DER":                                 []byte("junk"),
		"malformed":                                           {0x30, 0x03, 1, 2, 3},
	} {
		bad := put("bad.pem", data)
		_, err := ike.LoadTrust(dir)
		require.ErrorContains(t, err, says)
		require.ErrorContains(t, err, bad)
		require.NoError(t, os.Remove(bad))
	}
	_, err = ike.LoadTrust(filepath.Join(dir, "a.crl"))
	require.ErrorContains(t, err, "no certificate of an authority in")
	_, err = ike.LoadTrust()
	require.Error(t, err)
	_, err = ike.LoadTrust(filepath.Join(dir, "none.pem"))
	require.ErrorIs(t, err, os.ErrNotExist)

	key, err := ike.LoadPublicKey(filepath.Join(dir, "a.pem"))
	require.NoError(t, err)
	require.True(t, key.(*ecdsa.PublicKey).Equal(a.PublicKey))
	spki, err := x509.MarshalPKIXPublicKey(a.PublicKey)
	require.NoError(t, err)
	for _, data := range [][]byte{spki, block("PUBLIC KEY", spki)} {
		key, err = ike.LoadPublicKey(write(t, "key", data))
		require.NoError(t, err)
		require.True(t, key.(*ecdsa.PublicKey).Equal(a.PublicKey))
	}
	_, err = ike.LoadPublicKey(write(t, "key", a.KeyPEM(t)))
	require.ErrorContains(t, err, "no public key")
}

func TestTrustValidate(t *testing.T) {
	ca := testpki.NewCA(t, "ca")
	leaf := ca.Leaf(t, "gw.lab")
	roots := []*x509.Certificate{ca.Certificate}
	require.NoError(t, (&ike.Trust{Roots: roots}).Validate())
	require.NoError(t, (&ike.Trust{Pinned: leaf.Chain()}).Validate())
	require.NoError(t, (&ike.Trust{RawKeys: []ike.RawKey{{Key: leaf.PublicKey}}}).Validate())
	for says, tr := range map[string]*ike.Trust{
		"nobody could be accepted":   {},
		"Roots[0] is nil":            {Roots: []*x509.Certificate{nil}},
		"goes to Pinned":             {Roots: leaf.Chain()},
		"Intermediates[0], \"CN=gw.": {Roots: roots, Intermediates: leaf.Chain()},
		"RawKeys[0]":                 {RawKeys: []ike.RawKey{{}}},
		"CRLs[0] is nil":             {Roots: roots, CRLs: []*x509.RevocationList{nil}},
		"Revocation is 9":            {Roots: roots, Revocation: 9},
		"EKU is 9":                   {Roots: roots, EKU: 9},
		"MaxChain is 99":             {Roots: roots, MaxChain: 99},
		"MinRSABits is 512":          {Roots: roots, MinRSABits: 512},
		"Hashes[0] is SHA-1":         {Roots: roots, Hashes: []crypto.Hash{crypto.SHA1}},
	} {
		require.ErrorContains(t, tr.Validate(), says)
	}
	require.Error(t, (*ike.Trust)(nil).Validate())
}
