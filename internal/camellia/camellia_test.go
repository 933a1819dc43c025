package camellia

import (
	"bytes"
	"encoding/hex"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// RFC 3713 appendix A.
func TestVectors(t *testing.T) {
	const text = "0123456789abcdeffedcba9876543210"
	key, err := hex.DecodeString(text + "00112233445566778899aabbccddeeff")
	require.NoError(t, err)
	plain := key[:BlockSize]
	for size, want := range map[int]string{
		16: "67673138549669730857065648eabe43",
		24: "b4993401b3e996f84ee5cee7d79b09b9",
		32: "9acc237dff16d76c20ef7c919e3a7509",
	} {
		b, err := NewCipher(key[:size])
		require.NoError(t, err)
		got := make([]byte, BlockSize)
		b.Encrypt(got, plain)
		require.Equal(t, want, hex.EncodeToString(got))
		b.Decrypt(got, got)
		require.Equal(t, text, hex.EncodeToString(got))
	}
}

func TestInverse(t *testing.T) {
	r := rand.NewChaCha8([32]byte{1})
	for range 1000 {
		key, text := make([]byte, 16+8*(r.Uint64()%3)), make([]byte, BlockSize)
		r.Read(key)
		r.Read(text)
		b, err := NewCipher(key)
		require.NoError(t, err)
		got := bytes.Clone(text)
		b.Encrypt(got, got)
		require.NotEqual(t, text, got)
		b.Decrypt(got, got)
		require.Equal(t, text, got)
	}
}

func TestKeySize(t *testing.T) {
	for n := range 64 {
		_, err := NewCipher(make([]byte, n))
		if n == 16 || n == 24 || n == 32 {
			require.NoError(t, err)
		} else {
			require.Equal(t, KeySizeError(n), err)
		}
	}
}

func BenchmarkEncrypt(b *testing.B) {
	c, _ := NewCipher(make([]byte, 32))
	buf := make([]byte, BlockSize)
	b.SetBytes(BlockSize)
	b.ReportAllocs()
	for b.Loop() {
		c.Encrypt(buf, buf)
	}
}
