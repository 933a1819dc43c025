//go:build !(linux || darwin || freebsd || netbsd || openbsd)

package localsocket

import "net"

type fileID struct{}

// Listen fails with ErrUnsupported.
func Listen(ListenConfig) (*Listener, error) { return nil, ErrUnsupported }

// Accept fails with ErrUnsupported.
func (l *Listener) Accept() (*net.UnixConn, *Caller, error) { return nil, nil, ErrUnsupported }

// Close does nothing.
func (l *Listener) Close() error { return nil }
