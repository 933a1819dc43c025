package racoon

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/racoon3/racoon/ike"
)

const (
	controlSize = 0
	// hasPacketInfo is false: a wildcard listener becomes one socket for each
	// of the host's addresses.
	hasPacketInfo = false
)

func newUDPIO(c *net.UDPConn, local netip.AddrPort) (packetIO, error) {
	if local.Addr().IsUnspecified() {
		return nil, fmt.Errorf("a socket bound to %v does not tell the destination of a datagram on this system; bind one socket to each address", local)
	}
	return &udpIO{conn: c, local: local, v6: local.Addr().Is6()}, nil
}

func parseControl([]byte) packetInfo { return packetInfo{} }

func appendSource(b []byte, _ ike.Path, _ bool) []byte { return b }

func appendTOS(b []byte, _ ike.Path, _ byte) []byte { return b }
