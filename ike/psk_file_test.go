package ike

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// secretFile writes a file that only its owner may read, long enough ago that
// a later change shows.
func secretFile(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secrets")
	writeSecret(t, path, text, time.Now().Add(-time.Hour))
	return path
}

func writeSecret(t testing.TB, path, text string, at time.Time) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	require.NoError(t, os.Chtimes(path, at, at))
}

const samplePSK = `# IPv4/v6 addresses
192.0.2.1	of the first gateway
2001:DB8::1     0x68657861
  ` + `
# USER_FQDN
alice@Example.org  hers # all of it
# FQDN
GW.example.org	two  blanks` + "\t" + `
sales          of a group
10.0.0.9       0xCAfe
*              anybody's
`

// TestPSKFile has the form of ipsec-tools' psk.txt.
func TestPSKFile(t *testing.T) {
	f, err := LoadPSKFile(secretFile(t, samplePSK))
	require.NoError(t, err)
	for id, want := range map[string]string{
		"192.0.2.1":          "of the first gateway",
		"2001:db8:0::1":      "hexa",
		"alice@example.org":  "hers # all of it",
		"gw.EXAMPLE.org":     "two  blanks\t",
		"keyid:sales":        "of a group",
		"fqdn:sales":         "of a group",
		"10.0.0.9":           "\xca\xfe",
		"Alice@example.org":  "anybody's", // the local part has its case
		"192.0.2.2":          "anybody's",
		"keyid:*":            "anybody's",
		"C=CH, O=lab, CN=gw": "anybody's",
		"keyid:192.0.2.1":    "anybody's", // no address, whatever it says
		"fqdn:192.0.2.1":     "anybody's",
	} {
		c, err := f.Credential(context.Background(), Identity{}, mustID(t, id))
		require.NoError(t, err, id)
		require.Equal(t, want, string(c.PSK), id)
		require.Equal(t, want == "anybody's", c.Fallback, "%v: the line of * is for those that have none", id)
		require.NoError(t, c.Validate())
	}
}

func TestPSKFileWithoutAnybody(t *testing.T) {
	f, err := LoadPSKFile(secretFile(t, "192.0.2.1 by address\nalice hers\n"))
	require.NoError(t, err)
	_, err = f.Credential(context.Background(), mustID(t, "gw"), mustID(t, "bob"))
	require.ErrorIs(t, err, ErrNoCredential, "so that whoever asks goes on with the address")
	require.ErrorContains(t, err, "no credential for gw with bob")
	c, err := f.Credential(context.Background(), mustID(t, "gw"), AddrIdentity(netip.MustParseAddr("::ffff:192.0.2.1")))
	require.NoError(t, err)
	require.Equal(t, "by address", string(c.PSK))
}

func TestPSKFilePassword(t *testing.T) {
	f, err := LoadPSKFile(secretFile(t, "* anybody's\nalice@example.org hers\n"))
	require.NoError(t, err)
	secret, err := f.Password("alice@example.org")
	require.NoError(t, err)
	require.True(t, secret.Equal([]byte("hers")))
	_, err = f.Password("bob")
	require.ErrorIs(t, err, ErrNoCredential, `"*" is no password of everybody`)
	_, err = f.Password("*")
	require.ErrorIs(t, err, ErrNoCredential)
}

// C24: errors name file and line, and show no secret.
func TestC24_PSKFileErrors(t *testing.T) {
	for text, want := range map[string]string{
		"192.0.2.1 good\n\n192.0.2.2\n": ":3: an identity without a secret",
		"192.0.2.1   \n":                ":1: an identity without a secret",
		" 192.0.2.1 hunter2\n":          ":1: the line begins with a blank",
		"a 0xhunter2\n":                 ":1: a secret that begins with 0x",
		"a 0x123\n":                     ":1: a secret that begins with 0x",
		"a 0x\n":                        ":1: a secret that begins with 0x",
		"a 0x1234 \n":                   ":1: a secret that begins with 0x",
		"a " + strings.Repeat("hunter2", 200) + "\n": ":1: the line has 1402 octets, at most 1023",
		"a hunter2\nb x\na hunter3\n":                `:3: "a" has another secret already, in line 1`,
		"A.org hunter2\na.ORG hunter3\n":             `:2: "a.ORG" has another secret already, in line 1`,
		"* hunter2\n* hunter3\n":                     `:2: "*" has another secret`,
		"a\x00b hunter2\n":                           ":1: the identity has control characters",
		strings.Repeat("#\n", 10_000) + "a\n":        ":10001: an identity without a secret",
	} {
		path := secretFile(t, text)
		_, err := LoadPSKFile(path)
		require.ErrorContains(t, err, path+want)
		require.NotContains(t, err.Error(), "unter")
		var fe *FileError
		require.ErrorAs(t, err, &fe)
	}
	// Twice the same is no contradiction; neither is the end without a newline,
	// nor that of another system.
	f, err := LoadPSKFile(secretFile(t, "a x\r\na x\nb last"))
	require.NoError(t, err)
	c, err := f.Credential(context.Background(), Identity{}, mustID(t, "a"))
	require.NoError(t, err)
	require.Equal(t, "x", string(c.PSK))
	c, err = f.Credential(context.Background(), Identity{}, mustID(t, "b"))
	require.NoError(t, err)
	require.Equal(t, "last", string(c.PSK))

	_, err = LoadPSKFile(filepath.Join(t.TempDir(), "none"))
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = LoadPSKFile(t.TempDir())
	require.ErrorContains(t, err, "not a regular file")
	_, err = LoadPSKFile(secretFile(t, strings.Repeat("#", maxPSKFile+1)))
	require.ErrorContains(t, err, "at most 4194304 are read")
}

// C26: files that others may read or change are not used.
func TestC26_SecretFilePermissions(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no permission bits")
	}
	for mode, ok := range map[os.FileMode]bool{0o600: true, 0o400: true, 0o700: true, 0o640: false, 0o604: false, 0o620: false, 0o602: false, 0o610: false} {
		path := secretFile(t, "a hunter2\n")
		require.NoError(t, os.Chmod(path, mode))
		for _, load := range []func() error{
			func() error { _, err := LoadPSKFile(path); return err },
			func() error { _, err := LoadKeyFile(path); return err },
		} {
			err := load()
			if ok {
				require.NoError(t, err, mode)
				continue
			}
			require.ErrorIs(t, err, ErrFilePermissions, mode)
			require.ErrorContains(t, err, path)
			require.ErrorContains(t, err, fmt.Sprintf("permissions are %04o", mode))
		}
		_, err := LoadPSKFile(path, AnyPermissions)
		require.NoError(t, err)
		_, err = LoadKeyFile(path, AnyPermissions)
		require.NoError(t, err)
	}
	// Hashes may be read by the file's group.
	for mode, ok := range map[os.FileMode]bool{0o600: true, 0o640: true, 0o440: true, 0o644: false, 0o660: false, 0o641: false} {
		path := secretFile(t, "a:{PLAIN}hunter2\n")
		require.NoError(t, os.Chmod(path, mode))
		_, err := LoadUserFile(path)
		require.Equal(t, !ok, errors.Is(err, ErrFilePermissions), "%o: %v", mode, err)
		_, err = LoadUserFile(path, AnyPermissions)
		require.NoError(t, err)
	}
	if os.Geteuid() == 0 {
		path := secretFile(t, "a hunter2\n")
		require.NoError(t, os.Chown(path, 12345, 0))
		_, err := LoadPSKFile(path)
		require.ErrorIs(t, err, ErrFilePermissions)
		require.ErrorContains(t, err, "belongs to user 12345")
	}
}

func TestPSKFileIsReadAgain(t *testing.T) {
	path := secretFile(t, "a first\n")
	f, err := LoadPSKFile(path)
	require.NoError(t, err)
	get := func() (string, error) {
		c, err := f.Credential(context.Background(), Identity{}, mustID(t, "a"))
		if err != nil {
			return "", err
		}
		return string(c.PSK), nil
	}
	was := time.Now().Add(-30 * time.Minute)
	writeSecret(t, path, "a other\n", was) // as long as before
	s, err := get()
	require.NoError(t, err)
	require.Equal(t, "other", s)

	// A change within the file system's clock: same size, same time.
	now := time.Now()
	writeSecret(t, path, "a third\n", now)
	s, _ = get()
	require.Equal(t, "third", s)
	writeSecret(t, path, "a forth\n", now)
	s, _ = get()
	require.Equal(t, "forth", s)

	writeSecret(t, path, "b\n", was)
	for range 2 {
		_, err = get()
		require.ErrorContains(t, err, path+":1: an identity without a secret")
	}
	require.Error(t, f.Reload())
	require.NoError(t, os.Remove(path))
	_, err = get()
	require.ErrorIs(t, err, os.ErrNotExist)
	writeSecret(t, path, "a again\n", was)
	require.NoError(t, f.Reload())
	s, err = get()
	require.NoError(t, err)
	require.Equal(t, "again", s)
	if runtime.GOOS != "windows" {
		require.NoError(t, os.Chmod(path, 0o644))
		_, err = get()
		require.ErrorIs(t, err, ErrFilePermissions, "a file that is opened to others is not trusted any more")
	}
}

// TestKeyFile has the form of racoon2: the newline is part of the key.
func TestKeyFile(t *testing.T) {
	c, err := LoadKeyFile(secretFile(t, "  a key, 0x no hex # no comment\n"))
	require.NoError(t, err)
	require.Equal(t, "  a key, 0x no hex # no comment\n", string(c.PSK))
	got, err := c.Source()(context.Background(), Identity{}, mustID(t, "gw"))
	require.NoError(t, err)
	require.Equal(t, c, got)
	c, err = LoadKeyFile(secretFile(t, "\x00\xff\n\x00"))
	require.NoError(t, err)
	require.Equal(t, "\x00\xff\n\x00", string(c.PSK))
	_, err = LoadKeyFile(secretFile(t, ""))
	require.ErrorContains(t, err, "the file is empty")
}

// requireNoSecret prints v in every way and looks for a secret.
func requireNoSecret(t testing.TB, v any, secret string) {
	t.Helper()
	var log bytes.Buffer
	for _, l := range []*slog.Logger{slog.New(slog.NewTextHandler(&log, nil)), slog.New(slog.NewJSONHandler(&log, nil))} {
		l.Info("x", "v", v, slog.Group("g", "v", v), "slice", []any{v})
	}
	out := log.String()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		out += fmt.Sprintf(verb, v) + fmt.Sprintf(verb, struct{ V any }{v}) + fmt.Sprintf(verb, []any{&v})
	}
	numbers := strings.Trim(fmt.Sprint([]byte(secret)), "[]")
	for _, form := range []string{secret, fmt.Sprintf("%x", secret), fmt.Sprintf("%X", secret), numbers,
		strings.ReplaceAll(fmt.Sprintf("%#v", []byte(secret))[7:], "}", "")} {
		require.NotContains(t, out, form, "%T", v)
	}
}

func TestSecretsOfFilesAreNotPrinted(t *testing.T) {
	path := secretFile(t, "a hunter2\n* hunter2\n")
	f, err := LoadPSKFile(path)
	require.NoError(t, err)
	c, err := f.Credential(context.Background(), Identity{}, mustID(t, "a"))
	require.NoError(t, err)
	k, err := LoadKeyFile(path)
	require.NoError(t, err)
	for _, v := range []any{f, *c, c, *k, k, f.Credential, k.Source()} {
		requireNoSecret(t, v, "hunter2")
	}
	require.Equal(t, "pre-shared keys of "+path, fmt.Sprint(f))
}

func FuzzPSKFile(f *testing.F) {
	f.Add(samplePSK)
	f.Fuzz(func(t *testing.T, text string) {
		table := &pskTable{names: make(map[string]pskEntry), ids: make(map[Identity]pskEntry)}
		for i, line := range strings.Split(text, "\n") {
			if table.add([]byte(line), i+1) != nil {
				return
			}
		}
		for name, e := range table.names {
			if len(e.secret) == 0 {
				t.Fatalf("%q has an empty secret", name)
			}
			if id, err := ParseIdentity(name); err == nil && table.find(id) == nil {
				t.Fatalf("%q is not found", name)
			}
		}
	})
}
