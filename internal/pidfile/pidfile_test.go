//go:build linux || darwin || freebsd || netbsd || openbsd

package pidfile

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestFile: a dead daemon's file is replaced, whatever lives under its number
// now; a live one's is refused; and what others may have put there is not
// written to.
func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pid")
	require.NoError(t, os.WriteFile(path, []byte("1\nand more\n"), 0o644)) // init lives
	p, err := Make(path)
	require.NoError(t, err)
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, fmt.Sprintln(os.Getpid()), string(b))
	require.NoError(t, os.Remove(path))
	p.Remove()
	p, err = Make(path)
	require.NoError(t, err)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Zero(t, info.Mode().Perm()&0o077, "who can open it could lock it")

	_, err = Make(path)
	require.ErrorIs(t, err, ErrRunning)
	require.ErrorContains(t, err, fmt.Sprint(os.Getpid()))

	p.Remove()
	_, err = os.Stat(path)
	require.ErrorIs(t, err, os.ErrNotExist)

	// Somebody has removed it and another daemon made its own: that stays.
	p, err = Make(path)
	require.NoError(t, err)
	require.NoError(t, os.Remove(path))
	other, err := Make(path)
	require.NoError(t, err)
	p.Remove()
	require.FileExists(t, path)
	other.Remove()

	target := filepath.Join(t.TempDir(), "victim")
	require.NoError(t, os.WriteFile(target, []byte("precious"), 0o644))
	require.NoError(t, os.Symlink(target, path))
	_, err = Make(path)
	require.Error(t, err)
	require.NoError(t, os.Remove(path))
	require.NoError(t, os.Link(target, path))
	_, err = Make(path)
	require.ErrorContains(t, err, "not a plain file")
	b, err = os.ReadFile(target)
	require.NoError(t, err)
	require.Equal(t, "precious", string(b))

	none, err := Make("")
	require.NoError(t, err)
	none.Remove()
}
