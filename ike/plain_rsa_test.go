package ike

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"fmt"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// rfc4034Key is the key of the DNSKEY record in RFC 4034 2.3, in the form of RFC
// 3110: exponent 3.
const rfc4034Key = "AQPSKmynfzW4kyBv015MUG2DeIQ3Cbl+BBZH4b/0PY1kxkmvHjcZc8nokfzj31GajIQKY+5CptLr3buXA10hWqTkF7H6RfoRqXQeogmMHfpftf6zMv1LyBUgia7za6ZEzOJBOztyvhjL742iU/TpPSEDhm2SNKLijfUppn1UaNvv4w=="

func TestPlainRSAPublic(t *testing.T) {
	keys, err := ParsePlainRSA([]byte("# anybody\n: PUB 0s" + rfc4034Key + "\n10.0.0.1 : PUB 0s" + rfc4034Key + "\n10.0.0.0/8 2001:db8::1 :PUB 0s" + rfc4034Key +
		"\nany any:PUB 0s" + rfc4034Key + " ::1: PUB 0s" + strings.TrimRight(rfc4034Key, "=")))
	require.NoError(t, err)
	require.Len(t, keys, 5)
	n := new(big.Int)
	n.SetString("d22a6ca77f35b893206fd35e4c506d8378843709b97e041647e1bff43d8d64c649af1e371973c9e891fce3df519a8c840a63ee42a6d2ebddbb97035d215aa4e417b1fa45fa11a9741ea2098c1dfa5fb5feb332fd4bc8152089aef36ba644cce2413b3b72be18cbef8da253f4e93d2103866d9234a2e28df529a67d5468dbefe3", 16)
	for _, k := range keys {
		require.Equal(t, 3, k.Public.E)
		require.Equal(t, n, k.Public.N)
		require.Nil(t, k.Private)
	}
	require.False(t, keys[0].Remote.IsValid())
	require.Equal(t, netip.MustParsePrefix("10.0.0.1/32"), keys[1].Remote)
	require.Equal(t, netip.MustParsePrefix("10.0.0.0/8"), keys[2].Local)
	require.Equal(t, netip.MustParsePrefix("2001:db8::1/128"), keys[2].Remote)
	require.False(t, keys[3].Local.IsValid() || keys[3].Remote.IsValid())
	require.Equal(t, netip.MustParsePrefix("::1/128"), keys[4].Remote)
	for i, want := range []string{": PUB 0s", "10.0.0.1 : PUB 0s", "10.0.0.0/8 2001:db8::1 : PUB 0s"} {
		b, err := keys[i].Append(nil)
		require.NoError(t, err)
		require.Equal(t, want+rfc4034Key+"\n", string(b))
	}
	// The longer form of the exponent's length, and hexadecimal digits.
	long, err := ParsePlainRSA(fmt.Appendf(nil, ": PUB 0x000003010001%x", n.Bytes()))
	require.NoError(t, err)
	require.Equal(t, 65537, long[0].Public.E)
	require.Equal(t, n, long[0].Public.N)
}

// TestPlainRSAPrivate: what is printed is read, with and without what follows
// from the rest, and signs.
func TestPlainRSAPrivate(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	require.NoError(t, err)
	text, err := (&PlainRSAKey{Private: key, Remote: netip.MustParsePrefix("192.0.2.0/24")}).Append([]byte("# a comment\n"))
	require.NoError(t, err)
	lines := strings.SplitAfter(string(text), "\n")
	sum := sha256.Sum256([]byte("x"))
	for _, drop := range []string{"", "Coefficient", "Exponent1", "Prime1", "Prime|Exponent1|Exponent2|Coefficient"} {
		var left []string
		for _, l := range lines {
			gone := false
			for _, d := range strings.Split(drop, "|") {
				gone = gone || d != "" && strings.HasPrefix(strings.TrimSpace(l), d)
			}
			if !gone {
				left = append(left, l)
			}
		}
		keys, err := ParsePlainRSA([]byte(strings.Join(left, "")))
		require.NoError(t, err, drop)
		require.Len(t, keys, 1)
		require.Equal(t, netip.MustParsePrefix("192.0.2.0/24"), keys[0].Remote)
		require.True(t, key.Equal(keys[0].Private) || drop != "" && key.PublicKey.Equal(keys[0].Public))
		sig, err := keys[0].Private.Sign(rand.Reader, sum[:], crypto.SHA256)
		require.NoError(t, err)
		require.NoError(t, rsa.VerifyPKCS1v15(&key.PublicKey, crypto.SHA256, sum[:], sig))
	}

	dir := t.TempDir()
	private, public := filepath.Join(dir, "private"), filepath.Join(dir, "public")
	require.NoError(t, os.WriteFile(private, text, 0o600))
	require.NoError(t, os.WriteFile(public, []byte(strings.TrimPrefix(lines[1], "# ")), 0o644))
	keys, err := LoadPlainRSA(private)
	require.NoError(t, err)
	require.True(t, key.Equal(keys[0].Private))
	keys, err = LoadPlainRSA(public)
	require.NoError(t, err)
	require.True(t, key.PublicKey.Equal(keys[0].Public))
	credential, err := LoadCredential("", private)
	require.NoError(t, err)
	require.True(t, key.Equal(credential.Signer))
	for _, file := range []string{public, private} {
		k, err := LoadPublicKey(file)
		require.NoError(t, err)
		require.True(t, key.PublicKey.Equal(k))
	}
	_, err = LoadCredential("", public)
	require.ErrorContains(t, err, "public keys only")
	_, err = LoadTrust(public)
	require.Error(t, err)
	if runtime.GOOS != "windows" {
		require.NoError(t, os.Chmod(private, 0o640))
		_, err = LoadPlainRSA(private)
		require.ErrorIs(t, err, ErrFilePermissions)
		_, err = LoadPlainRSA(private, AnyPermissions)
		require.NoError(t, err)
	}

	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		k := PlainRSAKey{Private: key, Public: &key.PublicKey, Remote: netip.MustParsePrefix("192.0.2.0/24")}
		require.Equal(t, "192.0.2.0/24 : private RSA key of 1024 bits", fmt.Sprintf(format, k))
	}
}

func TestPlainRSAErrors(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	require.NoError(t, err)
	b, err := (&PlainRSAKey{Private: key}).Append(nil)
	require.NoError(t, err)
	whole := string(b)
	for text, want := range map[string]string{
		"":                             "no RSA key in the file",
		"# only a comment":             "no RSA key in the file",
		"10.0.0.1":                     "line 1: expected two addresses at most, and a colon",
		"\nhost : PUB 0s":              "line 2: expected two addresses at most",
		"::1 ::1 ::1 : PUB 0s":         "line 1: expected two addresses at most",
		": PSK secret":                 "line 1: expected RSA or PUB",
		": PUB":                        "line 1: expected a public key",
		": PUB 0s!":                    "line 1: the public key is damaged",
		": PUB 0sAQM=":                 "line 1: the public key is cut short",
		": PUB 0x0103ff":               "line 1: the modulus is no odd number",
		": PUB 0s" + rfc4034Key[:40]:   "line 1: the modulus is no odd number",
		": PUB 0s/w==":                 "line 1: the public key is cut short",
		": RSA\nModulus":               "line 2: expected {",
		": RSA { Modulus: 0x5":         "line 1: a private key without its closing brace",
		": RSA { Modulo: 0x5 }":        "line 1: expected Modulus,",
		": RSA { Modulus 0x5 }":        "line 1: Modulus without a colon",
		": RSA { Modulus: 5 }":         "line 1: Modulus is no hexadecimal number",
		": RSA { Modulus: 0x5 Modulus": "line 1: Modulus twice",
		": RSA { }":                    "line 1: a private key without Modulus",
		strings.Replace(whole, "PublicExponent: 0x010001", "PublicExponent: 0x010003", 1):                               "the numbers are not those of one key",
		strings.Replace(whole, "PublicExponent: 0x010001", "PublicExponent: 0x010000", 1):                               "the public exponent is no odd number",
		strings.Replace(strings.Replace(whole, "Prime1: 0x", "#", 1), "PrivateExponent: 0x", "PrivateExponent: 0x1", 1): "the exponents do not belong to the modulus",
	} {
		_, err := ParsePlainRSA([]byte(text))
		require.ErrorContains(t, err, want, text)
		require.NotContains(t, err.Error(), key.D.Text(16)[:8])
	}
	require.Contains(t, whole, "PublicExponent: 0x010001")
	path := filepath.Join(t.TempDir(), "key")
	require.NoError(t, os.WriteFile(path, []byte(": PSK x"), 0o600))
	_, err = LoadPlainRSA(path)
	require.EqualError(t, err, path+":1: expected RSA or PUB")
	require.NoError(t, os.WriteFile(path, []byte(": RSA {"), 0o600))
	_, err = LoadCredential("", path)
	require.EqualError(t, err, path+": private key: line 1: a private key without its closing brace")
}

func FuzzParsePlainRSA(f *testing.F) {
	f.Add([]byte(": PUB 0s" + rfc4034Key))
	f.Add([]byte("10.0.0.1 ::1 : RSA { Modulus: 0x5 PublicExponent: 0x3 # c\n PrivateExponent: 0x3 }"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) > 4096 {
			return // large numbers take their time
		}
		_ = isPlainRSA(text)
		keys, err := ParsePlainRSA(text)
		if err != nil {
			return
		}
		for i := range keys {
			b, err := keys[i].Append(nil)
			require.NoError(t, err)
			again, err := ParsePlainRSA(b)
			require.NoError(t, err)
			require.True(t, keys[i].Public.Equal(again[0].Public))
		}
	})
}
