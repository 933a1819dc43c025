//go:build !linux

package xfrm

import "net"

// PrepareSocket implements [spd.DataPlane]. It does nothing: this system's
// sockets know no XFRM policies, and the kernel is another one's.
func (p *DataPlane) PrepareSocket(net.PacketConn, bool) error { return nil }

// PrepareNonIKE implements [spd.NonIKESocket].
func (p *DataPlane) PrepareNonIKE(net.PacketConn) error { return nil }
