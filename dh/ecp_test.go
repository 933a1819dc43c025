package dh

import (
	"math/big"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRFC5903(t *testing.T) {
	type vector struct {
		Group             uint16
		I, Gix, Giy, Girx hexBytes
		R, Grx, Gry       hexBytes
		KEi               hexBytes `json:"KEi_payload"`
		KEr               hexBytes `json:"KEr_payload"`
	}
	for _, v := range vectors[vector](t, "ecp_5903.json") {
		g, ok := ByID(ID(v.Group))
		require.True(t, ok)
		// The payloads are printed whole: 4 octets of generic header, the group, 2 reserved ones, the data.
		const header = 8
		require.Equal(t, v.KEi[header:], append(append(hexBytes{}, v.Gix...), v.Giy...))
		checkExchange(t, g, seedOf(g, v.I), v.KEi[header:], seedOf(g, v.R), v.KEr[header:], v.Girx)
	}
}

// TestScalarOfSeed checks the reduction of a seed against math/big, at its edges too.
func TestScalarOfSeed(t *testing.T) {
	for g := range Groups() {
		g, ok := g.(*ecp)
		if !ok {
			continue
		}
		s := g.scalars()
		n1 := new(big.Int).SetBytes(s.orderLess1.Nat().Bytes(s.orderLess1))
		require.True(t, new(big.Int).Add(n1, one).ProbablyPrime(10), "%v: the order is prime", g.id)
		seeds := [][]byte{seed(t, g), seed(t, g), seed(t, g)}
		for _, n := range []*big.Int{
			new(big.Int), one, n1, new(big.Int).Sub(n1, one), new(big.Int).Add(n1, one),
			new(big.Int).Sub(new(big.Int).Lsh(one, uint(8*g.SeedSize())), one),
		} {
			seeds = append(seeds, n.FillBytes(make([]byte, g.SeedSize())))
		}
		for _, seed := range seeds {
			want := new(big.Int).SetBytes(seed)
			want.Mod(want, n1).Add(want, one)
			require.Equal(t, want.FillBytes(make([]byte, g.field)), s.fromSeed(seed), "%v", g.id)
		}
	}
}

func TestWycheproofECDH(t *testing.T) {
	type testCase struct {
		TcID                    int
		Flags                   []string
		Public, Private, Shared hexBytes
		Result                  string
	}
	for file, g := range map[string]*ecp{
		"ecdh_secp256r1_ecpoint_test.json": ecp256,
		"ecdh_secp384r1_ecpoint_test.json": ecp384,
		"ecdh_secp521r1_ecpoint_test.json": ecp521,
	} {
		secrets, refused := 0, 0
		wycheproofCases(t, file, func(t *testing.T, c testCase) {
			// Their private keys have the length of an ASN.1 INTEGER, their points a form octet, which KE payloads lack:
			// what is not uncompressed is given as it is, and has the wrong size.
			d := new(big.Int).SetBytes(c.Private).FillBytes(make([]byte, g.field))
			peer := []byte(c.Public)
			if len(peer) > 0 && peer[0] == 4 {
				peer = peer[1:]
			}
			k, err := g.Generate(seedOf(g, d))
			require.NoError(t, err)
			finished, ferr := k.Finish(peer)
			responded, rerr := finished, ferr
			if c.Result != "valid" || c.TcID%8 == 0 { // not all, for time
				_, responded, rerr = g.Respond(seedOf(g, d), peer)
			}
			if c.Result == "valid" {
				require.NoError(t, ferr, "case %d", c.TcID)
				require.NoError(t, rerr, "case %d", c.TcID)
				require.Equal(t, []byte(c.Shared), finished, "case %d", c.TcID)
				require.Equal(t, []byte(c.Shared), responded, "case %d", c.TcID)
				secrets++
				return
			}
			// The only acceptable ones are compressed points, which IKE does not have.
			if c.Result == "acceptable" {
				require.Contains(t, c.Flags, "CompressedPoint")
			}
			require.ErrorIs(t, ferr, ErrInvalidPublicValue, "case %d", c.TcID)
			require.ErrorIs(t, rerr, ErrInvalidPublicValue, "case %d", c.TcID)
			require.Nil(t, finished)
			require.Nil(t, responded)
			refused++
		})
		require.Greater(t, secrets, 300, file)
		require.Greater(t, refused, 15, file)
	}
}
