//go:build linux || freebsd || netbsd || openbsd || darwin

package pfkey

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// OpenSocket opens a PF_KEY socket of the running system. It needs privilege
// (CAP_NET_ADMIN on Linux, root elsewhere), and on Linux the module af_key.
func OpenSocket() (Conn, error) {
	d := Default()
	syscall.ForkLock.RLock()
	fd, err := syscall.Socket(d.family, syscall.SOCK_RAW, version)
	if err == nil {
		syscall.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		if errors.Is(err, syscall.EAFNOSUPPORT) || errors.Is(err, syscall.EPROTONOSUPPORT) {
			return nil, fmt.Errorf("%w: %w", errNoPFKey, err)
		}
		return nil, fmt.Errorf("pfkey: socket: %w", err)
	}
	// The most that the system gives; systems refuse more than their limit.
	for _, opt := range [...]int{syscall.SO_RCVBUF, syscall.SO_SNDBUF} {
		for size := socketBuffer; size >= 1<<16; size /= 2 {
			if syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, opt, size) == nil {
				break
			}
		}
	}
	forceBuffer(fd)
	if err := syscall.SetNonblock(fd, true); err != nil {
		_ = syscall.Close(fd)
		return nil, fmt.Errorf("pfkey: socket: %w", err)
	}
	// A file that does not block is read through the runtime's poller, so that
	// Close ends a Read.
	return os.NewFile(uintptr(fd), "PF_KEY"), nil
}
