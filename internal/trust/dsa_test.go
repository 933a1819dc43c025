package trust

import (
	"crypto/dsa" //lint:ignore SA1019 IKEv1 has DSS signatures (RFC 2409 5.1)
	"math/big"
	"testing"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/testpki"
	"github.com/stretchr/testify/require"
)

// A DSA key of a leaf, for IKEv1's DSS signatures: with a certificate under an
// RSA root, pinned, and raw.
func TestDSALeaf(t *testing.T) {
	root := testpki.NewRoot(t, testpki.Spec{Subject: "root", CA: true, Key: testpki.RSA2048})
	leaf := root.Issue(t, testpki.Spec{Subject: "gw", DNS: []string{"gw.lab"}, Key: testpki.DSA})
	v, err := verify(t, trusting(root), "gw.lab", leaf.Raw)
	require.NoError(t, err)
	require.True(t, ike.SamePublicKey(leaf.Key.Public(), v.PublicKey))
	_, err = verify(t, trusting(root), "other.lab", leaf.Raw)
	require.Error(t, err)
	other := testpki.NewRoot(t, testpki.Spec{Subject: "root", CA: true, Key: testpki.RSA2048, KeyNumber: 1})
	_, err = verify(t, trusting(other), "gw.lab", leaf.Raw)
	require.Error(t, err)

	v, err = verify(t, &ike.Trust{Pinned: leaf.Chain()}, "gw.lab", leaf.Raw)
	require.NoError(t, err)
	require.IsType(t, &dsa.PublicKey{}, v.PublicKey)

	spki, err := testpki.DSAPublicKeyDER(leaf.PublicKey.(*dsa.PublicKey))
	require.NoError(t, err)
	id, err := ike.ParseIdentity("gw.lab")
	require.NoError(t, err)
	raw := &ike.Trust{RawKeys: []ike.RawKey{{Key: leaf.PublicKey}}}
	v, err = Verify(testpki.Now, raw, id, nil, spki)
	require.NoError(t, err)
	require.IsType(t, &dsa.PublicKey{}, v.PublicKey)
	v, err = Verify(testpki.Now, raw, id, nil, nil)
	require.NoError(t, err)
	require.Len(t, v.PublicKeys, 1)
	stranger, err := testpki.DSAPublicKeyDER(testpki.Key(t, testpki.DSA, 1).Public().(*dsa.PublicKey))
	require.NoError(t, err)
	_, err = Verify(testpki.Now, raw, id, nil, stranger)
	require.Error(t, err)
}

func TestA27_DSAKeys(t *testing.T) {
	good := *testpki.Key(t, testpki.DSA, 0).Public().(*dsa.PublicKey)
	require.NoError(t, CheckPublicKey(&good, 0))
	one := big.NewInt(1)
	for says, change := range map[string]func(k *dsa.PublicKey){
		"without all":             func(k *dsa.PublicKey) { k.Y = nil },
		"p of 1023 bits":          func(k *dsa.PublicKey) { k.P = new(big.Int).Rsh(k.P, 1) },
		"p of 4096 bits":          func(k *dsa.PublicKey) { k.P = new(big.Int).Lsh(k.P, 3072) },
		"p of 1024 bits":          func(k *dsa.PublicKey) { k.P = new(big.Int).Add(k.P, one) },
		"q of 159 bits":           func(k *dsa.PublicKey) { k.Q = new(big.Int).Rsh(k.Q, 1) },
		"q of 320 bits":           func(k *dsa.PublicKey) { k.Q = new(big.Int).Lsh(k.Q, 160) },
		"does not divide":         func(k *dsa.PublicKey) { k.Q = new(big.Int).Sub(k.Q, big.NewInt(2)) },
		"outside of the subgroup": func(k *dsa.PublicKey) { k.Y = one },
	} {
		k := good
		change(&k)
		require.ErrorContains(t, CheckPublicKey(&k, 0), says)
	}
	for _, y := range []*big.Int{new(big.Int), big.NewInt(-5), good.P, new(big.Int).Sub(good.P, one), new(big.Int).Add(good.Y, one)} {
		k := good
		k.Y = y
		require.ErrorContains(t, CheckPublicKey(&k, 0), "outside of the subgroup")
		k.Y, k.G = good.Y, y
		require.ErrorContains(t, CheckPublicKey(&k, 0), "outside of the subgroup")
	}
	require.Error(t, CheckPublicKey((*dsa.PublicKey)(nil), 0))
	require.Error(t, CheckPublicKey(&dsa.PublicKey{}, 0))
	p := good
	p.P = new(big.Int).Neg(good.P)
	require.Error(t, CheckPublicKey(&p, 0))
	big224, err := ike.LoadCredential("", "../../ike/testdata/dsa/q224.pem")
	require.NoError(t, err)
	require.ErrorContains(t, CheckPublicKey(big224.Signer.Public(), 0), "q of 224 bits, wanted is an odd one of 160")
}
