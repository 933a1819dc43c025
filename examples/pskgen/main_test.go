package main

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func pskgen(t *testing.T, stdin string, args ...string) (status int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	status = run(args, strings.NewReader(stdin), &o, &e)
	return status, o.String(), e.String()
}

func must(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	status, out, errs := pskgen(t, stdin, args...)
	require.Zero(t, status, errs)
	return out
}

func TestRandom(t *testing.T) {
	require.Len(t, must(t, "", "-r"), 16)
	require.Len(t, must(t, "", "-rs32"), 32)
	require.NotEqual(t, must(t, "", "-r"), must(t, "", "-r"))
}

// TestText: only the first line counts, or every number.
func TestText(t *testing.T) {
	require.Equal(t, "my secret ", must(t, "my secret \nand more\n", "-i", "-"))
	require.Equal(t, "my secret", must(t, "my secret\r\n", "-i", "-"))
	require.Equal(t, "no end", must(t, "no end", "-i-"))
	require.Equal(t, "racoon\x05", must(t, "0x72 0x61 0x63\n  0x6F 0x6f\t0X6e 0x5\n", "-hi", "-"))
}

func TestExport(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	require.NoError(t, os.WriteFile(file, []byte("racoon and raccoon"), 0o600))
	text := must(t, "", "-e", file)
	require.Equal(t, "0x72 0x61 0x63 0x6f 0x6f 0x6e 0x20 0x61  0x6e 0x64 0x20 0x72 0x61 0x63 0x63 0x6f\n0x6f 0x6e\n", text)
	require.Equal(t, "racoon and raccoon", must(t, text, "-i", "-", "-h"))
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "key")
	require.NoError(t, os.WriteFile(file, []byte("an old key that is longer than the new one"), 0o644))
	require.Empty(t, must(t, "", "-r", "-o", file))
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Len(t, b, 16)
	info, err := os.Stat(file)
	require.NoError(t, err)
	if runtime.GOOS != "windows" {
		require.EqualValues(t, 0o600, info.Mode())
	}
	_, _, errs := pskgen(t, "", "-rd", "-o", file)
	require.Contains(t, errs, "16 octets for "+file+", which is not written")
	same, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, b, same)
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 1, "no file is left over")
	if runtime.GOOS == "linux" {
		require.Empty(t, must(t, "", "-r", "-o", "/dev/null"))
	}
}

func TestErrors(t *testing.T) {
	for args, want := range map[string]string{
		"": "nothing to do", "-r -e x": "only one of", "-r -s 0": "no length", "-r -s x": "no length", "-i - -s 5": "-s is for -r", "-rh": "-h is for -i", "-r x": "is no option",
		"-q": "no option -q", "-i": "-i without its argument",
	} {
		status, out, errs := pskgen(t, "", strings.Fields(args)...)
		require.Equal(t, misuse, status, args)
		require.Contains(t, errs, want)
		require.Contains(t, errs, "usage: pskgen")
		require.Empty(t, out)
	}
	for stdin, want := range map[string]string{
		"": "a key of 0 octets", "0x1 0x100": "line 1, word 2: no number", "\n72": "line 2, word 1: no number", "0x": "line 1, word 1: no number", "0x+1": "no number",
		strings.Repeat("0x00 ", maxKey+1): "a key of 65537 octets", strings.Repeat("x", 8*maxKey+1): "longer than 524288 octets",
	} {
		status, _, errs := pskgen(t, stdin, "-hi", "-")
		require.Equal(t, failed, status)
		require.Contains(t, errs, want)
	}
	for _, args := range [][]string{{"-i", "/nonexistent"}, {"-r", "-o", "/nonexistent/key"}, {"-r", "-o", t.TempDir()}} {
		status, _, _ := pskgen(t, "", args...)
		require.Equal(t, failed, status)
	}
	status, _, errs := pskgen(t, "\n", "-i", "-")
	require.Equal(t, failed, status)
	require.Contains(t, errs, "a key of 0 octets")
}
