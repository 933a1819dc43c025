//go:build !linux

package racoon

import (
	"net"
	"syscall"
)

// routedLike has nothing to do here: addresses alone decide about routes.
func routedLike(net.PacketConn) func(network, address string, to syscall.RawConn) error { return nil }
