package suite

import (
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"os"
	"testing"

	"github.com/c2sp/wycheproof"
	"github.com/stretchr/testify/require"
)

// vectors reads the "vectors" list of a file in testdata.
func vectors[T any](t testing.TB, path string) []T {
	t.Helper()
	b, err := os.ReadFile("testdata/" + path)
	require.NoError(t, err)
	var f struct{ Vectors []T }
	require.NoError(t, json.Unmarshal(b, &f))
	require.NotEmpty(t, f.Vectors)
	return f.Vectors
}

// wycheproofCase is a case of any of the symmetric Wycheproof files.
type wycheproofCase struct {
	keyBits, ivBits, tagBits int

	TcID    int
	Comment string
	Key     hexBytes
	IV      hexBytes
	AAD     hexBytes
	Msg     hexBytes
	CT      hexBytes
	Tag     hexBytes
	Result  string
}

func wycheproofCases(t testing.TB, file string) []wycheproofCase {
	t.Helper()
	b, err := fs.ReadFile(wycheproof.TestVectors, file)
	require.NoError(t, err)
	var f struct {
		TestGroups []struct {
			KeySize, IVSize, TagSize int
			Tests                    []wycheproofCase
		}
	}
	require.NoError(t, json.Unmarshal(b, &f))
	var all []wycheproofCase
	for _, g := range f.TestGroups {
		for _, c := range g.Tests {
			c.keyBits, c.ivBits, c.tagBits = g.KeySize, g.IVSize, g.TagSize
			all = append(all, c)
		}
	}
	require.NotEmpty(t, all)
	return all
}

// hexBytes is a JSON string of hexadecimal digits.
type hexBytes []byte

func (h *hexBytes) UnmarshalText(b []byte) error {
	*h = make([]byte, hex.DecodedLen(len(b)))
	_, err := hex.Decode(*h, b)
	return err
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

func concat(parts ...[]byte) []byte {
	var b []byte
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}
