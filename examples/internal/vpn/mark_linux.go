package vpn

import (
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/racoon3/racoon/internal/route"
)

// mark gives a socket the mark that leads its packets around a tunnel for all
// addresses.
func mark(_, _ string, c syscall.RawConn) error {
	var err error
	if cerr := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, int(route.TunnelMark))
	}); cerr != nil {
		return cerr
	}
	return err
}
