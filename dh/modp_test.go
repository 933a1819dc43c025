package dh

import (
	"bytes"
	"math/big"
	"math/rand/v2"
	"sync"
	"testing"

	"filippo.io/bigmod"
	"github.com/stretchr/testify/require"
)

var one = big.NewInt(1)

func fromHex(s string) *big.Int { return new(big.Int).SetBytes(octets(s)) }

// piTimes2 returns the integer part of pi * 2^n, by Machin's formula.
func piTimes2(n int) *big.Int {
	const guard = 64
	scale := new(big.Int).Lsh(one, uint(n+guard))
	arctanInverse := func(x int64) *big.Int {
		sum, term := new(big.Int), new(big.Int).Div(scale, big.NewInt(x))
		for k := int64(1); term.Sign() != 0; k += 2 {
			t := new(big.Int).Div(term, big.NewInt(k))
			if k%4 == 1 {
				sum.Add(sum, t)
			} else {
				sum.Sub(sum, t)
			}
			term.Div(term, big.NewInt(x*x))
		}
		return sum
	}
	pi := new(big.Int).Mul(big.NewInt(16), arctanInverse(5))
	pi.Sub(pi, new(big.Int).Mul(big.NewInt(4), arctanInverse(239)))
	return pi.Rsh(pi, guard)
}

// TestPrimesFromPi computes the moduli from the formula RFC 2409 section 6 and RFC 3526 give for them:
// 2^n - 2^(n-64) - 1 + 2^64 * ([2^(n-130) pi] + c).
func TestPrimesFromPi(t *testing.T) {
	for _, c := range []struct {
		n      int
		c      int64
		prime  string
		number ID
	}{
		{768, 149686, prime768, 1},
		{1024, 129093, prime1024, 2},
		{1536, 741804, prime1536, 5},
		{2048, 124476, prime2048, 14},
		{3072, 1690314, prime3072, 15},
		{4096, 240904, prime4096, 16},
		{6144, 929484, prime6144, 17},
		{8192, 4743158, prime8192, 18},
	} {
		p := piTimes2(c.n - 130)
		p.Add(p, big.NewInt(c.c)).Lsh(p, 64)
		p.Add(p, new(big.Int).Lsh(one, uint(c.n)))
		p.Sub(p, new(big.Int).Lsh(one, uint(c.n-64))).Sub(p, one)
		require.Zero(t, p.Cmp(fromHex(c.prime)), "%d bits", c.n)

		g, ok := ByID(c.number)
		require.True(t, ok)
		require.Equal(t, c.n/8, g.SecretSize())
		require.Zero(t, p.Cmp(new(big.Int).SetBytes(g.(*modp).params().p.Nat().Bytes(g.(*modp).params().p))))
	}
}

func TestParameters(t *testing.T) {
	type vector struct {
		Group   uint16
		P, G, Q hexBytes
	}
	for _, v := range vectors[vector](t, "modp_groups.json") {
		g, ok := ByID(ID(v.Group))
		require.True(t, ok)
		m := g.(*modp).params()
		require.Equal(t, []byte(v.P), m.p.Nat().Bytes(m.p), "%v", v.Group)
		require.Zero(t, new(big.Int).SetBytes(v.G).Cmp(new(big.Int).SetBytes(m.g.Bytes(m.p))), "%v", v.Group)
		require.Equal(t, []byte(v.Q), m.q, "%v", v.Group)
		if v.Q != nil {
			p, q := new(big.Int).SetBytes(v.P), new(big.Int).SetBytes(v.Q)
			require.True(t, p.ProbablyPrime(1))
			require.True(t, q.ProbablyPrime(10))
			require.Zero(t, new(big.Int).Exp(new(big.Int).SetBytes(v.G), q, p).Cmp(one))
		}
	}
}

func TestRFC5114(t *testing.T) {
	type vector struct {
		Group             uint16
		XA, YA, XB, YB, Z hexBytes
	}
	for _, v := range vectors[vector](t, "modp_5114_testdata.json") {
		g, _ := ByID(ID(v.Group))
		checkExchange(t, g, seedOf(g, v.XA), v.YA, seedOf(g, v.XB), v.YB, v.Z)
	}
}

// TestMODPAgainstBig computes the exchange again with math/big, from the exponent that the seed is documented to give.
func TestMODPAgainstBig(t *testing.T) {
	for g := range Groups() {
		g, ok := g.(*modp)
		if !ok {
			continue
		}
		m := g.params()
		p := new(big.Int).SetBytes(m.p.Nat().Bytes(m.p))
		base := new(big.Int).SetBytes(m.g.Bytes(m.p))
		exponent := func(seed []byte) *big.Int {
			if m.q == nil {
				return new(big.Int).SetBit(new(big.Int).SetBytes(seed), 8*len(seed)-1, 1)
			}
			x := new(big.Int).SetBytes(seed)
			return x.Mod(x, new(big.Int).Sub(new(big.Int).SetBytes(m.q), one)).Add(x, one)
		}
		power := func(b, x *big.Int) []byte { return new(big.Int).Exp(b, x, p).FillBytes(make([]byte, g.size)) }
		si, sr := seed(t, g), seed(t, g)
		yi, yr := power(base, exponent(si)), power(base, exponent(sr))
		secret := power(new(big.Int).SetBytes(yi), exponent(sr))
		checkExchange(t, g, si, yi, sr, yr, secret)
	}
}

// TestExponentLength holds the private exponents to twice the strength of the group (RFC 3526 section 8, the larger
// estimate) and to the 200 bits of RFC 7296 section 5.
func TestExponentLength(t *testing.T) {
	for id, bits := range map[ID]int{1: 200, 2: 200, 5: 240, 14: 320, 15: 420, 16: 480, 17: 540, 18: 620} {
		g, _ := ByID(id)
		x := g.(*modp).params().privateExponent(make([]byte, g.SeedSize()))
		require.GreaterOrEqual(t, new(big.Int).SetBytes(x).BitLen(), bits, "%v", id)
	}
}

// TestLeadingZeroSecret looks for a secret that starts with a zero octet: it must keep its length (RFC 7296 2.14).
func TestLeadingZeroSecret(t *testing.T) {
	g, _ := ByID(MODP768)
	rng := rand.New(rand.NewPCG(7, 7))
	si, sr := make([]byte, g.SeedSize()), make([]byte, g.SeedSize())
	for range 20_000 {
		for i := range sr {
			sr[i] = byte(rng.Uint32())
		}
		k, err := g.Generate(si)
		require.NoError(t, err)
		public, secret, err := g.Respond(sr, k.Public())
		require.NoError(t, err)
		require.Len(t, public, 96)
		require.Len(t, secret, 96)
		if secret[0] == 0 {
			got, err := k.Finish(public)
			require.NoError(t, err)
			require.Equal(t, secret, got)
			return
		}
	}
	t.Fatal("no such secret")
}

// TestFixedBase compares the table with bigmod's own exponentiation.
func TestFixedBase(t *testing.T) {
	for g := range Groups() {
		g, ok := g.(*modp)
		if !ok || g.size > fixedBaseMax {
			continue
		}
		m := g.params()
		n := len(m.privateExponent(seed(t, g)))
		f := newFixedBase(m.g, m.p, n)
		require.Len(t, f.table, cap(f.table))
		exponents := [][]byte{
			make([]byte, n),
			bytes.Repeat([]byte{0xff}, n),
			append(make([]byte, n-1), 1),
			append([]byte{0x80}, make([]byte, n-1)...),
			append([]byte{0x0f}, make([]byte, n-1)...),
			seed(t, g)[:n], seed(t, g)[:n], seed(t, g)[:n],
			{0x12, 0x34},
		}
		for _, x := range exponents {
			want := bigmod.NewNat().Exp(m.g, x, m.p).Bytes(m.p)
			require.Equal(t, want, f.exp(x), "%v, exponent %x", g.id, x)
		}
	}
}

// TestFixedBaseComesIntoUse checks that the table is made after some uses, and that the results stay the same.
func TestFixedBaseComesIntoUse(t *testing.T) {
	for g, want := range map[*modp]bool{
		safePrime(MODP2048, prime2048, 40):                                        true,
		subgroup(MODP1024Sub160, prime1024s160, generator1024s160, order1024s160): true,
		safePrime(MODP6144, prime6144, 68):                                        false,
	} {
		s := seed(t, g)
		first, err := g.Generate(s)
		require.NoError(t, err)
		require.Nil(t, g.table.Load())
		for range fixedBaseAfter {
			k, err := g.Generate(s)
			require.NoError(t, err)
			require.Equal(t, first.Public(), k.Public())
		}
		require.Equal(t, want, g.table.Load() != nil)
		k, err := g.Generate(s)
		require.NoError(t, err)
		require.Equal(t, first.Public(), k.Public())
	}
}

func TestWipeOverwritesExponent(t *testing.T) {
	k, err := modp2048.Generate(seed(t, modp2048))
	require.NoError(t, err)
	x := k.(*modpKey).x
	require.NotZero(t, x[0])
	k.Wipe()
	require.Equal(t, make([]byte, 40), x)
}

// TestConcurrentUse lets goroutines meet the making of the table (for the race detector).
func TestConcurrentUse(t *testing.T) {
	g := safePrime(MODP1024, prime1024, 25)
	s := seed(t, g)
	want, err := modp1024.Generate(s)
	require.NoError(t, err)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range fixedBaseAfter {
				public, _, err := g.Respond(s, want.Public())
				if err != nil || !bytes.Equal(public, want.Public()) {
					t.Errorf("%x, %v", public, err)
				}
			}
		})
	}
	wg.Wait()
	require.NotNil(t, g.table.Load())
}
