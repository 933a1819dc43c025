//go:build linux || darwin || freebsd || netbsd || openbsd

package localsocket

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// fileID tells whether a path still is the file it was.
type fileID struct{ dev, ino uint64 }

func idOf(info fs.FileInfo) fileID {
	st := info.Sys().(*syscall.Stat_t)
	return fileID{uint64(st.Dev), uint64(st.Ino)}
}

// Listen makes the socket. It is bound under a name in a directory that
// nobody else can enter, is given its owner and permissions there, and then is
// moved to its place: there is no moment at which others could use it. A socket
// that a dead daemon has left is replaced; ErrInUse if the daemon lives. Two
// daemons that start at once are kept apart by a lock on Path with ".lock"
// behind it, which stays.
func Listen(cfg ListenConfig) (*Listener, error) {
	if cfg.Mode == 0 {
		cfg.Mode = 0o600
	}
	if cfg.Mode&^0o777 != 0 || cfg.Mode&0o200 == 0 {
		return nil, fmt.Errorf("localsocket: mode %04o of %s: want permissions with which the owner can write, such as 0600 or 0660", uint32(cfg.Mode), cfg.Path)
	}
	uid, gid, err := ownerOf(cfg)
	if err != nil {
		return nil, err
	}
	path, err := filepath.Abs(cfg.Path)
	if err != nil {
		return nil, fmt.Errorf("localsocket: %w", err)
	}
	dir := filepath.Dir(path)
	if err := checkDirectory(dir); err != nil {
		return nil, err
	}
	lock, err := lockFile(path + ".lock")
	if err != nil {
		return nil, err
	}
	l, err := bind(path, dir, uid, gid, cfg.Mode)
	if err != nil {
		lock.Close()
		return nil, err
	}
	l.lock = lock
	return l, nil
}

func bind(path, dir string, uid, gid int, mode fs.FileMode) (*Listener, error) {
	if err := checkStale(path); err != nil {
		return nil, err
	}
	private, err := os.MkdirTemp(dir, ".s")
	if err != nil {
		return nil, fmt.Errorf("localsocket: %w", err)
	}
	defer os.RemoveAll(private)
	at := filepath.Join(private, "s")
	if max(len(at), len(path)) >= maxPath {
		return nil, fmt.Errorf("localsocket: %s is too long for a socket: with %d octets in place of its last part at most %d", path, len(at)-len(dir)-1, maxPath-1)
	}
	u, err := net.ListenUnix("unix", &net.UnixAddr{Name: at, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("localsocket: %w", err)
	}
	u.SetUnlinkOnClose(false) // it has another name then
	fail := func(err error) (*Listener, error) {
		u.Close()
		return nil, fmt.Errorf("localsocket: %w", err)
	}
	if err := os.Chmod(at, mode); err != nil {
		return fail(err)
	}
	if err := os.Lchown(at, uid, gid); err != nil {
		return fail(err)
	}
	info, err := os.Lstat(at)
	if err != nil {
		return fail(err)
	}
	if err := os.Rename(at, path); err != nil {
		return fail(err)
	}
	st := info.Sys().(*syscall.Stat_t)
	return &Listener{net: u, path: path, inode: idOf(info), admit: admission{
		owner: st.Uid, group: st.Gid, groupOK: mode&0o020 != 0, everybody: mode&0o002 != 0, self: uint32(os.Geteuid())}}, nil
}

// ownerOf looks up the configured owner and group; -1 leaves one as it is.
func ownerOf(cfg ListenConfig) (uid, gid int, err error) {
	uid, gid = -1, -1
	if cfg.Owner != "" {
		if uid, err = strconv.Atoi(cfg.Owner); err != nil {
			u, err := user.Lookup(cfg.Owner)
			if err != nil {
				return 0, 0, fmt.Errorf("localsocket: owner of %s: %w", cfg.Path, err)
			}
			uid, _ = strconv.Atoi(u.Uid)
		}
	}
	if cfg.Group != "" {
		if gid, err = strconv.Atoi(cfg.Group); err != nil {
			g, err := user.LookupGroup(cfg.Group)
			if err != nil {
				return 0, 0, fmt.Errorf("localsocket: group of %s: %w", cfg.Path, err)
			}
			gid, _ = strconv.Atoi(g.Gid)
		}
	}
	if cfg.Owner != "" && uid < 0 || cfg.Group != "" && gid < 0 {
		return 0, 0, fmt.Errorf("localsocket: owner %q or group %q of %s is negative", cfg.Owner, cfg.Group, cfg.Path)
	}
	return uid, gid, nil
}

// checkDirectory refuses a directory in which others could put a socket of
// theirs in place of ours.
func checkDirectory(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("localsocket: %w", err)
	}
	st := info.Sys().(*syscall.Stat_t)
	switch {
	case st.Uid != 0 && int(st.Uid) != os.Geteuid():
		return fmt.Errorf("localsocket: directory %s belongs to user %d, not to %d, who runs this program, nor to root", dir, st.Uid, os.Geteuid())
	case info.Mode().Perm()&0o022 != 0 && info.Mode()&fs.ModeSticky == 0:
		return fmt.Errorf("localsocket: directory %s can be written by others (mode %04o); remove that (chmod go-w)", dir, info.Mode().Perm())
	}
	return nil
}

// lockFile takes the lock of a socket, which the system gives back when the
// process ends, however it ends.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("localsocket: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w: %s is locked", ErrInUse, path)
		}
		return nil, fmt.Errorf("localsocket: locking %s: %w", path, err)
	}
	return f, nil
}

// checkStale looks at what is in the socket's place: nothing or a socket that
// nobody serves.
func checkStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("localsocket: %w", err)
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("localsocket: %s is there already and is no socket", path)
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		c.Close()
		return fmt.Errorf("%w: %s", ErrInUse, path)
	}
	if !errors.Is(err, unix.ECONNREFUSED) && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w, or it cannot be told: %w", ErrInUse, err)
	}
	return nil
}

// Accept returns the next connection that is admitted, with who it is.
func (l *Listener) Accept() (*net.UnixConn, *Caller, error) {
	c, err := l.net.AcceptUnix()
	if err != nil {
		return nil, nil, err
	}
	caller, err := callerOf(c)
	if err != nil {
		c.Close()
		return nil, nil, &RefusedError{Err: fmt.Errorf("localsocket: the system does not tell who connects: %w", err)}
	}
	if l.admit.groupOK && caller.groups == nil {
		caller.groups = groupsOf(caller.UID)
	}
	if !l.admit.allows(caller) {
		c.Close()
		return nil, nil, &RefusedError{caller, errors.New("localsocket: not admitted by the socket's owner, group and mode")}
	}
	return c, caller, nil
}

// groupsOf looks up the groups of a user, for systems that do not tell those of
// a process.
func groupsOf(uid uint32) (groups []uint32) {
	u, err := user.LookupId(strconv.FormatUint(uint64(uid), 10))
	if err != nil {
		return nil
	}
	ids, _ := u.GroupIds()
	for _, s := range ids {
		if g, err := strconv.ParseUint(s, 10, 32); err == nil {
			groups = append(groups, uint32(g))
		}
	}
	return groups
}

// callerOf asks the system who is at the other end.
func callerOf(c *net.UnixConn) (*Caller, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	var caller *Caller
	cerr := raw.Control(func(fd uintptr) { caller, err = peerCredentials(int(fd)) })
	if cerr != nil {
		return nil, cerr
	}
	return caller, err
}

// Close closes the socket and removes it, unless another has taken its place.
func (l *Listener) Close() error {
	if info, err := os.Lstat(l.path); err == nil && idOf(info) == l.inode {
		os.Remove(l.path)
	}
	err := l.net.Close()
	l.lock.Close()
	return err
}
