package dh

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

var kems = map[string]Group{"768": mlkem768, "1024": mlkem1024}

func TestMLKEMSizes(t *testing.T) {
	for _, c := range []struct {
		g                    Group
		initiator, responder int
	}{{mlkem768, 1184, 1088}, {mlkem1024, 1568, 1568}} { // FIPS 203 table 3
		require.Equal(t, c.initiator, c.g.InitiatorSize())
		require.Equal(t, c.responder, c.g.ResponderSize())
		require.Equal(t, 32, c.g.SecretSize())
		require.True(t, c.g.ID().KEM())
	}
}

func TestWycheproofMLKEMKeyGen(t *testing.T) {
	type testCase struct {
		TcID     int
		Seed, EK hexBytes
		Result   string
	}
	for size, g := range kems {
		wycheproofCases(t, "mlkem_"+size+"_keygen_seed_test.json", func(t *testing.T, c testCase) {
			require.Equal(t, "valid", c.Result)
			k, err := g.Generate(c.Seed)
			require.NoError(t, err, "case %d", c.TcID)
			require.Equal(t, []byte(c.EK), k.Public(), "case %d", c.TcID)
		})
	}
}

func TestWycheproofMLKEMEncaps(t *testing.T) {
	type testCase struct {
		TcID        int
		M, EK, C, K hexBytes
		Result      string
	}
	for size, g := range kems {
		valid, refused := 0, 0
		wycheproofCases(t, "mlkem_"+size+"_encaps_test.json", func(t *testing.T, c testCase) {
			s := append(bytes.Clone(c.M), make([]byte, 32)...)
			public, secret, err := g.Respond(s, c.EK)
			if c.Result == "invalid" {
				require.ErrorIs(t, err, ErrInvalidPublicValue, "case %d", c.TcID)
				refused++
				return
			}
			require.NoError(t, err, "case %d", c.TcID)
			require.Equal(t, []byte(c.C), public, "case %d", c.TcID)
			require.Equal(t, []byte(c.K), secret, "case %d", c.TcID)
			valid++
		})
		require.NotZero(t, valid)
		require.NotZero(t, refused)
	}
}

func TestWycheproofMLKEMDecaps(t *testing.T) {
	type testCase struct {
		TcID           int
		Seed, EK, C, K hexBytes
		Result         string
	}
	for size, g := range kems {
		valid, refused := 0, 0
		wycheproofCases(t, "mlkem_"+size+"_test.json", func(t *testing.T, c testCase) {
			k, err := g.Generate(c.Seed)
			if err == nil {
				if c.EK != nil {
					require.Equal(t, []byte(c.EK), k.Public(), "case %d", c.TcID)
				}
				var secret []byte
				if secret, err = k.Finish(c.C); err == nil {
					require.Equal(t, "valid", c.Result, "case %d", c.TcID)
					require.Equal(t, []byte(c.K), secret, "case %d", c.TcID)
					valid++
					return
				}
				require.ErrorIs(t, err, ErrInvalidPublicValue, "case %d", c.TcID)
			}
			require.Equal(t, "invalid", c.Result, "case %d: %v", c.TcID, err)
			refused++
		})
		require.NotZero(t, valid)
		require.NotZero(t, refused)
	}
}

// TestForgedCiphertext gives another secret and no error: implicit rejection.
func TestForgedCiphertext(t *testing.T) {
	for _, g := range kems {
		k, err := g.Generate(seed(t, g))
		require.NoError(t, err)
		public, secret, err := g.Respond(seed(t, g), k.Public())
		require.NoError(t, err)
		public[7] ^= 1
		got, err := k.Finish(public)
		require.NoError(t, err)
		require.NotEqual(t, secret, got)
	}
}
