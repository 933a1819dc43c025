//go:build !linux

package vpn

import "syscall"

// mark has nothing to do where route changes are not possible either.
func mark(_, _ string, _ syscall.RawConn) error { return nil }
