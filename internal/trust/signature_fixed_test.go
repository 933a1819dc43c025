package trust

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"testing"

	"github.com/stretchr/testify/require"
)

// There and back, for each curve; what has another length is no signature.
func TestFixedSignature(t *testing.T) {
	for _, curve := range []elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()} {
		k, err := ecdsa.GenerateKey(curve, rand.Reader)
		require.NoError(t, err)
		hash := make([]byte, 32)
		der, err := ecdsa.SignASN1(rand.Reader, k, hash)
		require.NoError(t, err)
		order := curve.Params().N
		fixed, err := FixedSignature(der, order)
		require.NoError(t, err)
		require.Len(t, fixed, 2*((curve.Params().BitSize+7)/8))
		back, err := SignatureDER(fixed, order)
		require.NoError(t, err)
		require.Equal(t, der, back)
		for _, bad := range [][]byte{nil, fixed[1:], append([]byte{0}, fixed...)} {
			_, err := SignatureDER(bad, order)
			require.Error(t, err)
		}
		for _, bad := range [][]byte{nil, der[1:], append(der[:len(der):len(der)], 0), fixed} {
			_, err := FixedSignature(bad, order)
			require.Error(t, err)
		}
	}
}
