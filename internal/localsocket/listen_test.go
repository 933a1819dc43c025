//go:build linux || darwin || freebsd || netbsd || openbsd

package localsocket

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestListen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := Listen(ListenConfig{Path: path, Mode: 0o660})
	require.NoError(t, err)
	info, err := os.Lstat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o660), info.Mode().Perm())
	_, err = Listen(ListenConfig{Path: path})
	require.ErrorIs(t, err, ErrInUse)
	c, err := net.Dial("unix", path)
	require.NoError(t, err)
	defer c.Close()
	s, caller, err := l.Accept()
	require.NoError(t, err)
	defer s.Close()
	require.EqualValues(t, os.Geteuid(), caller.UID)
	require.NoError(t, l.Close())
	_, err = os.Lstat(path)
	require.ErrorIs(t, err, os.ErrNotExist)
	l, err = Listen(ListenConfig{Path: path})
	require.NoError(t, err, "what is left is replaced")
	require.NoError(t, l.Close())
}

// C26: files in the socket's place, directories of others, users of others.
func TestC26_Socket(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "s")
	require.NoError(t, os.WriteFile(path, []byte("x"), 0o600))
	_, err := Listen(ListenConfig{Path: path})
	require.ErrorContains(t, err, "is no socket")
	require.NoError(t, os.Chmod(dir, 0o777))
	_, err = Listen(ListenConfig{Path: filepath.Join(dir, "other")})
	require.ErrorContains(t, err, "can be written by others")

	a := admission{owner: 10, group: 20, self: 30}
	for _, uid := range []uint32{0, 10, 30} {
		require.True(t, a.allows(&Caller{UID: uid}), uid)
	}
	require.False(t, a.allows(&Caller{UID: 11, GID: 20}), "the group may not")
	a.groupOK = true
	require.True(t, a.allows(&Caller{UID: 11, GID: 20}))
	require.True(t, a.allows(&Caller{UID: 11, groups: []uint32{5, 20}}))
	require.False(t, a.allows(&Caller{UID: 11, GID: 21, groups: []uint32{5}}))
	a.everybody = true
	require.True(t, a.allows(&Caller{UID: 11}))
}
