package trust

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"math/big"
	"testing"

	"github.com/racoon3/racoon/internal/testpki"
	"github.com/stretchr/testify/require"
)

func TestA27_PublicKeys(t *testing.T) {
	good := testpki.Key(t, testpki.RSA2048, 0).Public().(*rsa.PublicKey)
	require.NoError(t, CheckPublicKey(good, 0))
	n := func(bits uint) *big.Int {
		return new(big.Int).SetBit(new(big.Int).SetBit(new(big.Int), int(bits-1), 1), 0, 1)
	}
	for says, k := range map[string]*rsa.PublicKey{
		"exponent 0":               {N: good.N, E: 0},
		"exponent 1":               {N: good.N, E: 1},
		"exponent -3":              {N: good.N, E: -3},
		"exponent 65536":           {N: good.N, E: 65536},
		"exponent 4294967297":      {N: good.N, E: 1<<32 + 1},
		"even modulus":             {N: new(big.Int).Lsh(good.N, 1), E: 3},
		"16384 bits, at most 8192": {N: n(16384), E: 3},
		"8193 bits":                {N: n(8193), E: 3},
		"1024 bits, at least 2048": {N: n(1024), E: 3},
		"1 bits":                   {N: big.NewInt(1), E: 3},
		"without modulus":          {N: new(big.Int), E: 3},
	} {
		require.ErrorContains(t, CheckPublicKey(k, 0), says)
	}
	require.ErrorContains(t, CheckPublicKey(&rsa.PublicKey{}, 0), "without modulus")
	require.NoError(t, CheckPublicKey(&rsa.PublicKey{N: n(8192), E: 3}, 0))
	require.NoError(t, CheckPublicKey(&rsa.PublicKey{N: n(1024), E: 3}, 1024))
	require.Error(t, CheckPublicKey(nil, 0))
	require.Error(t, CheckPublicKey([]byte("key"), 0))
	require.Error(t, CheckPublicKey(&ecdsa.PublicKey{}, 0))

	// In a path, at the leaf and above it.
	root := testpki.NewCA(t, "root")
	weak := testpki.Spec{Subject: "gw", DNS: []string{"gw.lab"}, Key: testpki.RSA1024}
	_, err := verify(t, trusting(root), "gw.lab", root.Issue(t, weak).Raw)
	refused(t, err, ErrKey, "certificate 0 (C=CH, O=lab, CN=gw): RSA key of 1024 bits")
	sub := root.Issue(t, testpki.Spec{Subject: "sub", CA: true, Key: testpki.RSA1024})
	_, err = verify(t, trusting(root), "gw.lab", sub.Leaf(t, "gw.lab").DER()...)
	refused(t, err, ErrKey, "certificate 1 (C=CH, O=lab, CN=sub): RSA key of 1024 bits")
	lax := trusting(root)
	lax.MinRSABits = 1024
	_, err = verify(t, lax, "gw.lab", sub.Leaf(t, "gw.lab").DER()...)
	require.NoError(t, err)
}

// Every small-order point must have one of the five y coordinates: the roots
// of the curve equation are computed here.
func TestSmallOrderEd25519(t *testing.T) {
	p := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))
	d := new(big.Int).Mul(big.NewInt(-121665), new(big.Int).ModInverse(big.NewInt(121666), p))
	type point struct{ x, y *big.Int }
	mod := func(a *big.Int) *big.Int { return a.Mod(a, p) }
	add := func(a, b point) point {
		xy := mod(new(big.Int).Mul(new(big.Int).Mul(a.x, b.x), new(big.Int).Mul(a.y, b.y)))
		k := mod(new(big.Int).Mul(d, xy))
		x := new(big.Int).Add(new(big.Int).Mul(a.x, b.y), new(big.Int).Mul(a.y, b.x))
		y := new(big.Int).Add(new(big.Int).Mul(a.y, b.y), new(big.Int).Mul(a.x, b.x))
		one := big.NewInt(1)
		x.Mul(x, new(big.Int).ModInverse(mod(new(big.Int).Add(one, k)), p))
		y.Mul(y, new(big.Int).ModInverse(mod(new(big.Int).Sub(one, k)), p))
		return point{mod(x), mod(y)}
	}
	for _, le := range smallOrderY {
		be := make([]byte, 32)
		for i, c := range le {
			be[31-i] = c
		}
		y := new(big.Int).SetBytes(be)
		// x^2 = (y^2-1) / (d y^2+1)
		y2 := new(big.Int).Mul(y, y)
		x2 := new(big.Int).Sub(y2, big.NewInt(1))
		x2.Mul(x2, new(big.Int).ModInverse(mod(new(big.Int).Add(new(big.Int).Mul(d, y2), big.NewInt(1))), p))
		x := new(big.Int).ModSqrt(mod(x2), p)
		require.NotNil(t, x, "on the curve")
		q := point{x, y}
		for range 3 {
			q = add(q, q)
		}
		require.Zero(t, q.x.Sign(), "8 times the point is the neutral element")
		require.Zero(t, q.y.Cmp(big.NewInt(1)))
		key := append([]byte(nil), le[:]...)
		require.True(t, smallOrderEd25519(key))
		key[31] |= 0x80
		require.True(t, smallOrderEd25519(key), "either sign of x")
	}
	require.False(t, canonicalEd25519(append([]byte{0xed}, append(bytesOf(0xff, 30), 0x7f)...)))
	require.True(t, canonicalEd25519(append([]byte{0xec}, append(bytesOf(0xff, 30), 0x7f)...)))
	require.False(t, smallOrderEd25519(append([]byte{9}, make([]byte, 31)...)))
}

func bytesOf(b byte, n int) []byte {
	s := make([]byte, n)
	for i := range s {
		s[i] = b
	}
	return s
}
