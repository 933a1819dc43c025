package suite

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func prf(t testing.TB, id uint16) PRF {
	p, ok := PRFByID(id)
	require.True(t, ok)
	return p
}

// TestNISTIKEv2KDF derives what NIST's CAVS derived: SKEYSEED, the SK_* block,
// Child SA keying material without and with a new exchange, and the SKEYSEED of
// a rekey, the way an IKE SA does.
func TestNISTIKEv2KDF(t *testing.T) {
	type vector struct {
		Group struct {
			Hash string
		}
		Ni, Nr      hexBytes
		GIR         hexBytes `json:"g^ir"`
		GIRNew      hexBytes `json:"g^ir (new)"`
		SPIi, SPIr  hexBytes
		SKEYSEED    hexBytes
		DKM         hexBytes
		Child       hexBytes `json:"DKM(Child SA)"`
		ChildDH     hexBytes `json:"DKM(Child SA D-H)"`
		RekeySecret hexBytes `json:"SKEYSEED(Rekey)"`
	}
	ids := map[string]uint16{"SHA-1": prfHMACSHA1, "SHA-256": prfHMACSHA256, "SHA-384": prfHMACSHA384, "SHA-512": prfHMACSHA512}
	seen := map[string]int{}
	for i, v := range vectors[vector](t, "nist-cavs-ike/ikev2.subset.json") {
		t.Run(fmt.Sprint(i, v.Group.Hash), func(t *testing.T) {
			id, ok := ids[v.Group.Hash]
			require.True(t, ok, v.Group.Hash)
			seen[v.Group.Hash]++
			p := prf(t, id)
			seed := p.Keyed(p.NonceKey(nil, v.Ni, v.Nr)).Sum(nil, v.GIR)
			require.EqualValues(t, v.SKEYSEED, seed)

			dkm := make([]byte, len(v.DKM))
			require.NoError(t, p.Keyed(seed).Plus(dkm, v.Ni, v.Nr, v.SPIi, v.SPIr))
			require.EqualValues(t, v.DKM, dkm)

			d := p.Keyed(dkm[:p.KeySize])
			child := make([]byte, len(v.Child))
			require.NoError(t, d.Plus(child, v.Ni, v.Nr))
			require.EqualValues(t, v.Child, child)
			childDH := make([]byte, len(v.ChildDH))
			require.NoError(t, d.Plus(childDH, v.GIRNew, v.Ni, v.Nr))
			require.EqualValues(t, v.ChildDH, childDH)
			require.EqualValues(t, v.RekeySecret, d.Sum(nil, v.GIRNew, v.Ni, v.Nr))
		})
	}
	require.Len(t, seen, len(ids), "every hash occurs")
}

// TestOpenswanPRFPlus follows the prf+ chains that openswan's crypto tests
// recorded.
func TestOpenswanPRFPlus(t *testing.T) {
	ni, nr := unhex("b5ce8419095c6e2b6b62d3055305b3c4"), unhex("47e9f9258ca23858f675b166b02cc292")
	spis := unhex("7546d3d6ea09f7df61a6786a41ea4806")
	for _, v := range []struct {
		id                uint16
		skeyseed, prfplus string
	}{
		{prfHMACMD5, "ff5fbcd4500e96b3ade2821ea8e3ec9a", "dc6b21b61ea46f6b43b35c2c05afc071968b25df26e72b901522a129a4b1d31a29c3faaaee11f407361d7fe8e70cf6152e3bbe7d9bfe25f94bd5c4640232e625828e9b72fe0cfc5ed6cba7027bbdcac82de08042475a22d8af08a2a86b7634cda51e5fbe1369c74afa7595b622858377d2b320b0e6e1c677d7d705159e087531"},
		{prfHMACSHA1, "31e82440abe3eb77386b0eae670d662c46f2a6bf", "e9c74b23be091e7fec5b53804bb5ecc82528382f493c25a967a86080d78d36ee4ef2534f5bc4da4ea6a5b747bd9b15471e40fbe1843ffe22a661052631d312220a6b25038a98b97da69bebb9b80c0ae5a6a81d8ecd2f00bbc5681b58277cf2166e2674be1708cba0eedfe954786197afa1090d524785cdfc2518ce46ad078fa290f7551661b461b5fdfd87f7"},
	} {
		want := unhex(v.prfplus)
		// Any length is a prefix, also one that ends inside a block.
		for _, n := range []int{0, 1, len(want) - 1, len(want)} {
			got := make([]byte, n)
			require.NoError(t, prf(t, v.id).Keyed(unhex(v.skeyseed)).Plus(got, ni, nr, spis))
			require.Equal(t, want[:n], got)
		}
	}
}

func TestHMACVectorsRFC4868(t *testing.T) {
	ids := map[string]uint16{
		"PRF-HMAC-SHA-256": prfHMACSHA256, "PRF-HMAC-SHA-384": prfHMACSHA384, "PRF-HMAC-SHA-512": prfHMACSHA512,
	}
	n := 0
	for _, v := range vectors[struct {
		Case, Alg      string
		Key, Data, MAC hexBytes
	}](t, "rfc/hmac_4868.json") {
		if id, ok := ids[v.Alg]; ok {
			require.EqualValues(t, v.MAC, prf(t, id).Keyed(v.Key).Sum(nil, v.Data), v.Case)
			n++
		}
	}
	require.Positive(t, n)
}

func TestXCBCAndCMACPRF(t *testing.T) {
	for _, v := range vectors[struct {
		Alg, Msg string
		Key, MAC hexBytes
	}](t, "rfc/xcbc_cmac_prf.json") {
		var msg []byte
		if v.Msg == "00*1000" {
			msg = make([]byte, 1000)
		} else {
			msg = unhex(v.Msg)
		}
		var h = newXCBC
		switch v.Alg {
		case "AES-XCBC-PRF-128":
			h = prf(t, prfAES128XCBC).newHash
		case "AES-CMAC-PRF-128":
			h = prf(t, prfAES128CMAC).newHash
		}
		// However the message is cut, the result is the same.
		for _, step := range []int{1, 7, 16, 17, 1 << 20} {
			m := h(v.Key)
			for b := msg; len(b) > 0; {
				n, _ := m.Write(b[:min(step, len(b))])
				b = b[n:]
			}
			require.EqualValues(t, v.MAC, m.Sum(nil), "%s %s by %d", v.Alg, v.Msg, step)
			require.EqualValues(t, v.MAC, m.Sum(nil), "Sum does not change the state")
		}
	}
}

func TestWycheproofMACs(t *testing.T) {
	for file, id := range map[string]uint16{
		"hmac_sha1_test.json": prfHMACSHA1, "hmac_sha256_test.json": prfHMACSHA256,
		"hmac_sha384_test.json": prfHMACSHA384, "hmac_sha512_test.json": prfHMACSHA512,
	} {
		for _, c := range wycheproofCases(t, file) {
			got := prf(t, id).Keyed(c.Key).Sum(nil, c.Msg)[:c.tagBits/8]
			require.Equal(t, c.Result == "valid", bytes.Equal(got, c.Tag), "%s %d %s", file, c.TcID, c.Comment)
		}
	}
	for _, c := range wycheproofCases(t, "aes_cmac_test.json") {
		if len(c.Key) != 16 && len(c.Key) != 24 && len(c.Key) != 32 {
			continue
		}
		h := newCMAC(c.Key)
		h.Write(c.Msg)
		require.Equal(t, c.Result == "valid", bytes.Equal(h.Sum(nil)[:c.tagBits/8], c.Tag), "cmac %d %s", c.TcID, c.Comment)
	}
}

func TestNonceKey(t *testing.T) {
	ni, nr := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 24)
	require.Equal(t, concat(ni, nr), prf(t, prfHMACSHA256).NonceKey(nil, ni, nr))
	require.Equal(t, concat(ni[:8], nr[:8]), prf(t, prfAES128XCBC).NonceKey(nil, ni, nr))
	require.Equal(t, concat(ni[:8], nr[:8]), prf(t, prfAES128CMAC).NonceKey(nil, ni, nr))
	require.Equal(t, []byte{1, 1, 2}, prf(t, prfAES128CMAC).NonceKey(nil, ni[:2], nr[:1]), "short nonces do not panic")
}

func TestPlusEndsAfter255Blocks(t *testing.T) {
	k := prf(t, prfHMACSHA1).Keyed([]byte("key"))
	require.NoError(t, k.Plus(make([]byte, 255*20), []byte("seed")))
	out := make([]byte, 255*20+1)
	require.ErrorIs(t, k.Plus(out, []byte("seed")), ErrPlusTooLong)
	require.Equal(t, make([]byte, len(out)), out)
}

func TestPRFUnknown(t *testing.T) {
	for _, id := range []uint16{0, 3, 9, 1024, 65535} {
		_, ok := PRFByID(id)
		require.False(t, ok, id)
	}
}

func TestKeyedPRFRedactsAndWipes(t *testing.T) {
	for _, p := range prfs {
		key := []byte("a very secret key")
		k := p.Keyed(key)
		before := k.Sum(nil, []byte("x"))
		j, err := json.Marshal(k)
		require.NoError(t, err)
		var log strings.Builder
		slog.New(slog.NewTextHandler(&log, nil)).Info("m", "k", k)
		for _, s := range []string{fmt.Sprintf("%v", k), fmt.Sprintf("%+v", k), fmt.Sprintf("%#v", k), fmt.Sprintf("%x", k), string(j), log.String()} {
			require.Contains(t, s, p.Name+"(key redacted)")
		}
		k.Wipe()
		require.NotEqual(t, before, k.Sum(nil, []byte("x")))
		require.Len(t, k.Sum(nil), p.Size)
	}
}

func TestPRFAllocations(t *testing.T) {
	for _, p := range prfs {
		k := p.Keyed(make([]byte, p.KeySize))
		seed, out, sum := make([]byte, 64), make([]byte, 5*p.Size), make([]byte, 0, p.Size)
		require.Zero(t, testing.AllocsPerRun(50, func() {
			_ = k.Plus(out, seed, seed)
			k.Sum(sum, seed)
		}), p.Name)
	}
}

func BenchmarkPRFPlus(b *testing.B) {
	for _, p := range prfs {
		b.Run(p.Name, func(b *testing.B) {
			b.ReportAllocs()
			k := p.Keyed(make([]byte, p.KeySize))
			const blocks = 7
			seed, out := make([]byte, 80), make([]byte, blocks*p.Size)
			for b.Loop() {
				_ = k.Plus(out, seed)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/blocks, "ns/block")
		})
	}
}
