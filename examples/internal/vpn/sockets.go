package vpn

import (
	"context"
	"errors"
	"net"
	"syscall"

	"github.com/racoon3/racoon"
)

// MarkedSockets are a client's sockets, on free ports, for IKE and for IKE and
// ESP in UDP, in each address family: their packets do not take the way into
// the tunnel.
func MarkedSockets() (list []racoon.Listen, err error) {
	lc := net.ListenConfig{Control: mark}
	for _, network := range []string{"udp4", "udp6"} {
		for _, natt := range []bool{false, true} {
			c, err := lc.ListenPacket(context.Background(), network, ":0")
			switch {
			case err == nil:
				list = append(list, racoon.Listen{Conn: c, NATT: natt})
			case network == "udp6" && (errors.Is(err, syscall.EAFNOSUPPORT) || errors.Is(err, syscall.EADDRNOTAVAIL)):
			default:
				CloseSockets(list)
				return nil, err
			}
		}
	}
	return list, nil
}

// CloseSockets closes sockets that no Manager has taken.
func CloseSockets(list []racoon.Listen) {
	for _, l := range list {
		l.Conn.Close()
	}
}

// MarkedResolver asks the host's name servers around the tunnel.
func MarkedResolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: (&net.Dialer{Control: mark}).DialContext}
}
