package ikev2

import (
	"crypto"
	"crypto/x509"
	"encoding/json"
	"io/fs"
	"strings"
	"testing"

	"github.com/c2sp/wycheproof"
	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ikev2/message"
)

type wycheproofGroup struct {
	KeySize      int
	Sha, MgfSha  string
	SLen         int
	PublicKeyAsn string
	PublicKeyDer string
	Tests        []struct {
		TcID             int
		Comment          string
		Msg, Sig, Result string
		Flags            []string
	}
}

var wycheproofHashes = map[string]message.HashAlgorithm{"SHA-1": message.HashSHA1, "SHA-256": message.HashSHA256, "SHA-384": message.HashSHA384, "SHA-512": message.HashSHA512}

func wycheproofGroups(t *testing.T, file string) []wycheproofGroup {
	t.Helper()
	raw, err := fs.ReadFile(wycheproof.TestVectors, file)
	require.NoError(t, err)
	var f struct{ TestGroups []wycheproofGroup }
	require.NoError(t, json.Unmarshal(raw, &f))
	require.NotEmpty(t, f.TestGroups)
	return f.TestGroups
}

func wycheproofFiles(t *testing.T, pattern string) []string {
	t.Helper()
	files, err := fs.Glob(wycheproof.TestVectors, pattern)
	require.NoError(t, err)
	require.NotEmpty(t, files)
	return files
}

// tally counts what was seen, so that a silently empty run fails.
type tally struct{ valid, invalid int }

// run verifies all of a group through verifyAuth. data makes the AUTH data of
// a signature.
func (n *tally) run(t *testing.T, file string, g wycheproofGroup, pub crypto.PublicKey, method uint8, opt SignatureOptions, data func([]byte) []byte) {
	t.Helper()
	for _, tc := range g.Tests {
		err := verifyAuth(pub, method, data(unhex(t, tc.Sig)), all, opt, unhex(t, tc.Msg))
		switch tc.Result {
		case "valid":
			n.valid++
			require.NoError(t, err, "%s: %d %s %v", file, tc.TcID, tc.Comment, tc.Flags)
		case "invalid":
			n.invalid++
			require.Error(t, err, "%s: %d %s %v", file, tc.TcID, tc.Comment, tc.Flags)
		}
	}
}

func digital(t *testing.T, alg signatureAlgorithm) func([]byte) []byte {
	t.Helper()
	id, err := alg.identifier()
	require.NoError(t, err)
	return func(sig []byte) []byte { return message.AppendDigitalSignature(nil, id, sig) }
}

func bare(sig []byte) []byte { return sig }

func TestB01_WycheproofRSASignature(t *testing.T) {
	var n tally
	for _, file := range wycheproofFiles(t, "rsa_signature_*_test.json") {
		for _, g := range wycheproofGroups(t, file) {
			hash, ok := wycheproofHashes[g.Sha]
			if !ok {
				continue
			}
			pub, err := x509.ParsePKCS1PublicKey(unhex(t, g.PublicKeyAsn))
			require.NoError(t, err)
			n.run(t, file, g, pub, 14, lax, digital(t, signatureAlgorithm{scheme: schemePKCS1, hash: hash}))
			// Method 1 does not say which hash: only one may be allowed here, or the
			// vectors signed with another one would be right.
			n.run(t, file, g, pub, 1, SignatureOptions{Hashes: []message.HashAlgorithm{hash}}, bare)
		}
	}
	require.Greater(t, n.valid, 100)
	require.Greater(t, n.invalid, 4000)
}

func TestB02_WycheproofRSAPSS(t *testing.T) {
	var n tally
	mixed := 0
	for _, file := range wycheproofFiles(t, "rsa_pss_*_test.json") {
		for _, g := range wycheproofGroups(t, file) {
			hash, ok := wycheproofHashes[g.Sha]
			if !ok {
				continue
			}
			pub, err := x509.ParsePKCS1PublicKey(unhex(t, g.PublicKeyAsn))
			require.NoError(t, err)
			data := digital(t, signatureAlgorithm{scheme: schemePSS, hash: hash, salt: g.SLen})
			if g.MgfSha != g.Sha {
				// Masked with another hash than our identifier says.
				for _, tc := range g.Tests {
					mixed++
					require.Error(t, verifyAuth(pub, 14, data(unhex(t, tc.Sig)), all, lax, unhex(t, tc.Msg)), "%s: %d", file, tc.TcID)
				}
				continue
			}
			n.run(t, file, g, pub, 14, lax, data)
		}
	}
	require.Greater(t, n.valid, 900)
	require.Greater(t, n.invalid, 500)
	require.NotZero(t, mixed)
}

func TestB03_WycheproofECDSA(t *testing.T) {
	var n tally
	methods := map[string]uint8{"secp256r1SHA-256": 9, "secp384r1SHA-384": 10, "secp521r1SHA-512": 11}
	for _, curve := range []string{"secp256r1", "secp384r1", "secp521r1"} {
		for _, file := range wycheproofFiles(t, "ecdsa_"+curve+"_sha*_test.json") {
			for _, g := range wycheproofGroups(t, file) {
				hash, ok := wycheproofHashes[g.Sha]
				if !ok {
					continue
				}
				pub, err := x509.ParsePKIXPublicKey(unhex(t, g.PublicKeyDer))
				require.NoError(t, err)
				if !strings.Contains(file, "p1363") {
					n.run(t, file, g, pub, 14, lax, digital(t, signatureAlgorithm{scheme: schemeECDSA, hash: hash}))
				} else if m := methods[curve+g.Sha]; m != 0 {
					n.run(t, file, g, pub, m, lax, bare)
				}
			}
		}
	}
	require.Greater(t, n.valid, 1500)
	require.Greater(t, n.invalid, 2000)
}

func TestB04_WycheproofEd25519(t *testing.T) {
	var n tally
	for _, g := range wycheproofGroups(t, "ed25519_test.json") {
		pub, err := x509.ParsePKIXPublicKey(unhex(t, g.PublicKeyDer))
		require.NoError(t, err)
		n.run(t, "ed25519_test.json", g, pub, 14, lax, digital(t, signatureAlgorithm{scheme: schemeEd25519, hash: message.HashIdentity}))
	}
	require.Equal(t, tally{88, 63}, n)
}
