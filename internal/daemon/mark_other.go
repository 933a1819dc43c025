//go:build !linux

package daemon

import (
	"errors"
	"fmt"
	"runtime"
	"syscall"
)

func markSocket(uint32) func(network, address string, c syscall.RawConn) error {
	return func(string, string, syscall.RawConn) error {
		return fmt.Errorf("marks of sockets: %w on %s", errors.ErrUnsupported, runtime.GOOS)
	}
}
