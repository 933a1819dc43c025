package spmif

import (
	"io/fs"
	"net"

	"github.com/racoon3/racoon/internal/localsocket"
)

// DefaultPath is where racoon2 has the socket.
const DefaultPath = "/var/run/racoon2/spmif"

// ListenConfig says where the socket is and who may connect.
type ListenConfig struct {
	Path string // "" is DefaultPath

	// Owner and Group are names or numbers; "" leaves those of the process.
	Owner, Group string
	// Mode is the permissions of the socket; 0 is 0600. Write permission is what
	// counts.
	Mode fs.FileMode
}

// A Listener is the service's socket. It lets in the processes whose
// credentials fit the socket's owner, group and mode, besides root and the user
// of the daemon itself.
type Listener struct{ l *localsocket.Listener }

// RefusedError is a connection that was turned away.
type RefusedError = localsocket.RefusedError

// Errors of [Listen].
var (
	ErrInUse       = localsocket.ErrInUse       // another daemon serves the socket
	ErrUnsupported = localsocket.ErrUnsupported // this system does not tell who connects
)

// Listen makes the socket, with its permissions from the first moment on. The
// directory must be one that others cannot write.
func Listen(cfg ListenConfig) (*Listener, error) {
	if cfg.Path == "" {
		cfg.Path = DefaultPath
	}
	l, err := localsocket.Listen(localsocket.ListenConfig{Path: cfg.Path, Owner: cfg.Owner, Group: cfg.Group, Mode: cfg.Mode})
	if err != nil {
		return nil, err
	}
	return &Listener{l}, nil
}

func (l *Listener) accept() (net.Conn, Peer, error) {
	c, who, err := l.l.Accept()
	if err != nil {
		return nil, Peer{}, err
	}
	return c, Peer{Known: true, UID: who.UID, GID: who.GID, PID: who.PID}, nil
}

// Close closes and removes the socket.
func (l *Listener) Close() error { return l.l.Close() }
