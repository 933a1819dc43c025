package pump

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
)

// A Handler takes ESP packets that arrived in UDP: a [Pump], or a
// netstack.Stack.
type Handler interface {
	// HandleESP is called with packets of one flow in the order in which they
	// came, each from its SPI on. They are the handler's to change during the
	// call only.
	HandleESP(local, remote netip.AddrPort, tos byte, packets [][]byte)
}

// UDPConn is a socket for ESP in UDP (RFC 3948) that is not shared with IKE:
// for keys that come from elsewhere than the root package's Manager. IKE
// messages and keepalives that arrive are dropped.
type UDPConn struct {
	conn   *net.UDPConn
	local  netip.AddrPort
	closed atomic.Bool
	udpSystem
}

// ListenUDP opens a socket at a local address; an unspecified one stands for
// all of the host, on systems that tell where datagrams arrived.
func ListenUDP(local netip.AddrPort) (*UDPConn, error) {
	network := "udp4"
	if local.Addr().Is6() {
		network = "udp6"
	}
	conn, err := net.ListenUDP(network, net.UDPAddrFromAddrPort(local))
	if err != nil {
		return nil, fmt.Errorf("pump: %w", err)
	}
	c, err := NewUDPConn(conn)
	if err != nil {
		conn.Close()
	}
	return c, err
}

// socketBuffer is asked of the system for each direction: while this process
// waits for a processor, packets of some milliseconds must find room.
const socketBuffer = 4 << 20

// NewUDPConn makes a UDPConn of a socket, which becomes its own.
func NewUDPConn(conn *net.UDPConn) (*UDPConn, error) {
	local := conn.LocalAddr().(*net.UDPAddr).AddrPort()
	c := &UDPConn{conn: conn, local: netip.AddrPortFrom(local.Addr().Unmap().WithZone(""), local.Port())}
	if err := c.init(); err != nil {
		return nil, fmt.Errorf("pump: %w", err)
	}
	return c, nil
}

// LocalAddr returns the address that the socket is bound to.
func (c *UDPConn) LocalAddr() netip.AddrPort { return c.local }

// Serve receives packets and gives them to h, until the socket is closed. It is
// called once.
func (c *UDPConn) Serve(h Handler) error {
	for {
		err := c.receive(h)
		if c.closed.Load() {
			return nil
		}
		if errors.Is(err, net.ErrClosed) {
			return err
		}
		// Other errors are about datagrams sent before.
	}
}

// WriteESP sends packets to a peer, from the local address if the socket has
// several. It returns how many were sent, and the first error.
func (c *UDPConn) WriteESP(local, remote netip.AddrPort, tos byte, packets [][]byte) (int, error) {
	return c.send(local, remote, tos, packets)
}

// Close closes the socket, which ends Serve.
func (c *UDPConn) Close() error {
	if c.closed.Swap(true) {
		return nil
	}
	return c.conn.Close()
}
