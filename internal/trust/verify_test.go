package trust

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"testing"
	"time"

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

func trusting(roots ...*testpki.Cert) *ike.Trust {
	t := &ike.Trust{}
	for _, r := range roots {
		t.Roots = append(t.Roots, r.Certificate)
	}
	return t
}

func verify(t testing.TB, tr *ike.Trust, who string, certs ...[]byte) (Verified, error) {
	t.Helper()
	return Verify(testpki.Now, tr, id(t, who), certs, nil)
}

// refused checks the kind of an error, that it says something, and that it is
// one line.
func refused(t testing.TB, err error, kind error, says string) {
	t.Helper()
	require.ErrorIs(t, err, kind)
	var ce *CertificateError
	require.ErrorAs(t, err, &ce)
	require.ErrorContains(t, err, says)
	require.NotContains(t, err.Error(), "\n")
	require.Less(t, len(err.Error()), 2000)
}

func TestVerify(t *testing.T) {
	root := testpki.NewCA(t, "root")
	sub := root.Issue(t, testpki.Spec{Subject: "sub", CA: true})
	gw := sub.Leaf(t, "gw.lab")

	v, err := verify(t, trusting(root), "gw.lab", gw.DER()...)
	require.NoError(t, err)
	require.True(t, v.Leaf.Equal(gw.Certificate))
	require.Len(t, v.Chain, 3)
	require.True(t, gw.PublicKey.(*ecdsa.PublicKey).Equal(v.PublicKey))
	require.Empty(t, v.Warnings)

	// Order after the first, duplicates, strangers, junk and the root do not matter.
	stranger := testpki.NewCA(t, "stranger")
	_, err = verify(t, trusting(stranger, root), "gw.lab", gw.Raw, stranger.Raw, []byte("junk"), root.Raw, sub.Raw, sub.Raw)
	require.NoError(t, err)
	// The first is the peer's own, whatever else is there.
	_, err = verify(t, trusting(root), "gw.lab", sub.Raw, gw.Raw)
	refused(t, err, ErrUsage, "digitalSignature")

	// A configured intermediate, and an intermediate as the anchor.
	tr := trusting(root)
	_, err = verify(t, tr, "gw.lab", gw.Raw)
	refused(t, err, ErrNoPath, "its issuer, C=CH, O=lab, CN=sub, is neither a root nor among the intermediates")
	tr.Intermediates = append(tr.Intermediates, sub.Certificate)
	_, err = verify(t, tr, "gw.lab", gw.Raw)
	require.NoError(t, err)
	v, err = verify(t, trusting(sub), "gw.lab", gw.Raw)
	require.NoError(t, err)
	require.Len(t, v.Chain, 2)

	_, err = verify(t, trusting(stranger), "gw.lab", gw.DER()...)
	refused(t, err, ErrNoPath, "certificate 1 (C=CH, O=lab, CN=sub): its issuer, C=CH, O=lab, CN=root, is neither")
	// A root of the same name that did not sign.
	_, err = verify(t, trusting(testpki.NewCA(t, "root")), "gw.lab", gw.DER()...)
	refused(t, err, ErrNoPath, "a root is named C=CH, O=lab, CN=root, but does not vouch for it")
	_, err = verify(t, &ike.Trust{}, "gw.lab", gw.DER()...)
	refused(t, err, ErrNoPath, "no root is configured")
	_, err = verify(t, nil, "gw.lab", gw.DER()...)
	refused(t, err, ErrNoPath, "no trust is configured")
	_, err = verify(t, trusting(root), "gw.lab")
	refused(t, err, ErrUnknownKey, "gw.lab sent no certificate")
}

func TestVerifyTimes(t *testing.T) {
	root := testpki.NewCA(t, "root")
	hour := time.Hour
	leaf := func(from, to time.Duration) *testpki.Cert {
		return root.Issue(t, testpki.Spec{Subject: "gw", DNS: []string{"gw.lab"}, NotBefore: testpki.Now.Add(from), NotAfter: testpki.Now.Add(to)})
	}
	for _, v := range []struct {
		from, to time.Duration
		good     bool
	}{{-hour, hour, true}, {0, hour, true}, {-hour, 0, true}, {time.Second, hour, false}, {-hour, -time.Second, false}} {
		c := leaf(v.from, v.to)
		_, err := verify(t, trusting(root), "gw.lab", c.Raw)
		pinned := &ike.Trust{Pinned: c.Chain()}
		_, perr := verify(t, pinned, "gw.lab", c.Raw)
		if v.good {
			require.NoError(t, err)
			require.NoError(t, perr)
			continue
		}
		refused(t, err, ErrNotInterval, "certificate 0 (C=CH, O=lab, CN=gw): valid from")
		refused(t, perr, ErrNotInterval, "valid from")
	}
	old := testpki.NewRoot(t, testpki.Spec{Subject: "old", CA: true, NotAfter: testpki.Now.Add(-hour)})
	_, err := verify(t, trusting(old), "gw.lab", old.Leaf(t, "gw.lab").Raw)
	refused(t, err, ErrNotInterval, "CN=old")
}

func TestPinnedAndRawKeys(t *testing.T) {
	root := testpki.NewCA(t, "root")
	gw, other := root.Leaf(t, "gw.lab"), root.Leaf(t, "other.lab")
	self := testpki.NewRoot(t, testpki.Spec{Subject: "self", DNS: []string{"self.lab"}, KeyNumber: -1})
	spki := func(c *testpki.Cert) []byte { return c.RawSubjectPublicKeyInfo }
	pattern, err := ike.ParseIdentityPattern("raw.lab")
	require.NoError(t, err)
	raw := testpki.NewCA(t, "raw")
	tr := &ike.Trust{
		Pinned:  []*x509.Certificate{gw.Certificate, self.Certificate},
		RawKeys: []ike.RawKey{{ID: pattern, Key: raw.PublicKey}},
	}
	with := func(who string, certs [][]byte, key []byte) (Verified, error) {
		return Verify(testpki.Now, tr, id(t, who), certs, key)
	}
	same := func(v Verified, c *testpki.Cert) {
		t.Helper()
		require.True(t, c.PublicKey.(*ecdsa.PublicKey).Equal(v.PublicKey))
	}
	v, err := with("gw.lab", [][]byte{gw.Raw}, nil)
	require.NoError(t, err)
	same(v, gw)
	require.Len(t, v.Chain, 1)
	_, err = with("self.lab", [][]byte{self.Raw}, nil)
	require.NoError(t, err)
	_, err = with("self.lab", [][]byte{gw.Raw}, nil)
	refused(t, err, ErrIdentity, "claimed is self.lab")
	_, err = with("other.lab", [][]byte{other.Raw}, nil)
	refused(t, err, ErrNoPath, "not a pinned one")
	// Another certificate with the pinned one's names and key is another one.
	twin := root.Issue(t, testpki.Spec{Subject: "gw.lab", DNS: []string{"gw.lab"}, Signer: gw.Key})
	_, err = with("gw.lab", [][]byte{twin.Raw}, nil)
	refused(t, err, ErrNoPath, "")

	// RFC 7670: the key itself, in a CERT payload.
	v, err = with("raw.lab", nil, spki(raw))
	require.NoError(t, err)
	same(v, raw)
	require.Nil(t, v.Leaf)
	_, err = with("else.lab", nil, spki(raw))
	refused(t, err, ErrUnknownKey, "raw public key of else.lab is configured for another identity")
	_, err = with("raw.lab", nil, spki(other))
	refused(t, err, ErrUnknownKey, "raw public key of raw.lab")
	v, err = with("gw.lab", nil, spki(gw))
	require.NoError(t, err, "the key of a pinned certificate")
	require.NotNil(t, v.Leaf)
	_, err = with("raw.lab", nil, spki(gw))
	refused(t, err, ErrIdentity, "")
	for _, junk := range [][]byte{{}, []byte("key"), make([]byte, 100_000), gw.Raw} {
		_, err = with("raw.lab", nil, junk)
		refused(t, err, ErrKey, "raw public key")
	}

	// Nothing sent.
	v, err = with("self.lab", nil, nil)
	require.NoError(t, err)
	same(v, self)
	require.Len(t, v.PublicKeys, 1)
	v, err = with("raw.lab", nil, nil)
	require.NoError(t, err)
	same(v, raw)
	_, err = with("nobody.lab", nil, nil)
	refused(t, err, ErrUnknownKey, "nobody.lab sent no certificate")
	tr.RawKeys = append(tr.RawKeys, ike.RawKey{ID: pattern, Key: other.PublicKey}, ike.RawKey{ID: pattern, Key: raw.PublicKey})
	v, err = with("raw.lab", nil, nil)
	require.NoError(t, err)
	require.Len(t, v.PublicKeys, 2, "a key in rotation; each counts once")
}

// A peer that is known by its key sends a certificate with it all the same, of
// an authority that is not known here: racoon2's iked does so when it is asked
// for one, and sends none when it is not.
func TestCertificateOfARawKey(t *testing.T) {
	gw := testpki.NewCA(t, "theirs").Leaf(t, "gw.lab")
	pattern, err := ike.ParseIdentityPattern("raw.lab")
	require.NoError(t, err)
	for _, tr := range []*ike.Trust{{}, trusting(testpki.NewCA(t, "ours"))} {
		tr.RawKeys = []ike.RawKey{{ID: pattern, Key: gw.PublicKey}}
		v, err := Verify(testpki.Now, tr, id(t, "raw.lab"), [][]byte{gw.Raw}, nil)
		require.NoError(t, err)
		require.True(t, gw.PublicKey.(*ecdsa.PublicKey).Equal(v.PublicKey))
		require.Nil(t, v.Leaf, "what the certificate says counts for nothing")
		require.Empty(t, v.Chain)
		_, err = Verify(testpki.Now, tr, id(t, "gw.lab"), [][]byte{gw.Raw}, nil)
		refused(t, err, ErrNoPath, "")
		_, err = Verify(testpki.Now, tr, id(t, "raw.lab"), [][]byte{testpki.NewCA(t, "else").Leaf(t, "raw.lab").Raw}, nil)
		refused(t, err, ErrNoPath, "")
	}
}

func FuzzVerifyCerts(f *testing.F) {
	root := testpki.NewCA(f, "root")
	sub := root.Issue(f, testpki.Spec{Subject: "sub", CA: true, PermittedDNS: []string{"lab"}})
	gw := sub.Leaf(f, "gw.lab")
	f.Add(gw.Raw, sub.Raw, "gw.lab")
	f.Add(gw.Raw, []byte{0x30, 0x80}, "gw.lab")
	f.Add(root.Raw, root.Raw, "C=CH, O=lab, CN=root")
	f.Add(gw.RawSubjectPublicKeyInfo, []byte{}, "10.0.0.1")
	tr := trusting(root)
	tr.MatchCN, tr.WildcardSANs, tr.AddressInDNS = true, true, true
	tr.Intermediates = []*x509.Certificate{sub.Certificate}
	tr.CRLs = []*x509.RevocationList{root.CRL(f), sub.CRL(f)}
	tr.RawKeys = []ike.RawKey{{Key: gw.PublicKey}}
	f.Fuzz(func(t *testing.T, a, b []byte, who string) {
		i, err := ike.ParseIdentity(who)
		if err != nil {
			i = ike.Identity{Type: ike.IDFQDN, Data: who}
		}
		v, err := Verify(testpki.Now, tr, i, [][]byte{a, b}, nil)
		if err == nil {
			// The fuzzer cannot sign.
			require.True(t, v.Leaf == nil && gw.PublicKey.(*ecdsa.PublicKey).Equal(v.PublicKey) || v.Leaf.Equal(gw.Certificate) || v.Leaf.Equal(sub.Certificate) || v.Leaf.Equal(root.Certificate))
		} else {
			require.NotContains(t, err.Error(), "\n")
		}
		if _, err := Verify(testpki.Now, tr, i, nil, a); err == nil {
			require.Equal(t, gw.RawSubjectPublicKeyInfo, a)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	root := testpki.NewCA(b, "root")
	gw := root.Issue(b, testpki.Spec{Subject: "sub", CA: true}).Leaf(b, "gw.lab")
	tr, who, der := trusting(root), id(b, "gw.lab"), gw.DER()
	sum := make([]byte, 32)
	sig, err := gw.Key.Sign(rand.Reader, sum, crypto.SHA256)
	require.NoError(b, err)
	b.Run("chain of 3, P-256", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := Verify(testpki.Now, tr, who, der, nil); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("raw: two P-256 verifications", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			for range 2 {
				ecdsa.VerifyASN1(gw.PublicKey.(*ecdsa.PublicKey), sum, sig)
			}
		}
	})
}
