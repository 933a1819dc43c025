package trust

import (
	"testing"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/testpki"
	"github.com/stretchr/testify/require"
)

func TestCertificateRequests(t *testing.T) {
	a, b := testpki.NewCA(t, "a"), testpki.NewCA(t, "b")
	hashes := CAHashes(trusting(a, b, a))
	require.Equal(t, [][20]byte{KeyHash(a.Certificate), KeyHash(b.Certificate)}, hashes)
	require.Nil(t, CAHashes(nil))
	cred := func(c *testpki.Cert) *ike.Credential {
		return &ike.Credential{Certificates: append(c.Chain(), c.Root()), Signer: c.Key}
	}
	ofA, ofB := cred(a.Leaf(t, "a.lab")), cred(b.Leaf(t, "b.lab"))
	creds := []*ike.Credential{nil, {PSK: ike.Secret("k")}, ofA, ofB}
	require.Same(t, ofA, Choose(creds, hashes[:1]))
	require.Same(t, ofB, Choose(creds, hashes[1:]))
	require.Same(t, ofA, Choose(creds, nil), "no CERTREQ")
	require.Same(t, ofA, Choose(creds, [][20]byte{{1}}), "an unknown authority")
	require.Nil(t, Choose(creds[:2], hashes))
	// Without the root in the chain, its key identifier serves.
	leafOnly := &ike.Credential{Certificates: b.Leaf(t, "b.lab").Chain(), Signer: ofB.Signer}
	require.Same(t, leafOnly, Choose([]*ike.Credential{ofA, leafOnly}, hashes[1:]))
}
