package control

import (
	"github.com/racoon3/racoon/internal/localsocket"
)

// DefaultPath is where the control socket is unless configured otherwise.
const DefaultPath = "/var/run/racoon/control.sock"

// ErrInUse: another daemon serves the socket.
var ErrInUse = localsocket.ErrInUse

// ListenConfig says where the socket is and who may use it.
type ListenConfig = localsocket.ListenConfig

// A Listener is a control socket. It admits only processes whose credentials
// fit the socket's owner, group and mode, beside root and the user of the daemon
// itself.
type Listener = localsocket.Listener

// A Caller is the process at the other end of a connection.
type Caller = localsocket.Caller

// Listen makes the control socket; see [localsocket.Listen]. An empty path is
// DefaultPath.
func Listen(cfg ListenConfig) (*Listener, error) {
	if cfg.Path == "" {
		cfg.Path = DefaultPath
	}
	return localsocket.Listen(cfg)
}
