package trust

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"testing"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/testpki"
	"github.com/stretchr/testify/require"
)

func TestRevocation(t *testing.T) {
	root := testpki.NewCA(t, "root")
	sub := root.Issue(t, testpki.Spec{Subject: "sub", CA: true})
	gw, bad := sub.Leaf(t, "gw.lab"), sub.Leaf(t, "bad.lab")
	sub.Revoke(bad, 1)
	lists := func(p ike.RevocationPolicy, l ...*x509.RevocationList) *ike.Trust {
		tr := trusting(root)
		tr.Revocation, tr.CRLs = p, l
		return tr
	}
	rootCRL, subCRL := root.CRL(t), sub.CRL(t)
	for _, p := range []ike.RevocationPolicy{ike.RevocationIfPresent, ike.RevocationStrict} {
		v, err := verify(t, lists(p, rootCRL, subCRL), "gw.lab", gw.DER()...)
		require.NoError(t, err)
		require.Empty(t, v.Warnings)
		_, err = verify(t, lists(p, rootCRL, subCRL), "bad.lab", bad.DER()...)
		refused(t, err, ErrRevoked, "certificate 0 (C=CH, O=lab, CN=bad.lab): since 2026-01-02T02:04:05Z, reason keyCompromise")
	}
	_, err := verify(t, lists(ike.RevocationOff, rootCRL, subCRL), "bad.lab", bad.DER()...)
	require.NoError(t, err)

	// Missing lists.
	_, err = verify(t, lists(ike.RevocationIfPresent), "gw.lab", gw.DER()...)
	require.NoError(t, err)
	_, err = verify(t, lists(ike.RevocationStrict), "gw.lab", gw.DER()...)
	refused(t, err, ErrRevocation, "there is no revocation list of C=CH, O=lab, CN=sub")
	_, err = verify(t, lists(ike.RevocationStrict, subCRL), "gw.lab", gw.DER()...)
	refused(t, err, ErrRevocation, "certificate 1 (C=CH, O=lab, CN=sub): there is no revocation list of C=CH, O=lab, CN=root")

	// Outdated: what it revokes stays revoked, about others it says nothing.
	old := sub.CRLAt(t, testpki.Now.Add(-48*time.Hour), testpki.Now.Add(-24*time.Hour))
	v, err := verify(t, lists(ike.RevocationIfPresent, old), "gw.lab", gw.DER()...)
	require.NoError(t, err)
	require.Len(t, v.Warnings, 1)
	refused(t, v.Warnings[0], ErrRevocation, "is outdated since 2026-01-01T03:04:05Z")
	_, err = verify(t, lists(ike.RevocationIfPresent, old), "bad.lab", bad.DER()...)
	refused(t, err, ErrRevoked, "")
	_, err = verify(t, lists(ike.RevocationStrict, rootCRL, old), "gw.lab", gw.DER()...)
	refused(t, err, ErrRevocation, "outdated")
	_, err = verify(t, lists(ike.RevocationStrict, rootCRL, old, subCRL), "gw.lab", gw.DER()...)
	require.NoError(t, err, "a current one beside it")
	future := sub.CRLAt(t, testpki.Now.Add(time.Hour), testpki.Now.Add(24*time.Hour))
	_, err = verify(t, lists(ike.RevocationStrict, rootCRL, future), "gw.lab", gw.DER()...)
	refused(t, err, ErrRevocation, "")

	// Lists of others do not count: same name, another key; a damaged signature.
	impostor := testpki.NewCA(t, "sub")
	impostor.Revoke(gw, 1)
	_, err = verify(t, lists(ike.RevocationIfPresent, impostor.CRL(t)), "gw.lab", gw.DER()...)
	require.NoError(t, err)
	forged := *subCRL
	forged.Signature = append([]byte(nil), subCRL.Signature...)
	forged.Signature[10] ^= 1
	_, err = verify(t, lists(ike.RevocationStrict, rootCRL, &forged), "gw.lab", gw.DER()...)
	refused(t, err, ErrRevocation, "")
	_, err = verify(t, lists(ike.RevocationStrict, rootCRL, impostor.CRL(t)), "gw.lab", gw.DER()...)
	refused(t, err, ErrRevocation, "")

	// An intermediate is revoked by its own issuer.
	root.Revoke(sub, 4)
	_, err = verify(t, lists(ike.RevocationIfPresent, root.CRL(t), subCRL), "gw.lab", gw.DER()...)
	refused(t, err, ErrRevoked, "certificate 1 (C=CH, O=lab, CN=sub): since 2026-01-02T02:04:05Z, reason superseded")

	// A partial list cannot say that a certificate is good.
	partial := sub.CRLAt(t, testpki.Now, testpki.Now.Add(time.Hour), pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 28}, Critical: true, Value: []byte{0x30, 3, 0x81, 1, 0xff}})
	_, err = verify(t, lists(ike.RevocationStrict, rootCRL, partial), "gw.lab", gw.DER()...)
	refused(t, err, ErrRevocation, "")
}

// Two paths, one of them through a revoked intermediate: the other counts.
func TestSecondPath(t *testing.T) {
	a, b := testpki.NewCA(t, "a"), testpki.NewCA(t, "b")
	key := testpki.Key(t, testpki.P256, 20)
	viaA := a.Issue(t, testpki.Spec{Subject: "sub", CA: true, Signer: key})
	viaB := b.Issue(t, testpki.Spec{Subject: "sub", CA: true, Signer: key})
	gw := viaA.Leaf(t, "gw.lab")
	a.Revoke(viaA, 1)
	tr := trusting(a, b)
	tr.CRLs = []*x509.RevocationList{a.CRL(t)}
	v, err := verify(t, tr, "gw.lab", gw.Raw, viaA.Raw, viaB.Raw)
	require.NoError(t, err)
	require.True(t, v.Chain[2].Equal(b.Certificate))
	_, err = verify(t, tr, "gw.lab", gw.Raw, viaA.Raw)
	refused(t, err, ErrRevoked, "keyCompromise")
}
