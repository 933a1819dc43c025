//go:build darwin || freebsd || netbsd || openbsd

package racoon

import (
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// takesTOS: not every one of these systems takes the traffic class of a single
// datagram, and those that do not refuse to send it.
const takesTOS = false

func newUDPIO(c *net.UDPConn, local netip.AddrPort) (packetIO, error) {
	u := &udpIO{conn: c, local: local, v6: local.Addr().Is6(), oob: make([]byte, controlSize)}
	if local.Addr().IsUnspecified() {
		raw, err := c.SyscallConn()
		if err != nil {
			return nil, err
		}
		if err := wantPacketInfo(raw, u.v6); err != nil {
			return nil, err
		}
		u.info = true
	}
	return u, nil
}

func parseSegment(*unix.Cmsghdr, []byte) int { return 0 }
