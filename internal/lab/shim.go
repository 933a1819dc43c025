//go:build linux

package lab

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// buildShim compiles C source to a library for LD_PRELOAD and returns its path.
// It is kept in the cache under a name that depends on the source.
func buildShim(t testing.TB, name, source string) string {
	t.Helper()
	so := filepath.Join(cacheDir(), fmt.Sprintf("%s-%x.so", name, sha256.Sum256([]byte(source)))[:len(name)+17]+".so")
	if _, err := os.Stat(so); err == nil {
		return so
	}
	dir := tempDir(t)
	c, out := filepath.Join(dir, name+".c"), filepath.Join(dir, name+".so")
	writeFile(t, c, source, 0o644)
	if msg, err := exec.Command("cc", "-O2", "-Wall", "-shared", "-fPIC", "-o", out, c, "-ldl").CombinedOutput(); err != nil {
		t.Fatalf("lab: compiling %s: %v\n%s", name, err, msg)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatalf("lab: %v", err)
	}
	// Under a name of its own first: other test binaries may do the same now.
	tmp := fmt.Sprintf("%s.%d", so, os.Getpid())
	writeFile(t, tmp, string(b), 0o755)
	if err := os.Rename(tmp, so); err != nil {
		t.Fatalf("lab: %v", err)
	}
	return so
}
