//go:build linux || darwin || freebsd || netbsd || openbsd

package localsocket

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/internal/testhost"
)

func TestListenMakesTheSocketAsConfigured(t *testing.T) {
	path := filepath.Join(testhost.Dir(t), "s")
	for _, mode := range []fs.FileMode{0, 0o660, 0o666} {
		l, err := Listen(ListenConfig{Path: path, Mode: mode})
		require.NoError(t, err)
		info, err := os.Lstat(path)
		require.NoError(t, err)
		want := mode
		if mode == 0 {
			want = 0o600
		}
		require.Equal(t, want|fs.ModeSocket, info.Mode())
		left, err := filepath.Glob(filepath.Dir(path) + "/.s*")
		require.NoError(t, err)
		require.Empty(t, left)
		require.NoError(t, l.Close())
		_, err = os.Lstat(path)
		require.ErrorIs(t, err, fs.ErrNotExist)
	}
	if os.Geteuid() != 0 {
		return
	}
	l, err := Listen(ListenConfig{Path: path, Owner: "12345", Group: "54321", Mode: 0o620})
	require.NoError(t, err)
	defer l.Close()
	info, err := os.Lstat(path)
	require.NoError(t, err)
	st := info.Sys().(*syscall.Stat_t)
	require.EqualValues(t, 12345, st.Uid)
	require.EqualValues(t, 54321, st.Gid)
	require.True(t, l.admit.allows(&Caller{UID: 12345}))
	require.True(t, l.admit.allows(&Caller{UID: 7, GID: 54321}))
	require.True(t, l.admit.allows(&Caller{UID: 7, groups: []uint32{1, 54321}}))
	require.True(t, l.admit.allows(&Caller{UID: 0}))
	require.False(t, l.admit.allows(&Caller{UID: 7, GID: 7, groups: []uint32{1, 2}}))
}

// TestC26_SocketIsNeverWideOpen: the permissions are there before the name is.
// The socket is bound in a directory that nobody else can enter, so whoever
// watches the place sees it with its permissions or not at all.
func TestC26_SocketIsNeverWideOpen(t *testing.T) {
	old := syscall.Umask(0) // a daemon started with the widest
	defer syscall.Umask(old)
	dir := testhost.Dir(t)
	path := filepath.Join(dir, "s")
	stop, watched := make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			select {
			case <-stop:
				watched <- nil
				return
			default:
			}
			entries, _ := os.ReadDir(dir)
			for _, e := range entries {
				info, err := e.Info()
				if err == nil && info.Mode().Perm()&0o077 != 0 {
					watched <- errors.New(e.Name() + " is open to others: " + info.Mode().String())
					return
				}
			}
		}
	}()
	for range 200 {
		l, err := Listen(ListenConfig{Path: path, Mode: 0o600})
		require.NoError(t, err)
		require.NoError(t, l.Close())
	}
	close(stop)
	require.NoError(t, <-watched)
}

func TestListenReplacesOnlyTheDead(t *testing.T) {
	path := filepath.Join(testhost.Dir(t), "s")

	// A dead daemon has left its socket.
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	require.NoError(t, err)
	dead.SetUnlinkOnClose(false)
	require.NoError(t, dead.Close())
	l, err := Listen(ListenConfig{Path: path})
	require.NoError(t, err)

	// A live one keeps it: by its lock, and where there is none, because it
	// answers.
	_, err = Listen(ListenConfig{Path: path})
	require.ErrorIs(t, err, ErrInUse)
	require.NoError(t, os.Remove(path+".lock"))
	_, err = Listen(ListenConfig{Path: path})
	require.ErrorIs(t, err, ErrInUse)

	// It does not remove what has taken its place.
	require.NoError(t, os.Remove(path))
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	require.NoError(t, l.Close())
	_, err = os.Lstat(path)
	require.NoError(t, err)

	// What is no socket is nobody's to remove.
	_, err = Listen(ListenConfig{Path: path})
	require.ErrorContains(t, err, "is no socket")
	require.NoError(t, os.Remove(path))
	require.NoError(t, os.Symlink("/dev/null", path))
	_, err = Listen(ListenConfig{Path: path})
	require.ErrorContains(t, err, "is no socket")
	require.NoError(t, os.Remove(path))

	// A lock that is a symbolic link is not followed.
	target := filepath.Join(filepath.Dir(path), "target")
	require.NoError(t, os.RemoveAll(path+".lock"))
	require.NoError(t, os.Symlink(target, path+".lock"))
	_, err = Listen(ListenConfig{Path: path})
	require.Error(t, err)
	_, err = os.Lstat(target)
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func TestListenRefuses(t *testing.T) {
	dir := testhost.Dir(t)
	wide := filepath.Join(dir, "wide")
	require.NoError(t, os.Mkdir(wide, 0o700))
	require.NoError(t, os.Chmod(wide, 0o777))
	for want, cfg := range map[string]ListenConfig{
		"can be written by others": {Path: filepath.Join(wide, "s")},
		"is too long":              {Path: filepath.Join(dir, strings.Repeat("x", 60), "s")},
		"no such file":             {Path: filepath.Join(dir, "none", "s")},
		"owner of":                 {Path: filepath.Join(dir, "s"), Owner: "no such user"},
		"group of":                 {Path: filepath.Join(dir, "s"), Group: "no such group"},
		"is negative":              {Path: filepath.Join(dir, "s"), Owner: "-1"},
		"mode 0400":                {Path: filepath.Join(dir, "s"), Mode: 0o400},
		"mode":                     {Path: filepath.Join(dir, "s"), Mode: 0o600 | fs.ModeSetuid},
	} {
		if want == "is too long" {
			require.NoError(t, os.MkdirAll(filepath.Dir(cfg.Path), 0o700))
			cfg.Path = filepath.Join(filepath.Dir(cfg.Path), strings.Repeat("y", 40))
		}
		_, err := Listen(cfg)
		require.ErrorContains(t, err, want)
	}
	left, err := filepath.Glob(dir + "/.s*")
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestCredentialsOfTheCaller(t *testing.T) {
	path := filepath.Join(testhost.Dir(t), "s")
	l, err := Listen(ListenConfig{Path: path})
	require.NoError(t, err)
	defer l.Close()
	c, err := net.Dial("unix", path)
	require.NoError(t, err)
	defer c.Close()
	got, caller, err := l.Accept()
	require.NoError(t, err)
	got.Close()
	require.EqualValues(t, os.Geteuid(), caller.UID)
	require.EqualValues(t, os.Getegid(), caller.GID)
	require.EqualValues(t, os.Getpid(), caller.PID)

	// The same caller, but not admitted.
	l.admit = admission{owner: 4711, group: 4711, self: 4711}
	allowed := l.admit.allows(caller)
	require.Equal(t, caller.UID == 0, allowed)
	caller.UID = 42
	require.False(t, l.admit.allows(caller))
}
