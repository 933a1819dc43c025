package testhost

import (
	"os"
	"testing"
)

// Dir is like t.TempDir with a path that is short enough for sockets, whose names
// have about a hundred octets.
func Dir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
