package ikev1

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/asn1"
	"math/big"
	"slices"
	"testing"

	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/internal/testpki"
	"github.com/racoon3/racoon/internal/trust"
	"github.com/racoon3/racoon/spd"
	"github.com/stretchr/testify/require"
)

// What each method means: who signs, who is the client of XAuth, and what is
// left of it in phase 1.
func TestAuthMethods(t *testing.T) {
	type meaning struct {
		base               AuthMethod
		signsI, signsR     bool
		clientI, clientR   bool
		hybrid, hasVariant bool
	}
	want := map[AuthMethod]meaning{
		AuthPSK:           {base: AuthPSK},
		AuthDSS:           {base: AuthDSS, signsI: true, signsR: true},
		AuthRSA:           {base: AuthRSA, signsI: true, signsR: true},
		AuthECDSA256:      {base: AuthECDSA256, signsI: true, signsR: true},
		AuthECDSA384:      {base: AuthECDSA384, signsI: true, signsR: true},
		AuthECDSA521:      {base: AuthECDSA521, signsI: true, signsR: true},
		AuthHybridInitRSA: {base: AuthRSA, signsR: true, clientI: true, hybrid: true, hasVariant: true},
		AuthHybridRespRSA: {base: AuthRSA, signsI: true, clientR: true, hybrid: true, hasVariant: true},
		AuthHybridInitDSS: {base: AuthDSS, signsR: true, clientI: true, hybrid: true, hasVariant: true},
		AuthHybridRespDSS: {base: AuthDSS, signsI: true, clientR: true, hybrid: true, hasVariant: true},
		AuthXAuthInitPSK:  {base: AuthPSK, clientI: true, hasVariant: true},
		AuthXAuthRespPSK:  {base: AuthPSK, clientR: true, hasVariant: true},
		AuthXAuthInitDSS:  {base: AuthDSS, signsI: true, signsR: true, clientI: true, hasVariant: true},
		AuthXAuthRespDSS:  {base: AuthDSS, signsI: true, signsR: true, clientR: true, hasVariant: true},
		AuthXAuthInitRSA:  {base: AuthRSA, signsI: true, signsR: true, clientI: true, hasVariant: true},
		AuthXAuthRespRSA:  {base: AuthRSA, signsI: true, signsR: true, clientR: true, hasVariant: true},
	}
	for m, w := range want {
		require.True(t, m.Supported(), m)
		require.Equal(t, w.base, m.Base(), m)
		require.Equal(t, []bool{w.signsI, w.signsR}, []bool{m.Signs(true), m.Signs(false)}, m)
		require.Equal(t, []bool{w.clientI, w.clientR}, []bool{m.Client(true), m.Client(false)}, m)
		require.Equal(t, w.hybrid, m.Hybrid(), m)
		require.Equal(t, w.clientI || w.clientR, m.XAuth(), m)
		if w.hasVariant {
			v, ok := w.base.WithXAuth(w.hybrid, w.clientI)
			require.True(t, ok)
			require.Equal(t, m, v)
		}
	}
	require.Len(t, authMethods, len(want))
	for i := range uint32(1 << 16) {
		if m := AuthMethod(i); want[m].base == 0 {
			require.False(t, m.Supported() || m.XAuth() || m.Hybrid() || m.Signs(true) || m.Signs(false), i)
		}
	}
	_, ok := AuthPSK.WithXAuth(true, true)
	require.False(t, ok)
	_, ok = AuthECDSA256.WithXAuth(false, true)
	require.False(t, ok)
	require.Equal(t, "XAUTHInitPreShared", AuthXAuthInitPSK.String())

	// The hash of a signature is tied to DSS and ECDSA, that of a HASH payload
	// is not (RFC 2409 5.1, draft-ietf-ipsec-isakmp-hybrid-auth-05 4.2).
	md5 := hashOf(t, spd.PRFHMACMD5)
	for m, attr := range map[AuthMethod]isakmp.HashAlgorithm{AuthPSK: isakmp.HashMD5, AuthRSA: isakmp.HashMD5, AuthDSS: isakmp.HashSHA,
		AuthECDSA256: isakmp.HashSHA256, AuthECDSA384: isakmp.HashSHA384, AuthECDSA521: isakmp.HashSHA512, AuthHybridRespDSS: isakmp.HashSHA} {
		require.Equal(t, attr, m.hash(md5, true).attr, m)
	}
	require.Equal(t, isakmp.HashMD5, AuthHybridInitDSS.hash(md5, true).attr)
	require.Equal(t, isakmp.HashSHA, AuthHybridInitDSS.hash(md5, false).attr)
}

// Sign and verify with every method and hash; nothing else verifies.
func TestSignatures(t *testing.T) {
	keys := map[AuthMethod]testpki.KeyType{AuthRSA: testpki.RSA2048, AuthDSS: testpki.DSA, AuthECDSA256: testpki.P256, AuthECDSA384: testpki.P384,
		AuthECDSA521: testpki.P521, AuthXAuthInitRSA: testpki.RSA2048, AuthHybridRespDSS: testpki.DSA}
	sizes := map[AuthMethod]int{AuthRSA: 256, AuthDSS: 40, AuthECDSA256: 64, AuthECDSA384: 96, AuthECDSA521: 132, AuthXAuthInitRSA: 256, AuthHybridRespDSS: 40}
	for m, kt := range keys {
		key := testpki.Key(t, kt, 0)
		for _, negotiated := range hashAlgorithms {
			h := m.hash(hashOf(t, negotiated.prf), true)
			hash := h.sum([]byte("SKEYID"), []byte("all that is signed"))
			sig, err := signHash(key, rand.Reader, m, hash)
			require.NoError(t, err, m)
			require.Len(t, sig, sizes[m], m)
			require.NoError(t, verifyHash(key.Public(), m, hash, sig, SignatureOptions{}), m)

			bad := func(hash, sig []byte, pub crypto.PublicKey, m AuthMethod) {
				t.Helper()
				var e *SignatureError
				require.ErrorAs(t, verifyHash(pub, m, hash, sig, SignatureOptions{}), &e)
				require.Equal(t, m, e.Method)
			}
			other := slices.Clone(hash)
			other[0] ^= 1
			bad(other, sig, key.Public(), m)
			for _, i := range []int{0, len(sig) / 2, len(sig) - 1} {
				s := slices.Clone(sig)
				s[i] ^= 1
				bad(hash, s, key.Public(), m)
			}
			bad(hash, sig[1:], key.Public(), m)
			bad(hash, append([]byte{0}, sig...), key.Public(), m)
			bad(hash, append(slices.Clone(sig), 0), key.Public(), m)
			bad(hash, nil, key.Public(), m)
			bad(hash, make([]byte, len(sig)), key.Public(), m)
			bad(hash, bytes.Repeat([]byte{0xff}, len(sig)), key.Public(), m)
			bad(hash, sig, testpki.Key(t, kt, 1).Public(), m)
			for o := range keys {
				if o.Base() != m.Base() {
					bad(hash, sig, key.Public(), o)
				}
			}
			bad(hash, sig, key.Public(), AuthPSK)
		}
	}
}

// The signatures of RFC 4754 8 over "abc", whose digest takes the place of the
// HASH.
func TestRFC4754(t *testing.T) {
	var file struct {
		Vectors []struct{ Gwx, Gwy, R, S, Msg, Curve string }
	}
	readJSON(t, "testdata/ecdsa_4754.json", &file)
	require.Len(t, file.Vectors, 3)
	curves := map[string]elliptic.Curve{"secp256r1": elliptic.P256(), "secp384r1": elliptic.P384(), "secp521r1": elliptic.P521()}
	for i, v := range file.Vectors {
		curve := curves[v.Curve]
		n := (curve.Params().BitSize + 7) / 8
		fixed := func(hex string) []byte { return new(big.Int).SetBytes(unhex(t, hex)).FillBytes(make([]byte, n)) }
		pub, err := ecdsa.ParseUncompressedPublicKey(curve, slices.Concat([]byte{4}, fixed(v.Gwx), fixed(v.Gwy)))
		require.NoError(t, err)
		m := AuthECDSA256 + AuthMethod(i)
		h := m.signatureHash().New()
		h.Write(unhex(t, v.Msg))
		sig := slices.Concat(fixed(v.R), fixed(v.S))
		require.NoError(t, verifyHash(pub, m, h.Sum(nil), sig, SignatureOptions{}), v.Curve)
		h.Write([]byte{0})
		require.ErrorIs(t, verifyHash(pub, m, h.Sum(nil), sig, SignatureOptions{}), errSignature)
	}
}

func pkcs1(k *rsa.PrivateKey, em []byte) []byte {
	m := new(big.Int).SetBytes(em)
	return m.Exp(m, k.D, k.N).FillBytes(make([]byte, k.Size()))
}

// B01: what is not exactly 00 01 ff..ff 00 HASH is refused, even if the owner of
// the key made it.
func TestB01_RSASignatures(t *testing.T) {
	k := testpki.Key(t, testpki.RSA2048, 0).(*rsa.PrivateKey)
	hash := hashOf(t, spd.PRFHMACSHA1).sum([]byte("k"), []byte("x"))
	block := func(head []byte, pad int, tail ...[]byte) []byte {
		return slices.Concat(head, bytes.Repeat([]byte{0xff}, pad), slices.Concat(tail...))
	}
	n := k.Size()
	good := block([]byte{0, 1}, n-3-20, []byte{0}, hash)
	require.Len(t, good, n)
	require.NoError(t, verifyHash(k.Public(), AuthRSA, hash, pkcs1(k, good), SignatureOptions{}))
	signed, err := signHash(k, rand.Reader, AuthRSA, hash)
	require.NoError(t, err)
	require.Equal(t, signed, pkcs1(k, good), "RFC 2409 5.1: no name of the hash function")

	digestInfo := append([]byte{0x30, 0x21, 0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 0x05, 0x00, 0x04, 0x14}, hash...)
	for name, em := range map[string][]byte{
		"DigestInfo":         block([]byte{0, 1}, n-3-35, []byte{0}, digestInfo),
		"block type 2":       block([]byte{0, 2}, n-3-20, []byte{0}, hash),
		"block type 0":       block([]byte{0, 0}, n-3-20, []byte{0}, hash),
		"short padding":      block([]byte{0, 1}, 8, []byte{0}, hash, make([]byte, n-3-8-20)),
		"octets behind":      block([]byte{0, 1}, n-3-20-1, []byte{0}, hash, []byte{0}),
		"other padding":      slices.Concat([]byte{0, 1}, bytes.Repeat([]byte{0xfe}, n-3-20), []byte{0}, hash),
		"no separator":       block([]byte{0, 1}, n-2-20, hash),
		"shorter hash":       block([]byte{0, 1}, n-3-19, []byte{0}, hash[1:]),
		"longer hash":        block([]byte{0, 1}, n-3-21, []byte{0}, hash, []byte{1}),
		"hash of nothing":    block([]byte{0, 1}, n-3, []byte{0}),
		"only the hash":      append(make([]byte, n-20), hash...),
		"two separate zeros": block([]byte{0, 1}, n-4-20, []byte{0, 0}, hash),
	} {
		require.Len(t, em, n, name)
		require.ErrorIs(t, verifyHash(k.Public(), AuthRSA, hash, pkcs1(k, em), SignatureOptions{}), errSignature, name)
	}
	over := new(big.Int).Add(new(big.Int).SetBytes(signed), k.N)
	for name, sig := range map[string][]byte{"zero": make([]byte, n), "one": append(make([]byte, n-1), 1), "s plus n": over.Bytes(), "n": k.N.Bytes(), "empty": nil} {
		require.Error(t, verifyHash(k.Public(), AuthRSA, hash, sig, SignatureOptions{}), name)
	}
	// e = 3: a cube root of a block with a free tail.
	e3 := &rsa.PublicKey{N: k.N, E: 3}
	forged := block([]byte{0, 1}, 8, []byte{0}, hash, make([]byte, n-3-8-20))
	root := cubeRoot(new(big.Int).SetBytes(forged))
	require.ErrorIs(t, verifyHash(e3, AuthRSA, hash, root.FillBytes(make([]byte, n)), SignatureOptions{}), errSignature)
}

func cubeRoot(x *big.Int) *big.Int {
	lo, hi := new(big.Int), new(big.Int).Lsh(big.NewInt(1), uint(x.BitLen()/3+1))
	for lo.Cmp(hi) < 0 {
		mid := new(big.Int).Add(lo, hi)
		mid.Rsh(mid, 1)
		if new(big.Int).Exp(mid, big.NewInt(3), nil).Cmp(x) < 0 {
			lo = mid.Add(mid, big.NewInt(1))
		} else {
			hi = mid
		}
	}
	return lo
}

// What is small is accepted where the configuration says so.
func TestMinRSABits(t *testing.T) {
	k := testpki.Key(t, testpki.RSA1024, 0)
	hash := make([]byte, 20)
	sig, err := signHash(k, rand.Reader, AuthRSA, hash)
	require.NoError(t, err)
	require.ErrorContains(t, verifyHash(k.Public(), AuthRSA, hash, sig, SignatureOptions{}), "RSA key of 1024 bits, at least 2048 are wanted")
	require.NoError(t, verifyHash(k.Public(), AuthRSA, hash, sig, SignatureOptions{MinRSABits: 1024}))
	require.NoError(t, SignatureOptions{MinRSABits: 1024}.validate())
	for _, n := range []int{-1, 1, 1023, 8193} {
		require.ErrorContains(t, SignatureOptions{MinRSABits: n}.validate(), "MinRSABits")
	}
}

// A signer that returns something else than a signature is found out.
func TestSignerRefused(t *testing.T) {
	der := func(r, s *big.Int) []byte {
		b, err := asn1.Marshal(struct{ R, S *big.Int }{r, s})
		require.NoError(t, err)
		return b
	}
	n := elliptic.P256().Params().N
	one := big.NewInt(1)
	for name, sig := range map[string][]byte{"empty": nil, "zero": der(new(big.Int), one), "negative": der(one, big.NewInt(-1)), "order": der(n, one), "tail": append(der(one, one), 0)} {
		_, err := trust.FixedSignature(sig, n)
		require.ErrorContains(t, err, "not a DER encoded signature", name)
	}
	sig, err := trust.FixedSignature(der(one, one), n)
	require.NoError(t, err)
	require.Equal(t, slices.Concat(make([]byte, 31), []byte{1}, make([]byte, 31), []byte{1}), sig, "fixed length")

	_, err = signHash(nil, rand.Reader, AuthRSA, make([]byte, 20))
	require.ErrorContains(t, err, "RSA signatures: no private key")
	p256 := testpki.Key(t, testpki.P256, 0)
	_, err = signHash(p256, rand.Reader, AuthRSA, make([]byte, 20))
	require.ErrorContains(t, err, "needs an RSA key, got a key on P-256")
	_, err = signHash(p256, rand.Reader, AuthECDSA384, make([]byte, 48))
	require.ErrorContains(t, err, "needs a key on P-384, got a key on P-256")
	_, err = signHash(p256, rand.Reader, AuthECDSA256, make([]byte, 20))
	require.ErrorContains(t, err, "hash of 20 octets, want 32 of SHA-256")
	_, err = signHash(testpki.Key(t, testpki.DSA, 0), rand.Reader, AuthRSA, make([]byte, 20))
	require.ErrorContains(t, err, "got a DSA key of 1024 bits")
	_, err = signHash(p256, rand.Reader, AuthMethod(isakmp.AuthRSAEncryption), make([]byte, 20))
	require.ErrorContains(t, err, "not a signature method")

	require.Equal(t, AuthRSA, MethodOfKey(testpki.Key(t, testpki.RSA2048, 0).Public()))
	require.Equal(t, AuthECDSA256, MethodOfKey(p256.Public()))
	require.Equal(t, AuthECDSA384, MethodOfKey(testpki.Key(t, testpki.P384, 0).Public()))
	require.Equal(t, AuthECDSA521, MethodOfKey(testpki.Key(t, testpki.P521, 0).Public()))
	require.Zero(t, MethodOfKey(testpki.Key(t, testpki.DSA, 0).Public()), "only where it is named")
	require.Zero(t, MethodOfKey(testpki.Key(t, testpki.Ed25519, 0).Public()))
	require.Zero(t, MethodOfKey(&ecdsa.PublicKey{}))
	require.ErrorContains(t, wrongKey("a key", &ecdsa.PublicKey{}), "no curve")
}
