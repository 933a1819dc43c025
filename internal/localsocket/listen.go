package localsocket

import (
	"errors"
	"io/fs"
	"net"
)

// ErrInUse: another daemon serves the socket.
var ErrInUse = errors.New("localsocket: another daemon serves the socket")

// ErrUnsupported: there are no such sockets here, because the system cannot
// tell who is at the other end.
var ErrUnsupported = errors.New("localsocket: not on this system")

// ListenConfig says where the socket is and who may use it.
type ListenConfig struct {
	Path string

	// Owner and Group are names or numbers; "" leaves those of the process.
	Owner, Group string
	// Mode is the permissions of the socket; 0 is 0600. Only write permission
	// counts: for the owner, the group, everybody.
	Mode fs.FileMode
}

// A Listener is a socket that knows who connects. Accept admits only processes whose
// credentials fit the socket's owner, group and mode, beside root and the
// user of the daemon itself; others are turned away.
type Listener struct {
	net   *net.UnixListener
	path  string
	admit admission
	lock  closer
	inode fileID
}

// closer is a file that stays open.
type closer interface{ Close() error }

// admission is whom a socket admits.
type admission struct {
	owner, group       uint32
	groupOK, everybody bool
	self               uint32
}

// A RefusedError is a connection that was not admitted; the socket goes on.
type RefusedError struct {
	Caller *Caller // nil: the system does not tell
	Err    error
}

func (e *RefusedError) Error() string { return e.Err.Error() }

func (e *RefusedError) Unwrap() error { return e.Err }

// A Caller is the process at the other end of a connection.
type Caller struct {
	UID, GID uint32
	PID      int32 // 0 where the system does not tell
	groups   []uint32
}

func (a admission) allows(c *Caller) bool {
	if a.everybody || c.UID == 0 || c.UID == a.self || c.UID == a.owner {
		return true
	}
	if !a.groupOK {
		return false
	}
	if c.GID == a.group {
		return true
	}
	for _, g := range c.groups {
		if g == a.group {
			return true
		}
	}
	return false
}

// Addr returns the address of the socket.
func (l *Listener) Addr() net.Addr { return &net.UnixAddr{Name: l.path, Net: "unix"} }
