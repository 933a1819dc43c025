package coretest

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/simnet"
	"github.com/racoon3/racoon/spd"
)

// blocked sends a packet each way through each pair of selectors, and says which
// does not arrive.
func (s *Sim[E, P]) blocked() string {
	if s.NAT {
		return "" // the plane's packets do not know the translated addresses
	}
	for _, n := range s.Nodes() {
		for _, x := range n.Up() {
			for _, c := range x.Children.All() {
				l, r := c.Info.LocalTS[0], c.Info.RemoteTS[0]
				f := spd.Flow{Src: within(l), Dst: within(r), Protocol: 17, SrcPort: 1000, DstPort: 2000}
				if d := n.Plane.Send(n.Other().Plane, f, 100); d.Outcome != spd.Delivered {
					return fmt.Sprintf("%s: a packet through Child SA %08x: %v", n.Name, c.Info.Out, d)
				}
			}
		}
	}
	return ""
}

// within is an address of a selector: a host, or one of a network.
func within(ts spd.TrafficSelector) netip.Addr {
	if ts.First == ts.Last {
		return ts.First
	}
	return ts.First.Next()
}

// probe sends packets both ways whenever something has changed, at once and
// a little later. Once the Child SA is up, each must arrive.
func (s *Sim[E, P]) probe() {
	if s.W.Digest() == s.lastSeen {
		return
	}
	s.lastSeen = s.W.Digest()
	if !s.flowing {
		if len(s.A.children) == 0 || len(s.B.children) == 0 || s.A.busy() != "" || s.B.busy() != "" {
			return
		}
		s.flowing = true
	}
	s.sendProbes()
	s.W.After(s.W.Between(time.Millisecond, 50*time.Millisecond), s.sendProbes)
}

func (s *Sim[E, P]) sendProbes() {
	if !s.flowing || s.err != nil {
		return
	}
	s.sendProbe(s.A, netip.AddrFrom4([4]byte{10, 1, 0, 1}), netip.AddrFrom4([4]byte{10, 2, 0, 1}))
	s.sendProbe(s.B, netip.AddrFrom4([4]byte{10, 2, 0, 1}), netip.AddrFrom4([4]byte{10, 1, 0, 1}))
}

func (s *Sim[E, P]) sendProbe(n *Node[E, P], src, dst netip.Addr) {
	s.probed++
	p, d := n.Plane.Encapsulate(spd.Flow{Src: src, Dst: dst, Protocol: 17, SrcPort: 1000, DstPort: 2000}, 100)
	if p == nil {
		s.Failf("%s: traffic gap: %v", n.Name, d)
		return
	}
	sent := s.W.Elapsed()
	n.Net.Carry(ike.Path{Local: p.Src, Remote: p.Dst}, time.Millisecond, 20*time.Millisecond, func(_ *simnet.Node, _ ike.Path) {
		if d := n.Other().Plane.Deliver(p); d.Outcome != spd.Delivered && s.flowing {
			s.Failf("%s: traffic gap: packet sent at %v: %v", n.Name, sent, d)
		}
	})
}
