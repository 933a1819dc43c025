package simnet

import (
	"net/netip"
)

// nat is an address translator in front of one node. It takes datagrams from
// anywhere for a port that is mapped.
type nat struct {
	addr netip.Addr
	port uint16 // next one
	out  map[netip.AddrPort]netip.AddrPort
	in   map[netip.AddrPort]netip.AddrPort
}

func newNAT(addr netip.Addr) *nat {
	return &nat{addr: addr, port: 40000, out: map[netip.AddrPort]netip.AddrPort{}, in: map[netip.AddrPort]netip.AddrPort{}}
}

// outer returns the address that a datagram from a local address comes from.
func (n *Node) outer(local netip.AddrPort) netip.AddrPort {
	if n.nat == nil {
		return local
	}
	o, ok := n.nat.out[local]
	if !ok {
		n.nat.port++
		o = netip.AddrPortFrom(n.nat.addr, n.nat.port)
		n.nat.out[local], n.nat.in[o] = o, local
	}
	return o
}

// Rebind makes the NAT in front of the node forget its mappings: the next
// datagram out gets a new port, and nothing comes in on the old one.
func (n *Node) Rebind() {
	if n.nat == nil {
		return
	}
	clear(n.nat.out)
	clear(n.nat.in)
	n.w.fired(Rebound, "%s: NAT rebinds", n.Name)
}

// route finds who has an address, and what it is called there.
func (w *World) route(dst netip.AddrPort) (*Node, netip.AddrPort, bool) {
	for _, n := range w.nodes {
		if n.nat != nil {
			if inner, ok := n.nat.in[dst]; ok {
				return n, inner, true
			}
			continue
		}
		if n.cfg.Addr == dst.Addr() {
			return n, dst, true
		}
	}
	return nil, dst, false
}

// otherAddr is an address near another one.
func (w *World) otherAddr(a netip.AddrPort) netip.AddrPort {
	if w.Chance(0.5) {
		return netip.AddrPortFrom(a.Addr(), uint16(1+w.rand.IntN(65535)))
	}
	return netip.AddrPortFrom(a.Addr().Next(), a.Port())
}
