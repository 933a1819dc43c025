//go:build !linux

package pump

import "net/netip"

type udpSystem struct {
	buf [maxPacket]byte
	one [1][]byte
}

func (c *UDPConn) init() error {
	c.conn.SetReadBuffer(socketBuffer)
	c.conn.SetWriteBuffer(socketBuffer)
	return nil
}

func (c *UDPConn) receive(h Handler) error {
	n, from, err := c.conn.ReadFromUDPAddrPort(c.buf[:])
	if err != nil {
		return err
	}
	c.one[0] = c.buf[:n]
	h.HandleESP(c.local, netip.AddrPortFrom(from.Addr().Unmap().WithZone(""), from.Port()), 0, c.one[:])
	return nil
}

// send leaves it to the system to choose the local address and to set the traffic
// class.
func (c *UDPConn) send(_, remote netip.AddrPort, _ byte, packets [][]byte) (sent int, first error) {
	for _, p := range packets {
		if _, err := c.conn.WriteToUDPAddrPort(p, remote); err == nil {
			sent++
		} else if first == nil {
			first = err
		}
	}
	return sent, first
}
