//go:build !(linux || darwin || freebsd || netbsd || openbsd)

package control

import "net"

type fileID struct{}

// Listen fails with ErrUnsupported.
func Listen(ListenConfig) (*Listener, error) { return nil, ErrUnsupported }

func (l *Listener) accept() (*net.UnixConn, *Caller, error) { return nil, nil, ErrUnsupported }

// Close does nothing.
func (l *Listener) Close() error { return nil }

// refusedError is a connection that was not admitted.
type refusedError struct {
	caller *Caller
	err    error
}

func (e *refusedError) Error() string { return e.err.Error() }
