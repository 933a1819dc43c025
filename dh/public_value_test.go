package dh

import (
	"bytes"
	"math/big"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

var keys sync.Map // from ID to PrivateKey

// keyOf returns a key of the group, always the same one.
func keyOf(t *testing.T, g Group) PrivateKey {
	k, ok := keys.Load(g.ID())
	if !ok {
		fresh, err := g.Generate(seed(t, g))
		require.NoError(t, err)
		k, _ = keys.LoadOrStore(g.ID(), fresh)
	}
	return k.(PrivateKey)
}

// refuses checks that both roles refuse a public value before using it, and say why.
func refuses(t *testing.T, g Group, peer []byte, reason string) {
	t.Helper()
	k := keyOf(t, g)
	secret, err := k.Finish(peer)
	require.Nil(t, secret)
	var v *ValueError
	require.ErrorAs(t, err, &v)
	require.ErrorIs(t, err, ErrInvalidPublicValue)
	require.Equal(t, g.ID(), v.Group)
	require.Contains(t, v.Reason, reason)
	require.Contains(t, err.Error(), g.ID().String())

	public, secret, err := g.Respond(seed(t, g), peer)
	require.Nil(t, public)
	require.Nil(t, secret)
	require.ErrorIs(t, err, ErrInvalidPublicValue)
}

func TestA10_MODPPublicValues(t *testing.T) {
	for g := range Groups() {
		g, ok := g.(*modp)
		if !ok {
			continue
		}
		t.Run(g.id.String(), func(t *testing.T) {
			m := g.params()
			p := new(big.Int).SetBytes(m.p.Nat().Bytes(m.p))
			value := func(n *big.Int) []byte { return n.FillBytes(make([]byte, g.size)) }
			refuses(t, g, value(new(big.Int)), "0")
			refuses(t, g, value(one), "1")
			refuses(t, g, value(new(big.Int).Sub(p, one)), "the modulus less 1")
			refuses(t, g, value(p), "not less than the modulus")
			refuses(t, g, value(new(big.Int).Add(p, one)), "not less than the modulus")
			refuses(t, g, bytes.Repeat([]byte{0xff}, g.size), "not less than the modulus")
			refuses(t, g, nil, "0 octets")
			refuses(t, g, []byte{}, "0 octets")
			refuses(t, g, make([]byte, g.size-1), "octets, want")
			refuses(t, g, make([]byte, g.size+1), "octets, want")

			// A good value with a leading zero octet more or less is of the wrong length too.
			k := keyOf(t, g)
			refuses(t, g, append([]byte{0}, k.Public()...), "octets, want")
			refuses(t, g, k.Public()[1:], "octets, want")
			if m.q == nil {
				// The least and the greatest allowed.
				for _, n := range []*big.Int{big.NewInt(2), new(big.Int).Sub(p, big.NewInt(2))} {
					_, err := k.Finish(value(n))
					require.NoError(t, err)
				}
			}
		})
	}
}

func TestA11_CurvePublicValues(t *testing.T) {
	primes := map[*ecp]*big.Int{
		ecp256: fromHex("ffffffff00000001000000000000000000000000ffffffffffffffffffffffff"),
		ecp384: fromHex("fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffeffffffff0000000000000000ffffffff"),
		ecp521: new(big.Int).Sub(new(big.Int).Lsh(one, 521), one),
	}
	for g, p := range primes {
		k, err := g.Generate(seed(t, g))
		require.NoError(t, err)
		good := k.Public()
		x, y := good[:g.field], good[g.field:]
		const off = "not a point on the curve"
		refuses(t, g, make([]byte, 2*g.field), off) // how some encode infinity
		refuses(t, g, []byte{0}, "1 octets")        // how SEC 1 does
		refuses(t, g, append([]byte{2 | y[len(y)-1]&1}, x...), "octets, want")
		refuses(t, g, append([]byte{4}, good...), "octets, want")
		refuses(t, g, x, "octets, want") // x alone, as in RFC 4753 before its erratum
		bad := bytes.Clone(good)
		bad[len(bad)-1] ^= 1
		refuses(t, g, bad, off)
		refuses(t, g, append(bytes.Clone(y), x...), off)
		refuses(t, g, bytes.Repeat([]byte{0xff}, 2*g.field), off)

		// A point of the curve whose x is written as x+p: small x exist for which that still fits.
		if sx := new(big.Int).Add(p, big.NewInt(5)); sx.BitLen() <= 8*g.field {
			for i := int64(0); i < 50; i++ {
				x := big.NewInt(i)
				y2 := new(big.Int).Exp(x, big.NewInt(3), p)
				y2.Sub(y2, new(big.Int).Mul(big.NewInt(3), x)).Add(y2, curveB(g))
				y := new(big.Int).ModSqrt(y2.Mod(y2, p), p)
				if y == nil {
					continue
				}
				enc := func(x, y *big.Int) []byte {
					return append(x.FillBytes(make([]byte, g.field)), y.FillBytes(make([]byte, g.field))...)
				}
				_, err := k.Finish(enc(x, y))
				require.NoError(t, err)
				refuses(t, g, enc(x.Add(x, p), y), off)
			}
		}
	}

	// The values that make X25519 zero whatever the scalar, reduced and not (RFC 7748 section 6.1).
	for _, s := range []string{
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0100000000000000000000000000000000000000000000000000000000000000",
		"e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
		"5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	} {
		refuses(t, x25519, octets(s), "small order")
	}
	for _, n := range []int{0, 31, 33, 64} {
		refuses(t, x25519, bytes.Repeat([]byte{9}, n), "octets, want 32")
	}
}

// curveB is the coefficient b of the curves.
func curveB(g *ecp) *big.Int {
	return fromHex(map[*ecp]string{
		ecp256: "5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b",
		ecp384: "b3312fa7e23ee7e4988e056be3f82d19181d9c6efe8141120314088f5013875ac656398d8a2ed19d2a85c8edd3ec2aef",
		ecp521: "0051953eb9618e1c9a1f929a21a0b68540eea2da725b99b315f3b8b489918ef109e156193951ec7e937b1652c0bd3bb1bf073573df883d2c34f1ef451fd46b503f00",
	}[g])
}

// TestA12_SmallSubgroups makes elements of small order in the groups of RFC 5114: h^((p-1)/r) for small primes r that
// divide p-1, and elements of no small order that are outside the subgroup all the same.
func TestA12_SmallSubgroups(t *testing.T) {
	for _, g := range []*modp{modp1024s160, modp2048s224, modp2048s256} {
		require.Equal(t, Weak, g.id.Grade())
		m := g.params()
		p := new(big.Int).SetBytes(m.p.Nat().Bytes(m.p))
		p1 := new(big.Int).Sub(p, one)
		found := 0
		for r := int64(2); r < 10_000; r++ {
			quotient, rest := new(big.Int).DivMod(p1, big.NewInt(r), new(big.Int))
			if rest.Sign() != 0 || !big.NewInt(r).ProbablyPrime(5) {
				continue
			}
			for h := int64(2); ; h++ {
				small := new(big.Int).Exp(big.NewInt(h), quotient, p)
				if small.Cmp(one) == 0 {
					continue
				}
				reason := "not in the subgroup"
				if small.Cmp(p1) == 0 {
					reason = "the modulus less 1"
				} else {
					found++
				}
				refuses(t, g, small.FillBytes(make([]byte, g.size)), reason)
				break
			}
		}
		require.NotZero(t, found, "%v has an element of small order", g.id)
		refuses(t, g, big.NewInt(2).FillBytes(make([]byte, g.size)), "not in the subgroup")
		k, err := g.Generate(seed(t, g))
		require.NoError(t, err)
		minus := new(big.Int).Sub(p, new(big.Int).SetBytes(k.Public()))
		refuses(t, g, minus.FillBytes(make([]byte, g.size)), "not in the subgroup")
	}
}

func TestA13_UnknownGroup(t *testing.T) {
	for _, id := range []ID{0, 3, 4, 6, 13, 25, 30, 32, 35, 38, 1024, 1025, 0xffff} {
		g, ok := ByID(id)
		require.False(t, ok)
		require.Nil(t, g)
		require.NotEmpty(t, id.String())
		require.Equal(t, Weak, id.Grade())
		require.Zero(t, id.Strength())
		require.False(t, id.KEM())
	}
	require.Equal(t, "group(1025)", ID(1025).String())
	_, err := ParseID("1025")
	require.ErrorContains(t, err, `"1025"`)
}

func TestMLKEMPublicValueSize(t *testing.T) {
	for _, g := range []Group{mlkem768, mlkem1024} {
		k, err := g.Generate(seed(t, g))
		require.NoError(t, err)
		public, _, err := g.Respond(seed(t, g), k.Public())
		require.NoError(t, err)
		for _, bad := range [][]byte{nil, public[1:], append(bytes.Clone(public), 0)} {
			_, err = k.Finish(bad)
			require.ErrorIs(t, err, ErrInvalidPublicValue)
		}
		for _, bad := range [][]byte{nil, k.Public()[1:], append(bytes.Clone(k.Public()), 0)} {
			_, _, err = g.Respond(seed(t, g), bad)
			require.ErrorIs(t, err, ErrInvalidPublicValue)
		}
	}
}
