package dh

import (
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"math/big"
	"os"
	"testing"

	"github.com/c2sp/wycheproof"
	"github.com/stretchr/testify/require"
)

// hexBytes is an octet string of a vector file.
type hexBytes []byte

func (b *hexBytes) UnmarshalText(text []byte) (err error) {
	*b, err = hex.DecodeString(string(text))
	return err
}

// vectors reads a file of testdata.
func vectors[T any](t *testing.T, name string) []T {
	b, err := os.ReadFile("testdata/" + name)
	require.NoError(t, err)
	var f struct{ Vectors []T }
	require.NoError(t, json.Unmarshal(b, &f))
	require.NotEmpty(t, f.Vectors)
	return f.Vectors
}

// wycheproofCases calls check for every case of a file of Wycheproof and returns their number.
func wycheproofCases[T any](t *testing.T, name string, check func(t *testing.T, c T)) {
	b, err := fs.ReadFile(wycheproof.TestVectors, name)
	require.NoError(t, err)
	var f struct {
		NumberOfTests int
		TestGroups    []struct{ Tests []T }
	}
	require.NoError(t, json.Unmarshal(b, &f))
	n := 0
	for _, g := range f.TestGroups {
		for _, c := range g.Tests {
			n++
			check(t, c)
		}
	}
	require.Equal(t, f.NumberOfTests, n)
	require.NotZero(t, n)
}

// seedOf returns the seed that makes the private key d in a group whose keys are the seed mod (order-1), plus 1.
func seedOf(g Group, d []byte) []byte {
	n := new(big.Int).SetBytes(d)
	return n.Sub(n, big.NewInt(1)).FillBytes(make([]byte, g.SeedSize()))
}

// checkExchange plays both roles with known private keys.
func checkExchange(t *testing.T, g Group, seedI, publicI, seedR, publicR, want []byte) {
	t.Helper()
	k, err := g.Generate(seedI)
	require.NoError(t, err)
	require.Equal(t, publicI, k.Public(), "the initiator's value")
	public, secret, err := g.Respond(seedR, publicI)
	require.NoError(t, err)
	require.Equal(t, publicR, public, "the responder's value")
	require.Equal(t, want, secret)
	secret, err = k.Finish(publicR)
	require.NoError(t, err)
	require.Equal(t, want, secret)
}
