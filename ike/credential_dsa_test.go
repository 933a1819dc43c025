package ike_test

import (
	"crypto"
	"crypto/dsa" //lint:ignore SA1019 IKEv1 has DSS signatures (RFC 2409 5.1)
	"crypto/rand"
	"encoding/asn1"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"testing"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/testpki"
	"github.com/stretchr/testify/require"
)

// The same key in every form that is read, and a signature that OpenSSL made
// with it.
func TestLoadDSA(t *testing.T) {
	dir := t.TempDir()
	files := []string{"testdata/dsa/pkcs8.pem", "testdata/dsa/openssl.pem"}
	for i, f := range files[:2] {
		b, err := os.ReadFile(f)
		require.NoError(t, err)
		block, _ := pem.Decode(b)
		der := filepath.Join(dir, fmt.Sprint(i))
		require.NoError(t, os.WriteFile(der, block.Bytes, 0o600))
		files = append(files, der)
	}
	pub, err := ike.LoadPublicKey("testdata/dsa/public.pem")
	require.NoError(t, err)
	theirs, err := hex.DecodeString("302c021414812ce3ea2e64ffca69d997f3dfe900fb0ca35d02147dc9dc2b1abb93ab791239d18696f23f18c6241a")
	require.NoError(t, err)
	digest := []byte("twenty octets of HAS")
	for _, f := range files {
		c, err := ike.LoadCredential("", f)
		require.NoError(t, err, f)
		require.True(t, ike.SamePublicKey(pub, c.Signer.Public()), f)
		require.NotContains(t, fmt.Sprintf("%v %+v %#v %x", c.Signer, c.Signer, c.Signer, c.Signer), fmt.Sprintf("%x", 0x141d57f1))
		j, err := json.Marshal(c.Signer)
		require.NoError(t, err)
		require.Equal(t, `"[DSA private key]"`, string(j))

		ours, err := c.Signer.Sign(rand.Reader, digest, crypto.SHA1)
		require.NoError(t, err)
		for _, sig := range [][]byte{theirs, ours} {
			var rs struct{ R, S *big.Int }
			_, err := asn1.Unmarshal(sig, &rs)
			require.NoError(t, err)
			require.True(t, dsa.Verify(pub.(*dsa.PublicKey), digest, rs.R, rs.S))
			require.False(t, dsa.Verify(pub.(*dsa.PublicKey), digest[1:], rs.R, rs.S))
		}
		_, err = c.Signer.Sign(rand.Reader, digest, crypto.SHA256)
		require.ErrorContains(t, err, "want 32")
	}
	require.NoError(t, (&ike.Trust{RawKeys: []ike.RawKey{{Key: pub}}}).Validate())
}

// A certificate of a DSA key goes with that key only.
func TestCredentialDSA(t *testing.T) {
	ca := testpki.NewRoot(t, testpki.Spec{Subject: "root", CA: true, Key: testpki.RSA2048})
	a := ca.Issue(t, testpki.Spec{Subject: "a", Key: testpki.DSA})
	require.IsType(t, &dsa.PublicKey{}, a.PublicKey)
	require.NoError(t, a.CheckSignatureFrom(ca.Certificate))
	require.NoError(t, (&ike.Credential{Signer: a.Key, Certificates: a.Chain()}).Validate())
	other := testpki.Key(t, testpki.DSA, 1)
	require.ErrorContains(t, (&ike.Credential{Signer: other, Certificates: a.Chain()}).Validate(), "not that of the certificate")
	require.False(t, ike.SamePublicKey(a.PublicKey, ca.PublicKey))
	require.False(t, ike.SamePublicKey(ca.PublicKey, a.PublicKey))
	require.False(t, ike.SamePublicKey(&dsa.PublicKey{}, &dsa.PublicKey{}))
}

// Keys that are damaged are refused, and do not cost much.
func TestDSARefused(t *testing.T) {
	_, err := ike.NewDSASigner(nil)
	require.Error(t, err)
	_, err = ike.NewDSASigner(&dsa.PrivateKey{})
	require.ErrorContains(t, err, "missing")
	c, err := ike.LoadCredential("", "testdata/dsa/openssl.pem")
	require.NoError(t, err)
	pub := c.Signer.Public().(*dsa.PublicKey)
	wrong := &dsa.PrivateKey{PublicKey: *pub, X: big.NewInt(5)}
	_, err = ike.NewDSASigner(wrong)
	require.ErrorContains(t, err, "does not belong")
	huge := *wrong
	huge.P = new(big.Int).Lsh(pub.P, 8192)
	_, err = ike.NewDSASigner(&huge)
	require.ErrorContains(t, err, "9216 bits")

	dir := t.TempDir()
	whole, err := os.ReadFile("testdata/dsa/pkcs8.pem")
	require.NoError(t, err)
	block, _ := pem.Decode(whole)
	for name, change := range map[string]func(b []byte) []byte{
		"cut":    func(b []byte) []byte { return b[:len(b)-3] },
		"no OID": func(b []byte) []byte { b[12]++; return b },
	} {
		b := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: change(append([]byte(nil), block.Bytes...))})
		file := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(file, b, 0o600))
		_, err := ike.LoadCredential("", file)
		require.ErrorContains(t, err, file, name)
	}
}
