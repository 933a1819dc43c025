//go:build linux || darwin || freebsd || netbsd || openbsd

package daemon

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestPIDFile: a dead daemon's file is replaced, whatever lives under its number
// now; a live one's is refused; and what others may have put there is not
// written to.
func TestPIDFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pid")
	require.NoError(t, os.WriteFile(path, []byte("1\nand more\n"), 0o644)) // init lives
	p, err := makePIDFile(path)
	require.NoError(t, err)
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, fmt.Sprintln(os.Getpid()), string(b))

	_, err = makePIDFile(path)
	require.ErrorIs(t, err, errRunning)
	require.ErrorContains(t, err, fmt.Sprint(os.Getpid()))

	p.remove()
	_, err = os.Stat(path)
	require.ErrorIs(t, err, os.ErrNotExist)

	// Somebody has removed it and another daemon made its own: that stays.
	p, err = makePIDFile(path)
	require.NoError(t, err)
	require.NoError(t, os.Remove(path))
	other, err := makePIDFile(path)
	require.NoError(t, err)
	p.remove()
	require.FileExists(t, path)
	other.remove()

	target := filepath.Join(t.TempDir(), "victim")
	require.NoError(t, os.WriteFile(target, []byte("precious"), 0o644))
	require.NoError(t, os.Symlink(target, path))
	_, err = makePIDFile(path)
	require.Error(t, err)
	require.NoError(t, os.Remove(path))
	require.NoError(t, os.Link(target, path))
	_, err = makePIDFile(path)
	require.ErrorContains(t, err, "not a plain file")
	b, err = os.ReadFile(target)
	require.NoError(t, err)
	require.Equal(t, "precious", string(b))

	none, err := makePIDFile("")
	require.NoError(t, err)
	none.remove()
}
