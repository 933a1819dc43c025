package racoon

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// routedLike gives a socket what decides about its way besides addresses, as
// the program has set it on c: the mark and the device.
func routedLike(c net.PacketConn) func(network, address string, to syscall.RawConn) error {
	from, ok := c.(syscall.Conn)
	if !ok {
		return nil
	}
	return func(_, _ string, to syscall.RawConn) error {
		raw, err := from.SyscallConn()
		if err != nil {
			return err
		}
		var mark int
		var device string
		if err := raw.Control(func(fd uintptr) {
			mark, _ = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK)
			device, _ = unix.GetsockoptString(int(fd), unix.SOL_SOCKET, unix.SO_BINDTODEVICE)
		}); err != nil {
			return err
		}
		var set error
		if err := to.Control(func(fd uintptr) {
			if mark != 0 {
				set = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, mark)
			}
			if device != "" && set == nil {
				set = unix.BindToDevice(int(fd), device)
			}
		}); err != nil {
			return err
		}
		return set
	}
}
