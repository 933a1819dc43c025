package pfkey

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// forceBuffer raises the buffers above net.core.rmem_max, which a privileged
// process may.
func forceBuffer(fd int) {
	_ = syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, unix.SO_RCVBUFFORCE, socketBuffer)
	_ = syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, unix.SO_SNDBUFFORCE, socketBuffer)
}
