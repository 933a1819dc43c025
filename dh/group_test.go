package dh

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

func seed(t testing.TB, g Group) []byte {
	s := make([]byte, g.SeedSize())
	_, err := rand.Read(s)
	require.NoError(t, err)
	return s
}

func TestExchange(t *testing.T) {
	for g := range Groups() {
		t.Run(g.ID().String(), func(t *testing.T) {
			si, sr := seed(t, g), seed(t, g)
			before := bytes.Clone(si)
			k, err := g.Generate(si)
			require.NoError(t, err)
			require.Equal(t, before, si, "the seed is the caller's")
			require.Len(t, k.Public(), g.InitiatorSize())
			before = bytes.Clone(sr)
			public, secret, err := g.Respond(sr, k.Public())
			require.NoError(t, err)
			require.Equal(t, before, sr)
			require.Len(t, public, g.ResponderSize())
			require.Len(t, secret, g.SecretSize())
			for range 2 {
				got, err := k.Finish(public)
				require.NoError(t, err)
				require.Equal(t, secret, got)
			}

			// The same seeds give the same values, others do not.
			again, err := g.Generate(si)
			require.NoError(t, err)
			require.Equal(t, k.Public(), again.Public())
			p2, s2, err := g.Respond(sr, again.Public())
			require.NoError(t, err)
			require.Equal(t, public, p2)
			require.Equal(t, secret, s2)
			_, s3, err := g.Respond(seed(t, g), again.Public())
			require.NoError(t, err)
			require.NotEqual(t, secret, s3)

			k.Wipe()
			k.Wipe()
			_, err = k.Finish(public)
			require.ErrorIs(t, err, ErrWiped)
			require.Len(t, k.Public(), g.InitiatorSize())
		})
	}
}

func TestExtremeSeeds(t *testing.T) {
	for g := range Groups() {
		for _, b := range []byte{0, 0xff} {
			s := bytes.Repeat([]byte{b}, g.SeedSize())
			k, err := g.Generate(s)
			require.NoError(t, err, "%v", g.ID())
			public, secret, err := g.Respond(s, k.Public())
			require.NoError(t, err, "%v", g.ID())
			got, err := k.Finish(public)
			require.NoError(t, err)
			require.Equal(t, secret, got)
		}
	}
}

func TestSeedSize(t *testing.T) {
	for g := range Groups() {
		k, err := g.Generate(seed(t, g))
		require.NoError(t, err)
		for _, n := range []int{0, g.SeedSize() - 1, g.SeedSize() + 1} {
			_, err := g.Generate(make([]byte, n))
			require.ErrorIs(t, err, ErrSeed)
			var e *SeedError
			require.ErrorAs(t, err, &e)
			require.Equal(t, SeedError{g.ID(), n, g.SeedSize()}, *e)
			_, _, err = g.Respond(make([]byte, n), k.Public())
			require.ErrorIs(t, err, ErrSeed)
			require.False(t, errors.Is(err, ErrInvalidPublicValue))
		}
	}
}

func TestPrivateKeyDoesNotPrint(t *testing.T) {
	for g := range Groups() {
		k, err := g.Generate(seed(t, g))
		require.NoError(t, err)
		want := "dh.PrivateKey(" + g.ID().String() + ", redacted)"
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q"} {
			require.Equal(t, want, fmt.Sprintf(verb, k))
		}
	}
}
