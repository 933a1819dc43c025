package ikev1

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/internal/quickmode"
	"github.com/racoon3/racoon/internal/secret"
	"github.com/racoon3/racoon/spd"
)

type hexBytes []byte

func (h *hexBytes) UnmarshalText(b []byte) (err error) {
	*h, err = hex.DecodeString(string(b))
	return err
}

func readJSON(t testing.TB, file string, v any) {
	t.Helper()
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, v))
}

func hashOf(t testing.TB, prf uint16) hashAlgorithm {
	t.Helper()
	h, ok := hashByPRF(prf)
	require.True(t, ok)
	return h
}

func aesCBC(bits uint16) spd.Transform {
	return spd.Transform{Type: spd.TransformENCR, ID: spd.EncrAESCBC, KeyLen: bits}
}

// B23: SKEYID and what hangs on it (RFC 2409 5) with the vectors of NIST's
// CAVS, for pre-shared keys and for signatures.
func TestB23_NISTKeyDerivation(t *testing.T) {
	for _, name := range []string{"psk", "dsa"} {
		var file struct {
			Vectors []struct {
				Group   struct{ Hash string }
				CookieI hexBytes `json:"CKY_I"`
				CookieR hexBytes `json:"CKY_R"`
				Ni, Nr  hexBytes
				Shared  hexBytes `json:"g^xy"`
				PSK     hexBytes `json:"pre-shared-key"`
				SKEYID  hexBytes
				D       hexBytes `json:"SKEYID_d"`
				A       hexBytes `json:"SKEYID_a"`
				E       hexBytes `json:"SKEYID_e"`
			}
		}
		readJSON(t, "testdata/nist-cavs-ike/ikev1_"+name+".subset.json", &file)
		require.Greater(t, len(file.Vectors), 20)
		for i, v := range file.Vectors {
			h := hashOf(t, map[string]uint16{"SHA-1": spd.PRFHMACSHA1, "SHA-256": spd.PRFHMACSHA256, "SHA-384": spd.PRFHMACSHA384,
				"SHA-512": spd.PRFHMACSHA512}[v.Group.Hash])
			skeyid := h.skeyidSignature(v.Ni, v.Nr, v.Shared)
			if name == "psk" {
				skeyid = h.skeyidPSK(v.PSK, v.Ni, v.Nr)
			}
			require.EqualValues(t, v.SKEYID, skeyid, "%s %d", name, i)
			k, err := derivePhase1Keys(h, aesCBC(128), skeyid, v.Shared, [16]byte(append(v.CookieI, v.CookieR...)))
			require.NoError(t, err)
			require.EqualValues(t, v.D, k.d, "%s %d", name, i)
			require.EqualValues(t, v.A, k.a, "%s %d", name, i)
			require.EqualValues(t, v.E, k.e, "%s %d", name, i)
		}
	}
}

// A Main Mode with RSA signatures, MD5 and 3DES: the one whose cipher key has
// to be expanded, and whose vector is cut.
func TestMainModeTrace(t *testing.T) {
	root := os.Getenv("RACOON_REFERENCE")
	if root == "" {
		t.Skip("RACOON_REFERENCE is not set")
	}
	var file struct {
		V1 struct {
			Gi, Gr, Gxy, Ni, Nr hexBytes
			CookieI             hexBytes `json:"cky_i"`
			CookieR             hexBytes `json:"cky_r"`
			SKEYID              hexBytes `json:"skeyid"`
			D                   hexBytes `json:"skeyid_d"`
			A                   hexBytes `json:"skeyid_a"`
			E                   hexBytes `json:"skeyid_e"`
			Key                 hexBytes `json:"enc_key"`
			IV                  hexBytes `json:"iv_cbc"`
		} `json:"ikev1"`
	}
	readJSON(t, filepath.Join(root, "vectors/openswan-ike-trace/openswan_traces.json"), &file)
	v := file.V1
	h := hashOf(t, spd.PRFHMACMD5)
	skeyid := h.skeyidSignature(v.Ni, v.Nr, v.Gxy)
	require.EqualValues(t, v.SKEYID, skeyid)
	des3 := spd.Transform{Type: spd.TransformENCR, ID: spd.Encr3DES}
	k, err := derivePhase1Keys(h, des3, skeyid, v.Gxy, [16]byte(append(v.CookieI, v.CookieR...)))
	require.NoError(t, err)
	require.EqualValues(t, v.D, k.d)
	require.EqualValues(t, v.A, k.a)
	require.EqualValues(t, v.E, k.e)
	require.EqualValues(t, v.Key, k.cipherKey)
	c, err := newMessageCipher(des3, k.cipherKey)
	require.NoError(t, err)
	iv := h.phase1IV(c.blockSize(), v.Gi, v.Gr)
	require.EqualValues(t, v.IV, iv[:8])
	require.Equal(t, initVector{}, initVector(append(make([]byte, 8), iv[8:]...)), "the rest of it is unused")
}

// RFC 2409 appendix B and RFC 2409 5.5, step by step.
func TestExpansion(t *testing.T) {
	h := hashOf(t, spd.PRFHMACSHA1)
	e := secret.Bytes("twenty octets of key")
	k1 := h.sum(e, []byte{0})
	k2 := h.sum(e, k1)
	k3 := h.sum(e, k2)
	ka := append(append(k1.Clone(), k2...), k3...)
	for _, n := range []int{21, 24, 32, 40, 41, 56} {
		require.EqualValues(t, ka[:n], h.expandKey(e, n), n)
	}
	require.EqualValues(t, e, h.expandKey(e, 20))
	require.EqualValues(t, e[:16], h.expandKey(e, 16))

	k := &phase1Keys{hash: h, d: e}
	ni, nr, shared := []byte("initiator's nonce"), []byte("responder's nonce"), []byte("g^xy")
	for _, s := range [][]byte{nil, shared} {
		seed := append(s[:len(s):len(s)], "\x03\x01\x02\x03\x04initiator's nonceresponder's nonce"...)
		k1 := h.sum(e, seed)
		k2 := h.sum(e, k1, seed)
		k3 := h.sum(e, k2, seed)
		want := append(append(k1.Clone(), k2...), k3...)
		for _, n := range []int{1, 20, 36, 60} {
			require.EqualValues(t, want[:n], k.keymat(n, s, spd.ProtoESP, 0x01020304, ni, nr))
		}
	}
	require.Nil(t, k.keymat(0, nil, spd.ProtoESP, 1, ni, nr))
	require.NotEqual(t, k.keymat(20, nil, spd.ProtoESP, 256, ni, nr), k.keymat(20, nil, spd.ProtoAH, 256, ni, nr))
}

// One direction's keys, for every kind of SA: lengths, order, and that the data
// plane takes them.
func TestChildSA(t *testing.T) {
	h := hashOf(t, spd.PRFHMACSHA256)
	k := &phase1Keys{hash: h, d: h.sum([]byte("k"))}
	ni, nr := []byte("ni"), []byte("nr")
	for _, c := range []struct {
		p           spd.Protocol
		s           string
		encr, integ int
	}{
		{spd.ProtoESP, "aes256-sha256", 32, 32},
		{spd.ProtoESP, "3des-sha1-esn", 24, 20},
		{spd.ProtoESP, "null-md5", 0, 16},
		{spd.ProtoESP, "aes128gcm16-esn", 20, 0},
		{spd.ProtoESP, "aes256ccm8", 35, 0},
		{spd.ProtoESP, "aes192ctr-sha384", 28, 48},
		{spd.ProtoESP, "aes128gmac", 20, 0},
		{spd.ProtoAH, "sha512", 0, 64},
		{spd.ProtoAH, "aes256gmac-esn", 0, 36},
	} {
		p := spd.MustParseProposal(c.p, c.s)
		sa := quickmode.NewSA(p, 0xabcdef01, k.keymatOf(nil, ni, nr))
		require.Equal(t, c.p, sa.Protocol)
		require.Equal(t, p.ESN(), sa.ESN, c.s)
		require.EqualValues(t, 0xabcdef01, sa.SPI)
		require.Len(t, sa.EncrKey, c.encr, c.s)
		require.Len(t, sa.IntegKey, c.integ, c.s)
		all := k.keymat(c.encr+c.integ, nil, c.p, 0xabcdef01, ni, nr)
		require.Equal(t, all, append(sa.EncrKey.Clone(), sa.IntegKey...), c.s)
	}
}

// Keys do not show, and are gone when wiped.
func TestPhase1KeysRedacted(t *testing.T) {
	h := hashOf(t, spd.PRFHMACSHA256)
	k, err := derivePhase1Keys(h, aesCBC(256), h.skeyidPSK([]byte("psk"), []byte("ni"), []byte("nr")), []byte("shared"), [16]byte{1})
	require.NoError(t, err)
	c, err := newMessageCipher(aesCBC(256), k.cipherKey)
	require.NoError(t, err)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		require.Equal(t, "[ISAKMP SA keys]", fmt.Sprintf(verb, k))
		require.Equal(t, "[ISAKMP cipher]", fmt.Sprintf(verb, c))
	}
	d, key := k.d, k.cipherKey
	k.settle()
	require.Zero(t, k.skeyid[0])
	require.NotEqual(t, make(secret.Bytes, 32), d)
	k.wipe()
	require.Equal(t, make(secret.Bytes, 32), d)
	require.Equal(t, make(secret.Bytes, 32), key)
	(*phase1Keys)(nil).wipe()

	for _, bad := range []spd.Transform{{Type: spd.TransformENCR, ID: 2}, aesCBC(0), aesCBC(512), {Type: spd.TransformENCR, ID: spd.EncrAESGCM16, KeyLen: 128}} {
		_, err := derivePhase1Keys(h, bad, []byte("x"), nil, [16]byte{})
		require.ErrorContains(t, err, "cannot protect an ISAKMP SA")
	}
	for _, prf := range []uint16{0, spd.PRFAES128XCBC, spd.PRFAES128CMAC, 99} {
		_, ok := hashByPRF(prf)
		require.False(t, ok)
	}
	for _, attr := range []isakmp.HashAlgorithm{0, isakmp.HashTiger, 7, isakmp.HashSM3} {
		_, ok := hashByAttribute(attr)
		require.False(t, ok)
	}
}

func BenchmarkDerivePhase1Keys(b *testing.B) {
	h := hashOf(b, spd.PRFHMACSHA256)
	shared, skeyid := make([]byte, 256), make(secret.Bytes, 32)
	b.Run("derive", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := derivePhase1Keys(h, aesCBC(256), skeyid, shared, [16]byte{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("raw-3-hmac", func(b *testing.B) {
		b.ReportAllocs()
		k := h.prf.Keyed(skeyid)
		out := make([]byte, 0, 32)
		for b.Loop() {
			for range 3 {
				out = k.Sum(out[:0], shared, skeyid)
			}
		}
	})
}

func BenchmarkKeymat(b *testing.B) {
	h := hashOf(b, spd.PRFHMACSHA256)
	k := &phase1Keys{hash: h, d: make(secret.Bytes, 32)}
	nonce := make([]byte, 32)
	b.Run("keymat-64", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			k.keymat(64, nil, spd.ProtoESP, 256, nonce, nonce)
		}
	})
	b.Run("raw-2-hmac", func(b *testing.B) {
		b.ReportAllocs()
		f := h.prf.Keyed(k.d)
		out := make([]byte, 0, 32)
		for b.Loop() {
			for range 2 {
				out = f.Sum(out[:0], nonce, nonce)
			}
		}
	})
}

// The hashes of Base Mode with signatures, part by part; racoon's own are in
// TestRacoonSignatures.
func TestBaseModeSignatureHash(t *testing.T) {
	h := hashOf(t, spd.PRFHMACSHA1)
	in := phase1Hash{gxi: []byte("gxi"), gxr: []byte("gxr"), cookies: [16]byte([]byte("CKY-I..)CKY-R..)")), sai: []byte("SAi_b"), idi: []byte("IDii_b"), idr: []byte("IDir_b")}
	mac := func(nonces, text string) secret.Bytes {
		key := sha1.Sum([]byte(nonces))
		m := hmac.New(sha1.New, key[:])
		m.Write([]byte(text))
		return m.Sum(nil)
	}
	require.Equal(t, mac("Nr_bNi_b", "gxiCKY-I..)CKY-R..)SAi_bIDii_b"), in.baseHashISignature(h, []byte("Ni_b"), []byte("Nr_b")))
	require.Equal(t, mac("Ni_bNr_b", "gxigxrCKY-I..)CKY-R..)SAi_bIDii_b"), in.baseHashRSignature(h, []byte("Ni_b"), []byte("Nr_b")))
}
