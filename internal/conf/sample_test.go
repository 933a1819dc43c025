package conf

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/internal/testpki"
	"github.com/racoon3/racoon/spd"
)

const sampleDir = "../../examples/conf"

func samples(t testing.TB) []string {
	all, err := filepath.Glob(filepath.Join(sampleDir, "*.toml"))
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(all), 18)
	return all
}

// withFiles copies a sample to a directory that has the keys which the samples
// name.
func withFiles(t testing.TB, sample string) string {
	t.Helper()
	dir := t.TempDir()
	write := func(name string, data []byte) {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, data, 0o600))
	}
	text, err := os.ReadFile(sample)
	require.NoError(t, err)
	write(filepath.Base(sample), text)

	ca := testpki.NewCA(t, "conf")
	write("ca.pem", ca.PEM())
	write("ca.crl", ca.CRL(t).Raw)
	for _, name := range []string{"gw", "hq", "alice"} {
		c := ca.Host(t, testpki.RSA2048, name+".example.org")
		write(name+".pem", c.PEM())
		write(name+".key", c.KeyPEM(t))
	}
	for _, name := range []string{"branch.psk", "staff.psk", "db.psk", "l2tp.psk", "alice.password", "psk/tokyo", "psk/kyoto.psk"} {
		write(name, []byte("a secret of the test\n"))
	}
	write("psk.txt", []byte("192.0.2.2 of one host\nalice her password\n* of any other\n"))
	write("users", []byte("alice:$2y$04$LBgs4WTRkjsGyKI5X3HmZ.VT1Ej9BFSNrPVgB1Ze0Bgm1oXqS1lEu:staff\n"))
	return filepath.Join(dir, filepath.Base(sample))
}

// TestSamples reads each sample, and has a Manager made of it.
func TestSamples(t *testing.T) {
	for _, f := range samples(t) {
		t.Run(filepath.Base(f), func(t *testing.T) {
			c, err := Load(withFiles(t, f), WithHost(testHost{}))
			require.NoError(t, err)
			for _, w := range c.Warnings {
				require.Contains(t, w.Error(), "CVE-2018-5389", "samples are good examples")
			}
			cfg, err := c.Manager()
			require.NoError(t, err)
			plane := spd.NewMemory(spd.MemoryConfig{})
			defer plane.Close()
			cfg.DataPlane = plane
			m, err := racoon.NewManager(cfg)
			require.NoError(t, err)
			require.NoError(t, m.Shutdown(t.Context()))
			require.Len(t, cfg.Peers, len(c.Peers))

			ike, err := c.Manager("ike") // as iked has it
			require.NoError(t, err)
			require.Len(t, ike.Peers, len(c.Peers)-kinkPeers(c))
			require.Nil(t, ike.KINK.Kerberos)
			kink, err := c.Manager("kink") // as kinkd has it
			if kinkPeers(c) > 0 {
				require.NoError(t, err)
				require.Len(t, kink.Peers, kinkPeers(c))
				require.Equal(t, []racoon.Listen{{Address: ":910", KINK: true}}, kink.Listen)
				require.Equal(t, strings.TrimSuffix(filepath.Base(f), ".toml"), strings.TrimSuffix("kink-"+strings.TrimPrefix(kink.KINK.Kerberos.Principal().Name, "kink/"), ".example.org"))
			}
		})
	}
}

func kinkPeers(c *Config) (n int) {
	for _, p := range c.Peers {
		if p.Protocol == "kink" {
			n++
		}
	}
	return n
}

// TestSamplesAreShort: a tunnel in 12 lines, a gateway in 15, blank ones and
// comments aside.
func TestSamplesAreShort(t *testing.T) {
	for name, most := range map[string]int{"site-to-site.toml": 12, "road-warrior-gateway.toml": 15} {
		text, err := os.ReadFile(filepath.Join(sampleDir, name))
		require.NoError(t, err)
		n := 0
		for line := range strings.Lines(string(text)) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
				n++
			}
		}
		require.LessOrEqual(t, n, most, name)
	}
	text, err := os.ReadFile(filepath.Join(sampleDir, "site-to-site.toml"))
	require.NoError(t, err)
	require.LessOrEqual(t, strings.Count(string(text), "\n"), 12, "with comments")
}

// TestSamplesCoverTheLanguage: each section is used by a sample.
func TestSamplesCoverTheLanguage(t *testing.T) {
	var all bytes.Buffer
	for _, f := range samples(t) {
		text, err := os.ReadFile(f)
		require.NoError(t, err)
		all.Write(text)
	}
	for _, section := range []string{
		"[daemon]", "[dataplane]", "[dataplane.userspace]", "[interface.", "[hooks]", "[secrets]", "[defaults]", "[defaults.child]", "[template.", "[peer.",
		".ikev1]", "[pool.", "[users.", ".throttle]", "[policy.", "[spmd]", "[spmd.dns]", "[spmd.names.static]", "[kink]", "[macros]", "include =",
	} {
		require.Contains(t, all.String(), section)
	}
}

// TestEffective: what is written is complete. Reading it gives the same again,
// on any host, and so the same Manager.
func TestEffective(t *testing.T) {
	for _, f := range samples(t) {
		t.Run(filepath.Base(f), func(t *testing.T) {
			file := withFiles(t, f)
			c, err := Load(file, WithHost(testHost{}))
			require.NoError(t, err)
			var first, second bytes.Buffer
			require.NoError(t, c.WriteEffective(&first))
			for _, secret := range []string{"a secret of the test", "her password", "$2y$"} {
				require.NotContains(t, first.String(), secret)
			}
			require.NotContains(t, first.String(), "${")

			again, err := Parse("/elsewhere/racoon.toml", first.Bytes(), WithHost(nil), WithFiles(memoryFiles{}))
			require.NoError(t, err, first.String())
			require.NoError(t, again.WriteEffective(&second))
			require.Equal(t, first.String(), second.String())

			a, err := c.Manager()
			require.NoError(t, err)
			b, err := again.Manager()
			require.NoError(t, err)
			for i := range a.Peers {
				a.Peers[i].Request, b.Peers[i].Request = nil, nil // pointers differ
			}
			require.Equal(t, a.Listen, b.Listen)
			require.Equal(t, a.Limits, b.Limits)
			require.Equal(t, len(a.Peers), len(b.Peers))
			for i := range a.Peers {
				require.Equal(t, a.Peers[i].Children, b.Peers[i].Children)
				require.Equal(t, a.Peers[i].Timing, b.Peers[i].Timing)
				require.Equal(t, a.Peers[i].PSK, b.Peers[i].PSK)
				require.Equal(t, a.Peers[i].IKEv1, b.Peers[i].IKEv1)
			}
		})
	}
}

// TestSamplesAreSorted: what the README of the samples names is there.
func TestSamplesREADME(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(sampleDir, "README.md"))
	require.NoError(t, err)
	var named []string
	for _, f := range samples(t) {
		named = append(named, filepath.Base(f))
		require.Contains(t, string(text), filepath.Base(f))
	}
	for word := range strings.FieldsFuncSeq(string(text), func(r rune) bool { return strings.ContainsRune("()[]`| \n", r) }) {
		if strings.HasSuffix(word, ".toml") && word != "racoon.toml" {
			require.True(t, slices.Contains(named, word), word)
		}
	}
}
