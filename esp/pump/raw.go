package pump

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
)

// ErrRawUnsupported: this system or build has no ESP as IP protocol 50 from
// user space. ESP in UDP works everywhere.
var ErrRawUnsupported = errors.New("pump: ESP as IP protocol 50 needs Linux; use UDP encapsulation here")

// A RawHandler takes ESP packets that arrived as IP protocol 50: a [Pump], or a
// netstack.Stack.
type RawHandler interface {
	HandleRawESP(local, remote netip.Addr, tos byte, packets [][]byte)
}

// RawConn is a socket for ESP as IP protocol 50 (RFC 4303). It needs Linux and
// CAP_NET_RAW. Where the kernel has IPsec of its own, it sees the same packets
// and may count those without an SA.
type RawConn struct{ rawSystem }

// ListenRaw opens a socket at a local address, whose family is the socket's;
// an unspecified one stands for all of the host.
func ListenRaw(local netip.Addr) (*RawConn, error) {
	c := new(RawConn)
	if err := c.init(local.Unmap()); err != nil {
		if errors.Is(err, ErrRawUnsupported) {
			return nil, fmt.Errorf("%w (%s)", err, runtime.GOOS)
		}
		return nil, fmt.Errorf("pump: raw socket for ESP at %v: %w", local, err)
	}
	return c, nil
}

// Serve receives packets and gives them to h, until the socket is closed. It is
// called once.
func (c *RawConn) Serve(h RawHandler) error { return c.serve(h) }

// WriteRawESP sends packets to a peer. It returns how many were sent, and the
// first error. df is heeded over IPv4.
func (c *RawConn) WriteRawESP(local, remote netip.Addr, tos byte, df bool, packets [][]byte) (int, error) {
	return c.send(local, remote, tos, df, packets)
}

// Close closes the socket, which ends Serve.
func (c *RawConn) Close() error { return c.close() }
