package ikev2

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/hex"
	"encoding/json"
	"io"
	"math/big"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ikev2/message"
	"github.com/racoon3/racoon/internal/testpki"
)

// all are the hash functions that a peer with everything announces.
var all = []uint16{1, 2, 3, 4, 5}

// lax allows all hash functions, SHA-1 too.
var lax = SignatureOptions{Hashes: []message.HashAlgorithm{message.HashSHA256, message.HashSHA384, message.HashSHA512, message.HashIdentity, message.HashSHA1}}

var octets = []byte("the signed octets")

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	require.NoError(t, err)
	return b
}

func TestECDSA4754(t *testing.T) {
	raw, err := os.ReadFile("testdata/ecdsa_4754.json")
	require.NoError(t, err)
	var file struct {
		Vectors []struct{ Gwx, Gwy, R, S, Msg, Curve string }
	}
	require.NoError(t, json.Unmarshal(raw, &file))
	require.Len(t, file.Vectors, 3)
	curves := map[string]elliptic.Curve{"secp256r1": elliptic.P256(), "secp384r1": elliptic.P384(), "secp521r1": elliptic.P521()}
	for i, v := range file.Vectors {
		curve := curves[v.Curve]
		n := (curve.Params().BitSize + 7) / 8
		point := []byte{4}
		for _, c := range []string{v.Gwx, v.Gwy} {
			point = append(point, pad(unhex(t, c), n)...)
		}
		pub, err := ecdsa.ParseUncompressedPublicKey(curve, point)
		require.NoError(t, err)
		sig := append(pad(unhex(t, v.R), n), pad(unhex(t, v.S), n)...)
		method := uint8(9 + i)
		require.NoError(t, verifyAuth(pub, method, sig, nil, SignatureOptions{}, unhex(t, v.Msg)), v.Curve)
		require.Error(t, verifyAuth(pub, method, sig, nil, SignatureOptions{}, []byte("abd")))
		for j := range sig {
			sig[j] ^= 1
			require.Error(t, verifyAuth(pub, method, sig, nil, SignatureOptions{}, unhex(t, v.Msg)))
			sig[j] ^= 1
		}
	}
}

func pad(b []byte, n int) []byte { return append(make([]byte, n-len(b)), b...) }

// The AlgorithmIdentifiers that RFC 7427 Appendix A and RFC 8420 print, and
// what we write ourselves.
func TestAlgorithmIdentifier7427(t *testing.T) {
	for _, v := range []struct {
		name string
		der  string
		want signatureAlgorithm
		own  bool // we write the same octets
	}{
		{"A.1.1 sha1WithRSAEncryption", "300d06092a864886f70d0101050500", signatureAlgorithm{schemePKCS1, message.HashSHA1, 0}, true},
		{"A.1.2 sha256WithRSAEncryption", "300d06092a864886f70d01010b0500", signatureAlgorithm{schemePKCS1, message.HashSHA256, 0}, true},
		{"A.1.3 sha384WithRSAEncryption", "300d06092a864886f70d01010c0500", signatureAlgorithm{schemePKCS1, message.HashSHA384, 0}, true},
		{"A.1.4 sha512WithRSAEncryption", "300d06092a864886f70d01010d0500", signatureAlgorithm{schemePKCS1, message.HashSHA512, 0}, true},
		{"A.3.1 ecdsa-with-sha1", "300906072a8648ce3d0401", signatureAlgorithm{schemeECDSA, message.HashSHA1, 0}, true},
		{"A.3.2 ecdsa-with-sha256", "300a06082a8648ce3d040302", signatureAlgorithm{schemeECDSA, message.HashSHA256, 0}, true},
		{"A.3.3 ecdsa-with-sha384", "300a06082a8648ce3d040303", signatureAlgorithm{schemeECDSA, message.HashSHA384, 0}, true},
		{"A.3.4 ecdsa-with-sha512", "300a06082a8648ce3d040304", signatureAlgorithm{schemeECDSA, message.HashSHA512, 0}, true},
		{"A.4.1 RSASSA-PSS, empty parameters", "300d06092a864886f70d01010a3000", signatureAlgorithm{schemePSS, message.HashSHA1, 20}, true},
		{"A.4.2 RSASSA-PSS, default parameters written out", `303e 0609 2a86 4886 f70d 0101 0a30 31a0 0b30 0906 052b 0e03 021a 0500 a118 3016
			0609 2a86 4886 f70d 0101 0830 0906 052b 0e03 021a 0500 a203 0201 14a3 0302 0101`, signatureAlgorithm{schemePSS, message.HashSHA1, 20}, false},
		{"A.4.3 RSASSA-PSS, SHA-256", `3046 0609 2a86 4886 f70d 0101 0a30 39a0 0f30 0d06 0960 8648 0165 0304 0201 0500 a11c 301a 0609 2a86 4886 f70d 0101 0830
			0d06 0960 8648 0165 0304 0201 0500 a203 0201 20a3 0302 0101`, signatureAlgorithm{schemePSS, message.HashSHA256, 32}, false},
		{"RSASSA-PSS, SHA-256, default trailer left out", `3041 0609 2a86 4886 f70d 0101 0a30 34a0 0f30 0d06 0960 8648 0165 0304 0201 0500 a11c 301a 0609 2a86 4886 f70d 0101 0830
			0d06 0960 8648 0165 0304 0201 0500 a203 0201 20`, signatureAlgorithm{schemePSS, message.HashSHA256, 32}, true},
		{"RFC 8420 Ed25519", "300506032b6570", signatureAlgorithm{schemeEd25519, message.HashIdentity, 0}, true},
		{"RSA with absent parameters (RFC 4055 5)", "300b06092a864886f70d01010b", signatureAlgorithm{schemePKCS1, message.HashSHA256, 0}, false},
	} {
		got, err := parseSignatureAlgorithm(unhex(t, v.der))
		require.NoError(t, err, v.name)
		require.Equal(t, v.want, got, v.name)
		if v.own {
			der, err := got.identifier()
			require.NoError(t, err, v.name)
			require.Equal(t, unhex(t, v.der), der, v.name)
		}
	}
	for name, der := range map[string]string{
		"A.2.1 dsa-with-sha1":         "300906072a8648ce380403",
		"Ed448":                       "300506032b6571",
		"empty":                       "",
		"not a sequence":              "0500",
		"trailing octet":              "300506032b657000",
		"Ed25519 with NULL":           "300706032b65700500",
		"ECDSA with NULL":             "300c06082a8648ce3d0403020500",
		"RSA with a sequence":         "300d06092a864886f70d01010b3000",
		"RSA with NULL of one octet":  "300e06092a864886f70d01010b050100",
		"RSA with two NULLs":          "300f06092a864886f70d01010b05000500",
		"indefinite length":           "308006032b65700000",
		"long form of a short length": "30810506032b6570",
		"rsaEncryption":               "300d06092a864886f70d0101010500",
		"truncated":                   "300d06092a864886f70d010105",
	} {
		_, err := parseSignatureAlgorithm(unhex(t, der))
		require.Error(t, err, name)
	}
}

// remoteSigner stands for a token: nothing but the interface.
type remoteSigner struct {
	key   crypto.Signer
	calls int
}

func (s *remoteSigner) Public() crypto.PublicKey { return s.key.Public() }
func (s *remoteSigner) Sign(r io.Reader, d []byte, o crypto.SignerOpts) ([]byte, error) {
	s.calls++
	return s.key.Sign(r, d, o)
}

func TestSignAndVerify(t *testing.T) {
	pkcs1 := SignatureOptions{RSAPadding: RSAPKCS1}
	for _, v := range []struct {
		name   string
		key    testpki.KeyType
		peer   []uint16
		opt    SignatureOptions
		method message.AuthMethod
		alg    signatureAlgorithm // for method 14
		size   int                // of the data, 0: any
	}{
		{"RSA, PSS by default", testpki.RSA2048, all, SignatureOptions{}, 14, signatureAlgorithm{schemePSS, message.HashSHA256, 32}, 1 + 67 + 256},
		{"RSA, PKCS#1 v1.5 when wanted", testpki.RSA2048, all, pkcs1, 14, signatureAlgorithm{schemePKCS1, message.HashSHA256, 0}, 1 + 15 + 256},
		{"RSA, only what the peer has", testpki.RSA2048, []uint16{4}, SignatureOptions{}, 14, signatureAlgorithm{schemePSS, message.HashSHA512, 64}, 0},
		{"RSA, our order of preference", testpki.RSA2048, []uint16{2, 3}, SignatureOptions{Hashes: []message.HashAlgorithm{3, 2}}, 14, signatureAlgorithm{schemePSS, message.HashSHA384, 48}, 0},
		{"RSA, old peer", testpki.RSA2048, nil, lax, 1, signatureAlgorithm{}, 256},
		{"RSA-3072", testpki.RSA3072, all, SignatureOptions{}, 14, signatureAlgorithm{schemePSS, message.HashSHA256, 32}, 1 + 67 + 384},
		{"P-256", testpki.P256, all, SignatureOptions{}, 14, signatureAlgorithm{schemeECDSA, message.HashSHA256, 0}, 0},
		{"P-384", testpki.P384, all, SignatureOptions{}, 14, signatureAlgorithm{schemeECDSA, message.HashSHA384, 0}, 0},
		{"P-521", testpki.P521, all, SignatureOptions{}, 14, signatureAlgorithm{schemeECDSA, message.HashSHA512, 0}, 0},
		{"P-384, peer has SHA2-256 only", testpki.P384, []uint16{2}, SignatureOptions{}, 14, signatureAlgorithm{schemeECDSA, message.HashSHA256, 0}, 0},
		{"P-256, no common hash", testpki.P256, []uint16{1}, SignatureOptions{}, 9, signatureAlgorithm{}, 64},
		{"P-256, old peer", testpki.P256, nil, SignatureOptions{}, 9, signatureAlgorithm{}, 64},
		{"P-384, old peer", testpki.P384, nil, SignatureOptions{}, 10, signatureAlgorithm{}, 96},
		{"P-521, old peer", testpki.P521, nil, SignatureOptions{}, 11, signatureAlgorithm{}, 132},
		{"Ed25519", testpki.Ed25519, all, SignatureOptions{}, 14, signatureAlgorithm{schemeEd25519, message.HashIdentity, 0}, 1 + 7 + 64},
	} {
		t.Run(v.name, func(t *testing.T) {
			signer := &remoteSigner{key: testpki.Key(t, v.key, 0)}
			method, data, err := signAuth(signer, rand.Reader, v.peer, v.opt, octets)
			require.NoError(t, err)
			require.Equal(t, 1, signer.calls)
			require.Equal(t, v.method, message.AuthMethod(method))
			if v.size > 0 {
				require.Len(t, data, v.size)
			}
			if method == 14 {
				id, _, err := message.ParseDigitalSignature(data)
				require.NoError(t, err)
				alg, err := parseSignatureAlgorithm(id)
				require.NoError(t, err)
				require.Equal(t, v.alg, alg)
			}
			require.NoError(t, verifyAuth(signer.Public(), method, data, v.peer, v.opt, octets))
			require.Error(t, verifyAuth(signer.Public(), method, data, v.peer, v.opt, []byte("other octets")))
			require.Error(t, verifyAuth(testpki.Key(t, v.key, 1).Public(), method, data, v.peer, v.opt, octets), "another key of the kind")
			data[len(data)-1] ^= 1
			require.ErrorIs(t, verifyAuth(signer.Public(), method, data, v.peer, v.opt, octets), errSignature)
		})
	}
}

func TestSignRefuses(t *testing.T) {
	for name, v := range map[string]struct {
		key  testpki.KeyType
		peer []uint16
		opt  SignatureOptions
		says string
	}{
		"RSA, old peer, SHA-1 not named":    {testpki.RSA2048, nil, SignatureOptions{}, "name SHA1 among the allowed hashes"},
		"RSA, no common hash":               {testpki.RSA2048, []uint16{1, 6}, SignatureOptions{}, "the peer has SHA1, STREEBOG_256"},
		"Ed25519, old peer":                 {testpki.Ed25519, nil, SignatureOptions{}, "RFC 8420"},
		"Ed25519, peer without Identity":    {testpki.Ed25519, []uint16{2, 3, 4}, SignatureOptions{}, "needs the hash"},
		"old peer, old methods not allowed": {testpki.P256, nil, SignatureOptions{NoLegacyMethods: true}, "older methods are not allowed"},
		"P-256, SHA2-256 not allowed":       {testpki.P256, nil, SignatureOptions{Hashes: []message.HashAlgorithm{4}}, "not allowed"},
	} {
		_, _, err := signAuth(testpki.Key(t, v.key, 0), rand.Reader, v.peer, v.opt, octets)
		var se *SignatureError
		require.ErrorAs(t, err, &se, name)
		require.ErrorContains(t, err, v.says, name)
	}
	_, _, err := signAuth(nil, rand.Reader, all, SignatureOptions{}, octets)
	require.ErrorContains(t, err, "no private key")
	_, _, err = signAuth(badSigner{testpki.Key(t, testpki.P256, 0)}, rand.Reader, nil, SignatureOptions{}, octets)
	require.ErrorContains(t, err, "not a DER encoded signature")
	_, _, err = signAuth(badSigner{testpki.Key(t, testpki.RSA2048, 0)}, failingReader{}, all, SignatureOptions{}, octets)
	require.NoError(t, err, "what a signer returns for RSA is its business")
}

// badSigner returns r and s raw, as some tokens would like to.
type badSigner struct{ crypto.Signer }

func (badSigner) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return make([]byte, 64), nil
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestB05_MethodAndAlgorithmPolicy(t *testing.T) {
	rsaKey, ecKey, edKey := testpki.Key(t, testpki.RSA2048, 0), testpki.Key(t, testpki.P256, 0), testpki.Key(t, testpki.Ed25519, 0)
	announced := []uint16{2, 3, 4, 5}
	sign := func(k crypto.Signer, peer []uint16, opt SignatureOptions) (uint8, []byte) {
		m, data, err := signAuth(k, rand.Reader, peer, opt, octets)
		require.NoError(t, err)
		return m, data
	}
	refuse := func(pub crypto.PublicKey, method uint8, data []byte, opt SignatureOptions, says string) {
		t.Helper()
		err := verifyAuth(pub, method, data, announced, opt, octets)
		var se *SignatureError
		require.ErrorAs(t, err, &se)
		require.ErrorContains(t, err, says)
	}
	// A MAC where a signature is due, and a signature under another method.
	mac := bytes.Repeat([]byte{7}, 32)
	for _, m := range []uint8{1, 9, 10, 11, 14} {
		for _, pub := range []crypto.PublicKey{rsaKey.Public(), ecKey.Public(), edKey.Public()} {
			require.Error(t, verifyAuth(pub, m, mac, announced, lax, octets))
			require.Error(t, verifyAuth(pub, m, nil, announced, lax, octets))
		}
	}
	for _, m := range []uint8{0, 2, 3, 12, 13, 15, 255} {
		refuse(rsaKey.Public(), m, mac, SignatureOptions{}, "not a signature method")
	}
	_, data := sign(rsaKey, announced, SignatureOptions{})
	refuse(rsaKey.Public(), 1, data, lax, "does not verify")
	refuse(ecKey.Public(), 14, data, SignatureOptions{}, "needs an RSA key, the peer has a key on P-256")
	refuse(rsaKey.Public(), 9, mac, SignatureOptions{}, "needs a key on P-256, the peer has an RSA key of 2048 bits")
	refuse(ecKey.Public(), 1, data, SignatureOptions{}, "needs an RSA key")

	// Weaker than the policy.
	_, sha1 := sign(rsaKey, []uint16{1}, lax)
	refuse(rsaKey.Public(), 14, sha1, SignatureOptions{}, "the hash SHA1 is not allowed; allowed are SHA2-256, SHA2-384, SHA2-512, Identity")
	_, legacy := sign(rsaKey, nil, lax)
	require.NoError(t, verifyAuth(rsaKey.Public(), 1, legacy, announced, lax, octets))
	refuse(rsaKey.Public(), 1, legacy, SignatureOptions{}, "the hash SHA1 is not allowed")
	refuse(rsaKey.Public(), 1, legacy, SignatureOptions{NoLegacyMethods: true, Hashes: lax.Hashes}, "only RFC 7427")
	weak := testpki.Key(t, testpki.RSA1024, 0)
	_, data = sign(weak, announced, SignatureOptions{})
	refuse(weak.Public(), 14, data, SignatureOptions{}, "RSA key of 1024 bits, at least 2048 are wanted")
	require.NoError(t, verifyAuth(weak.Public(), 14, data, announced, SignatureOptions{MinRSABits: 1024}, octets))

	// A hash that was not announced, allowed or not.
	_, data = sign(rsaKey, []uint16{1}, lax)
	refuse(rsaKey.Public(), 14, data, lax, "the hash SHA1 was not announced; announced were SHA2-256, SHA2-384, SHA2-512, Identity")
	_, data = sign(ecKey, []uint16{2}, SignatureOptions{})
	require.NoError(t, verifyAuth(ecKey.Public(), 14, data, []uint16{2}, SignatureOptions{}, octets))
	require.ErrorContains(t, verifyAuth(ecKey.Public(), 14, data, nil, SignatureOptions{}, octets), "not announced")

	// Broken AlgorithmIdentifiers, and the signature bare.
	id, sig, err := message.ParseDigitalSignature(data)
	require.NoError(t, err)
	for name, bad := range map[string][]byte{
		"no identifier":            sig,
		"identifier of no octets":  append([]byte{0}, sig...),
		"longer than the data":     append([]byte{255}, sig...),
		"nothing after identifier": append([]byte{byte(len(id))}, id...),
		"unknown OID":              message.AppendDigitalSignature(nil, unhex(t, "300506032b6501"), sig),
		"octet after identifier":   message.AppendDigitalSignature(nil, append(bytes.Clone(id), 0), sig),
	} {
		require.Error(t, verifyAuth(ecKey.Public(), 14, bad, announced, SignatureOptions{}, octets), name)
		require.Error(t, verifyAuth(ecKey.Public(), 14, bad, announced, SignatureOptions{BareDigitalSignature: true}, octets), name)
	}
}

// Some FortiClient versions send method 14 without length and
// AlgorithmIdentifier: raw r and s, or a bare PKCS#1 v1.5 signature.
func TestBareDigitalSignatureQuirk(t *testing.T) {
	ecKey, rsaKey := testpki.Key(t, testpki.P256, 0), testpki.Key(t, testpki.RSA3072, 0)
	_, raw, err := signAuth(ecKey, rand.Reader, nil, SignatureOptions{}, octets)
	require.NoError(t, err)
	require.Len(t, raw, 64)
	bare, err := rsaKey.Sign(rand.Reader, digest(crypto.SHA256, octets), crypto.SHA256)
	require.NoError(t, err)
	quirk := SignatureOptions{BareDigitalSignature: true}
	for _, v := range []struct {
		pub crypto.PublicKey
		sig []byte
	}{{ecKey.Public(), raw}, {rsaKey.Public(), bare}} {
		require.Error(t, verifyAuth(v.pub, 14, v.sig, all, SignatureOptions{}, octets), "off by default")
		require.NoError(t, verifyAuth(v.pub, 14, v.sig, all, quirk, octets))
		require.Error(t, verifyAuth(v.pub, 14, v.sig, []uint16{3}, quirk, octets), "hash not announced")
		require.Error(t, verifyAuth(v.pub, 14, v.sig, all, quirk, []byte("others")))
	}
}

func TestB03_ECDSARange(t *testing.T) {
	for _, v := range []struct {
		key    testpki.KeyType
		method uint8
	}{{testpki.P256, 9}, {testpki.P384, 10}, {testpki.P521, 11}} {
		pub := testpki.Key(t, v.key, 0).Public().(*ecdsa.PublicKey)
		order := pub.Params().N
		n := (order.BitLen() + 7) / 8
		_, good, err := signAuth(testpki.Key(t, v.key, 0), rand.Reader, nil, SignatureOptions{}, octets)
		require.NoError(t, err)
		check := func(sig []byte) error { return verifyAuth(pub, v.method, sig, nil, SignatureOptions{}, octets) }
		require.NoError(t, check(good))
		one, minus := big.NewInt(1), new(big.Int).Sub(order, big.NewInt(1))
		bad := []*big.Int{new(big.Int), one, minus, order, new(big.Int).Add(order, one)}
		for _, x := range bad {
			for _, y := range bad {
				require.Error(t, check(append(x.FillBytes(make([]byte, n)), y.FillBytes(make([]byte, n))...)))
			}
			require.Error(t, check(append(x.FillBytes(make([]byte, n)), good[n:]...)))
			require.Error(t, check(append(bytes.Clone(good[:n]), x.FillBytes(make([]byte, n))...)))
		}
		// s and n-s are both valid by FIPS 186-5; nothing hangs on which.
		s := new(big.Int).SetBytes(good[n:])
		require.NoError(t, check(append(bytes.Clone(good[:n]), s.Sub(order, s).FillBytes(make([]byte, n))...)))
		// Other lengths, and the DER form, are not RFC 4754's.
		require.Error(t, check(good[1:]))
		require.Error(t, check(append([]byte{0}, good...)))
		require.Error(t, check(append(bytes.Clone(good), 0)))
		require.Error(t, check(append(append(bytes.Clone(good[:n]), 0), good[n:]...)), "the same numbers, s one octet longer")
		der, err := testpki.Key(t, v.key, 0).Sign(rand.Reader, digest(crypto.SHA512, octets), crypto.SHA512)
		require.NoError(t, err)
		require.Error(t, check(der))
	}
}

func TestB02_PSSParameters(t *testing.T) {
	k := testpki.Key(t, testpki.RSA2048, 0)
	sum := digest(crypto.SHA256, octets)
	sign := func(salt int) []byte {
		sig, err := k.Sign(rand.Reader, sum, &rsa.PSSOptions{Hash: crypto.SHA256, SaltLength: salt})
		require.NoError(t, err)
		return sig
	}
	verify := func(id, sig []byte) error {
		return verifyAuth(k.Public(), 14, message.AppendDigitalSignature(nil, id, sig), all, SignatureOptions{}, octets)
	}
	identifier := func(hash, mgf, salt, trailer string) []byte {
		hashes := map[string]string{"": "", "sha1": "300906052b0e03021a0500", "sha256": "300d06096086480165030402010500", "sha256 bare": "300b0609608648016503040201",
			"sha384": "300d06096086480165030402020500", "sha224": "300d06096086480165030402040500"}
		var p []byte
		if hash != "" {
			p = append(p, tlv(0xa0, unhex(t, hashes[hash]))...)
		}
		if mgf != "" {
			p = append(p, tlv(0xa1, tlv(0x30, append(unhex(t, "06092a864886f70d010108"), unhex(t, hashes[mgf])...)))...)
		}
		if salt != "" {
			p = append(p, tlv(0xa2, unhex(t, salt))...)
		}
		if trailer != "" {
			p = append(p, tlv(0xa3, unhex(t, trailer))...)
		}
		return tlv(0x30, append(unhex(t, "06092a864886f70d01010a"), tlv(0x30, p)...))
	}
	good := sign(32)
	require.NoError(t, verify(identifier("sha256", "sha256", "020120", ""), good))
	require.NoError(t, verify(identifier("sha256", "sha256", "020120", "020101"), good), "trailer field 1 written out")
	require.NoError(t, verify(identifier("sha256 bare", "sha256 bare", "020120", ""), good), "hash parameters absent")
	require.NoError(t, verify(identifier("sha256", "sha256", "", ""), sign(20)), "default salt length")
	require.NoError(t, verify(identifier("sha256", "sha256", "0202 00de", ""), sign(222)), "largest salt")

	for name, id := range map[string][]byte{
		"trailer field 2":           identifier("sha256", "sha256", "020120", "020102"),
		"trailer field not integer": identifier("sha256", "sha256", "020120", "040101"),
		"no mask: SHA-1":            identifier("sha256", "", "020120", ""),
		"mask with another hash":    identifier("sha256", "sha384", "020120", ""),
		"mask without hash":         tlvCut(identifier("sha256", "sha256", "020120", "")),
		"no hash: SHA-1":            identifier("", "sha256", "020120", ""),
		"hash not the signed one":   identifier("sha384", "sha384", "020120", ""),
		"hash unknown":              identifier("sha224", "sha224", "020120", ""),
		"salt shorter than said":    identifier("sha256", "sha256", "020121", ""),
		"salt longer than said":     identifier("sha256", "sha256", "02011f", ""),
		"salt said to be empty":     identifier("sha256", "sha256", "020100", ""),
		"salt negative":             identifier("sha256", "sha256", "0201ff", ""),
		"salt auto (-1)":            identifier("sha256", "sha256", "0201ff", ""),
		"salt larger than the key":  identifier("sha256", "sha256", "0202 0400", ""),
		"salt of 2 GiB":             identifier("sha256", "sha256", "0204 7fffffff", ""),
		"salt of 2^64":              identifier("sha256", "sha256", "0209 010000000000000000", ""),
		"salt not minimal":          identifier("sha256", "sha256", "0202 0020", ""),
		"salt not an integer":       identifier("sha256", "sha256", "040120", ""),
		"no parameters":             unhex(t, "300b06092a864886f70d01010a"),
		"NULL for parameters":       unhex(t, "300d06092a864886f70d01010a0500"),
		"fields out of order":       tlv(0x30, append(unhex(t, "06092a864886f70d01010a"), tlv(0x30, append(unhex(t, "a203020120"), tlv(0xa0, unhex(t, "300d06096086480165030402010500"))...))...)),
	} {
		require.Error(t, verify(id, good), name)
	}
	// A signature without salt verifies as such, and as nothing else.
	unsalted := unsaltedPSS(t, k.(*rsa.PrivateKey), sum)
	require.NoError(t, verify(identifier("sha256", "sha256", "020100", ""), unsalted))
	require.Error(t, verify(identifier("sha256", "sha256", "020120", ""), unsalted))
}

// tlvCut removes the MGF's hash: a constructed case for the parser.
func tlvCut(der []byte) []byte {
	i := bytes.Index(der, []byte{0xa1})
	mgf := tlv(0xa1, tlv(0x30, []byte{0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x08}))
	params := append(append(bytes.Clone(der[15:i]), mgf...), 0xa2, 3, 2, 1, 0x20)
	return tlv(0x30, append(bytes.Clone(der[2:13]), tlv(0x30, params)...))
}

func tlv(tag byte, content []byte) []byte {
	if len(content) < 128 {
		return append([]byte{tag, byte(len(content))}, content...)
	}
	return append([]byte{tag, 0x81, byte(len(content))}, content...)
}

// unsaltedPSS signs with an empty salt (RFC 8017 9.1.1), which crypto/rsa
// cannot be asked for.
func unsaltedPSS(t *testing.T, k *rsa.PrivateKey, sum []byte) []byte {
	t.Helper()
	n := k.Size()
	h := digest(crypto.SHA256, append(make([]byte, 8), sum...))
	db := make([]byte, n-len(h)-1)
	db[len(db)-1] = 1
	mask := make([]byte, 0, len(db))
	for c := byte(0); len(mask) < len(db); c++ {
		mask = append(mask, digest(crypto.SHA256, append(bytes.Clone(h), 0, 0, 0, c))...)
	}
	for i := range db {
		db[i] ^= mask[i]
	}
	db[0] &= 0x7f
	em := append(append(db, h...), 0xbc)
	s := new(big.Int).Exp(new(big.Int).SetBytes(em), k.D, k.N)
	return s.FillBytes(make([]byte, n))
}

func TestB04_Ed25519Keys(t *testing.T) {
	// With the neutral element as the key, R = [S]B verifies for S = 0 and
	// every message: the key must be refused before it is used.
	neutral := append([]byte{1}, make([]byte, 31)...)
	forged := append(bytes.Clone(neutral), make([]byte, 32)...)
	require.True(t, ed25519.Verify(neutral, octets, forged), "the forgery works on the bare primitive")
	data := message.AppendDigitalSignature(nil, unhex(t, "300506032b6570"), forged)
	require.ErrorContains(t, verifyAuth(ed25519.PublicKey(neutral), 14, data, all, SignatureOptions{}, octets), "small order")
	p1 := unhex(t, "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f") // p+1, also the neutral element
	require.ErrorContains(t, verifyAuth(ed25519.PublicKey(p1), 14, data, all, SignatureOptions{}, octets), "not canonical")

	// S + L verifies the same equation.
	k := testpki.Key(t, testpki.Ed25519, 0)
	_, good, err := signAuth(k, rand.Reader, all, SignatureOptions{}, octets)
	require.NoError(t, err)
	require.NoError(t, verifyAuth(k.Public(), 14, good, all, SignatureOptions{}, octets))
	l, _ := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
	s := good[len(good)-32:]
	sum := l.Add(l, new(big.Int).SetBytes(reversed(s)))
	copy(s, reversed(sum.FillBytes(make([]byte, 32))))
	require.ErrorIs(t, verifyAuth(k.Public(), 14, good, all, SignatureOptions{}, octets), errSignature)
}

func reversed(b []byte) []byte {
	r := make([]byte, len(b))
	for i, c := range b {
		r[len(b)-1-i] = c
	}
	return r
}

func TestSignatureOptionsValidate(t *testing.T) {
	require.NoError(t, SignatureOptions{}.validate())
	require.NoError(t, lax.validate())
	for _, o := range []SignatureOptions{{Hashes: []message.HashAlgorithm{}}, {Hashes: []message.HashAlgorithm{6}}, {MinRSABits: 512}, {MinRSABits: -1}, {MinRSABits: 9000}, {RSAPadding: 2}} {
		require.Error(t, o.validate())
	}
}

func FuzzVerifyAuth(f *testing.F) {
	keys := []crypto.Signer{testpki.Key(f, testpki.RSA2048, 0), testpki.Key(f, testpki.P256, 0), testpki.Key(f, testpki.P384, 0), testpki.Key(f, testpki.Ed25519, 0)}
	for i, k := range keys {
		for _, peer := range [][]uint16{nil, all} {
			if m, data, err := signAuth(k, rand.Reader, peer, lax, octets); err == nil {
				f.Add(uint8(i), m, data)
			}
		}
	}
	f.Fuzz(func(t *testing.T, key, method uint8, data []byte) {
		pub := keys[int(key)%len(keys)].Public()
		opt := lax
		opt.BareDigitalSignature = true
		if verifyAuth(pub, method, data, all, opt, octets) == nil {
			require.Error(t, verifyAuth(pub, method, data, all, opt, append([]byte{0}, octets...)))
		}
	})
}
