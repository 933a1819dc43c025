package dh

import (
	"bytes"
	"math/big"
	"testing"

	"github.com/stretchr/testify/require"
)

// A private group with the prime of a known one gives the same values.
func TestPrivateGroup(t *testing.T) {
	for _, c := range []struct {
		known *modp
		prime string
	}{{modp1024, prime1024}, {modp1536, prime1536}, {modp2048, prime2048}} {
		g, err := NewPrivateGroup(FirstPrivate, append([]byte{0, 0}, octets(c.prime)...), []byte{0, 2})
		require.NoError(t, err)
		require.Equal(t, FirstPrivate, g.ID())
		require.Equal(t, c.known.size, g.InitiatorSize())
		require.Equal(t, c.known.SeedSize(), g.SeedSize())
		require.Equal(t, 8*c.known.size, g.Bits())
		require.True(t, g.Is(append([]byte{0}, octets(c.prime)...), []byte{2}))
		require.False(t, g.Is(octets(c.prime), []byte{3}))
		require.False(t, g.Is(octets(prime768), []byte{2}))
		seed, other := bytes.Repeat([]byte{0x17}, g.SeedSize()), bytes.Repeat([]byte{0x71}, g.SeedSize())
		a, err := g.Generate(seed)
		require.NoError(t, err)
		b, err := c.known.Generate(seed)
		require.NoError(t, err)
		require.Equal(t, b.Public(), a.Public())
		public, secret, err := g.Respond(other, b.Public())
		require.NoError(t, err)
		shared, err := b.Finish(public)
		require.NoError(t, err)
		require.Equal(t, shared, secret)
		// RFC 6989 2.1 holds for it too.
		minusOne := octets(c.prime)
		minusOne[len(minusOne)-1]--
		for _, bad := range [][]byte{make([]byte, c.known.size), minusOne, octets(c.prime), {2}} {
			_, _, err = g.Respond(other, bad)
			require.ErrorIs(t, err, ErrInvalidPublicValue)
		}
		if c.known == modp2048 { // another generator is another group
			g3, err := NewPrivateGroup(FirstPrivate+1, octets(c.prime), []byte{3})
			require.NoError(t, err)
			d, err := g3.Generate(seed)
			require.NoError(t, err)
			require.NotEqual(t, b.Public(), d.Public())
			want := new(big.Int).Exp(big.NewInt(3), new(big.Int).SetBytes(append([]byte{seed[0] | 0x80}, seed[1:]...)), new(big.Int).SetBytes(octets(c.prime)))
			require.Equal(t, want.FillBytes(make([]byte, c.known.size)), d.Public())
		}
	}
	_, ok := ByID(FirstPrivate)
	require.False(t, ok)
	require.Equal(t, Weak, FirstPrivate.Grade(), "never without being asked for")
}

func TestPrivateGroupRefused(t *testing.T) {
	p := octets(prime2048)
	number := func(edit func(p *big.Int)) []byte {
		n := new(big.Int).SetBytes(p)
		edit(n)
		return n.Bytes()
	}
	minus := func(n int64) []byte { return number(func(p *big.Int) { p.Sub(p, big.NewInt(n)) }) }
	_, err := NewPrivateGroup(FirstPrivate, p, []byte{2})
	require.NoError(t, err)
	for name, c := range map[string]struct {
		id               ID
		prime, generator []byte
		want             string
	}{
		"number":           {MODP2048, p, []byte{2}, "must be 32768 or more"},
		"none":             {FirstPrivate, nil, []byte{2}, "0 bits"},
		"too small":        {FirstPrivate, octets(prime768), []byte{2}, "768 bits"},
		"too large":        {FirstPrivate, number(func(p *big.Int) { p.Lsh(p, 8192).SetBit(p, 0, 1) }), []byte{2}, "may have 1024"},
		"even":             {FirstPrivate, minus(1), []byte{2}, "even"},
		"composite":        {FirstPrivate, minus(2), []byte{2}, "no prime"},
		"not safe":         {FirstPrivate, octets(prime2048s256), []byte{2}, "not a safe one"},
		"generator 0":      {FirstPrivate, p, []byte{0}, "generator"},
		"no generator":     {FirstPrivate, p, nil, "generator"},
		"generator 1":      {FirstPrivate, p, []byte{1}, "generator"},
		"generator p-1":    {FirstPrivate, p, minus(1), "generator"},
		"generator p":      {FirstPrivate, p, p, "generator"},
		"generator longer": {FirstPrivate, p, append([]byte{1}, p...), "generator"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := NewPrivateGroup(c.id, c.prime, c.generator)
			require.ErrorIs(t, err, ErrPrivateGroup)
			require.ErrorContains(t, err, c.want)
		})
	}
}
