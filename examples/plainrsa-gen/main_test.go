package main

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
)

func gen(t *testing.T, args ...string) (status int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	status = run(args, &o, &e)
	return status, o.String(), e.String()
}

// TestKeys: keys are read back as package ike reads them, and sign.
func TestKeys(t *testing.T) {
	dir := t.TempDir()
	sum := sha256.Sum256([]byte("x"))
	for _, x := range []struct {
		name, exponent string
		e              int
	}{{"default", "65537", 65537}, {"three", "3", 3}, {"hex", "0x11", 17}} {
		private, public := filepath.Join(dir, x.name+".key"), filepath.Join(dir, x.name+".pub")
		status, out, errs := gen(t, "-b1024", "-e", x.exponent, "-f", private)
		require.Zero(t, status, errs)
		require.Empty(t, out)
		c, err := ike.LoadCredential("", private)
		require.NoError(t, err)
		k := c.Signer.(*rsa.PrivateKey)
		require.Equal(t, x.e, k.E)
		require.Equal(t, 1024, k.N.BitLen())
		status, out, errs = gen(t, "-pi", private, "-f", public)
		require.Zero(t, status, errs)
		require.Empty(t, out)
		verifier, err := ike.LoadPublicKey(public)
		require.NoError(t, err)
		sig, err := k.Sign(rand.Reader, sum[:], crypto.SHA256)
		require.NoError(t, err)
		require.NoError(t, rsa.VerifyPKCS1v15(verifier.(*rsa.PublicKey), crypto.SHA256, sum[:], sig))
		_, err = ike.LoadPlainRSA(private)
		require.NoError(t, err, "its permissions are fit")
		if runtime.GOOS != "windows" {
			info, err := os.Stat(private)
			require.NoError(t, err)
			require.EqualValues(t, 0o600, info.Mode())
		}
		before, err := os.ReadFile(private)
		require.NoError(t, err)
		status, _, errs = gen(t, "-b1024", "-f", private)
		require.Equal(t, failed, status)
		require.Contains(t, errs, "exists")
		after, err := os.ReadFile(private)
		require.NoError(t, err)
		require.Equal(t, before, after)
	}
}

// TestForm: as racoon's tool writes it.
func TestForm(t *testing.T) {
	status, out, _ := gen(t, "-b1024", "-e3")
	require.Zero(t, status)
	require.Regexp(t, `^# : PUB 0sAQ[A-P][A-Za-z0-9+/]+=*
: RSA	\{
	# RSA 1024 bits
	# pubkey=0sAQ[A-Za-z0-9+/]+=*
	Modulus: 0x[0-9a-f]{256}
	PublicExponent: 0x03
	PrivateExponent: 0x[0-9a-f]+
	Prime1: 0x[0-9a-f]{128}
	Prime2: 0x[0-9a-f]{128}
	Exponent1: 0x[0-9a-f]+
	Exponent2: 0x[0-9a-f]+
	Coefficient: 0x[0-9a-f]+
  \}
$`, out)
}

// TestConvert: PEM becomes plain.
func TestConvert(t *testing.T) {
	k, err := rsa.GenerateKey(rand.Reader, 1024)
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "key")
	write := func(kind string, der []byte) {
		require.NoError(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
	}
	write("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(k))
	status, out, errs := gen(t, "-i", file)
	require.Zero(t, status, errs)
	keys, err := ike.ParsePlainRSA([]byte(out))
	require.NoError(t, err)
	require.True(t, k.Equal(keys[0].Private))
	der, err := x509.MarshalPKIXPublicKey(&k.PublicKey)
	require.NoError(t, err)
	write("PUBLIC KEY", der)
	status, public, errs := gen(t, "-i", file)
	require.Zero(t, status, errs)
	require.True(t, strings.HasPrefix(public, ": PUB 0sAwEAA"), public)
	require.Contains(t, out, public[:len(public)-1])

	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	der, err = x509.MarshalPKCS8PrivateKey(other)
	require.NoError(t, err)
	write("PRIVATE KEY", der)
	status, _, errs = gen(t, "-i", file)
	require.Equal(t, failed, status)
	require.Contains(t, errs, "not RSA")
}

func TestErrors(t *testing.T) {
	for args, want := range map[string]string{
		"-b 512": "a modulus has 1024 to 16384 bits", "-b 1025": "a multiple of 8", "-b x": "a modulus has", "-e 4": "odd number", "-e 1": "odd number", "-e 2147483649": "odd number",
		"x": "is no option", "-q": "no option -q", "-i x -b 2048": "for a new key", "-f": "-f without its argument",
	} {
		status, _, errs := gen(t, strings.Fields(args)...)
		require.Equal(t, misuse, status, args)
		require.Contains(t, errs, want)
		require.Contains(t, errs, "usage: plainrsa-gen")
	}
	status, out, _ := gen(t, "-h")
	require.Zero(t, status)
	require.Equal(t, usage, out)
	status, _, errs := gen(t, "-i", "/nonexistent")
	require.Equal(t, failed, status)
	require.Contains(t, errs, "/nonexistent: ")
}
