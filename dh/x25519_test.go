package dh

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRFC8031(t *testing.T) {
	type vector struct {
		RandomI hexBytes `json:"random_i"`
		RandomR hexBytes `json:"random_r"`
		FixedI  hexBytes `json:"fixed_i"`
		FixedR  hexBytes `json:"fixed_r"`
		PubI    hexBytes `json:"pub_i"`
		PubR    hexBytes `json:"pub_r"`
		Shared  hexBytes
	}
	for _, v := range vectors[vector](t, "x25519_8031.json") {
		checkExchange(t, x25519, v.RandomI, v.PubI, v.RandomR, v.PubR, v.Shared)
		checkExchange(t, x25519, v.FixedI, v.PubI, v.FixedR, v.PubR, v.Shared) // clamped before
	}
}

func TestWycheproofX25519(t *testing.T) {
	type testCase struct {
		TcID                    int
		Flags                   []string
		Public, Private, Shared hexBytes
		Result                  string
	}
	secrets, refused := 0, 0
	wycheproofCases(t, "x25519_test.json", func(t *testing.T, c testCase) {
		k, err := x25519.Generate(c.Private)
		require.NoError(t, err)
		finished, ferr := k.Finish(c.Public)
		_, responded, rerr := x25519.Respond(c.Private, c.Public)
		if slices.Contains(c.Flags, "ZeroSharedSecret") {
			require.ErrorIs(t, ferr, ErrInvalidPublicValue, "case %d", c.TcID)
			require.ErrorIs(t, rerr, ErrInvalidPublicValue, "case %d", c.TcID)
			refused++
			return
		}
		// Points on the twist and values that are not reduced are to be accepted (RFC 7748 section 5).
		require.NoError(t, ferr, "case %d", c.TcID)
		require.NoError(t, rerr, "case %d", c.TcID)
		require.Equal(t, []byte(c.Shared), finished, "case %d", c.TcID)
		require.Equal(t, []byte(c.Shared), responded, "case %d", c.TcID)
		secrets++
	})
	require.Greater(t, secrets, 450)
	require.Greater(t, refused, 25)
}
