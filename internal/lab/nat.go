//go:build linux

package lab

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// A Mapping is a binding of a [Router]'s NAT.
type Mapping struct {
	Proto   uint8          // IP protocol
	Inside  netip.AddrPort // the inside host; for ICMP the port is the echo identifier
	Outside netip.AddrPort // what the outside sees
}

// natMapping is a mapping with what is needed to filter and to forget it.
type natMapping struct {
	Mapping
	remotes map[netip.AddrPort]bool // who may use it from outside
	used    time.Time
}

// natTable is the state of the NAT. A handful of mappings is all that tests have,
// so it is a list.
type natTable struct {
	cfg  RouterConfig
	list []*natMapping
	next uint16 // the next outside port to try

	// fragments remembers the mapping of a first fragment for those that follow.
	fragments map[fragmentKey]*natMapping
	rebound   bool
}

type fragmentKey struct {
	src, dst netip.Addr
	proto    uint8
	id       uint16
}

func (n *natTable) reset(cfg RouterConfig) {
	n.cfg, n.next = cfg, 20001
	n.fragments = map[fragmentKey]*natMapping{}
}

func (n *natTable) forget() {
	n.list, n.rebound = nil, true
	clear(n.fragments)
}

// expire forgets what has been idle for too long.
func (n *natTable) expire(now time.Time) {
	if n.cfg.Timeout > 0 {
		n.list = slices.DeleteFunc(n.list, func(m *natMapping) bool { return now.Sub(m.used) >= n.cfg.Timeout })
	}
}

// outbound translates the source of a packet from the inside and makes a mapping
// where there is none.
func (n *natTable) outbound(p *Packet, public netip.Addr, now time.Time) bool {
	n.expire(now)
	src, dst, ok := n.endpoints(p)
	if !ok {
		return false
	}
	m := n.fragment(p)
	if m == nil && !p.Fragment {
		i := slices.IndexFunc(n.list, func(m *natMapping) bool {
			return m.Proto == p.Proto && m.Inside == src && (!n.cfg.Symmetric || m.remotes[dst])
		})
		if i < 0 {
			i = len(n.list)
			n.list = append(n.list, &natMapping{
				Mapping: Mapping{Proto: p.Proto, Inside: src, Outside: n.allocate(p.Proto, public, src.Port())},
				remotes: map[netip.AddrPort]bool{},
			})
		}
		m = n.list[i]
		n.remember(p, m)
	}
	if m == nil {
		return false
	}
	if !p.Fragment {
		m.remotes[dst] = true
	}
	m.used = now
	n.rewrite(p, 12, 0, src, m.Outside)
	return true
}

// inbound translates the destination of a packet from outside. An answer does not
// keep a mapping alive: RFC 4787 REQ-6 leaves that to the NAT.
func (n *natTable) inbound(p *Packet, now time.Time) bool {
	n.expire(now)
	src, dst, ok := n.endpoints(p)
	if !ok {
		return false
	}
	m := n.fragment(p)
	if m == nil && !p.Fragment {
		for _, x := range n.list {
			if x.Proto == p.Proto && x.Outside == dst && x.remotes[src] {
				m = x
				n.remember(p, m)
			}
		}
	}
	if m == nil {
		return false
	}
	n.rewrite(p, 16, 2, dst, m.Inside)
	p.Dst = m.Inside
	return true
}

// endpoints are a packet's ends, with the echo identifier for the inside's port
// of an ICMP echo. Not ok: it cannot be translated.
func (n *natTable) endpoints(p *Packet) (src, dst netip.AddrPort, ok bool) {
	if n.isFragment(p) && n.cfg.DropFragments {
		return src, dst, false
	}
	switch {
	case p.Proto == unix.IPPROTO_UDP || p.Proto == unix.IPPROTO_TCP:
		return p.Src, p.Dst, true
	case p.Proto == unix.IPPROTO_ICMP && p.Fragment:
		return p.Src, p.Dst, true
	case p.Proto == unix.IPPROTO_ICMP && len(p.Payload) >= 8 && p.Payload[0] == 8: // echo request
		return netip.AddrPortFrom(p.Src.Addr(), binary.BigEndian.Uint16(p.Payload[4:])), p.Dst, true
	case p.Proto == unix.IPPROTO_ICMP && len(p.Payload) >= 8 && p.Payload[0] == 0: // echo reply
		return p.Src, netip.AddrPortFrom(p.Dst.Addr(), binary.BigEndian.Uint16(p.Payload[4:])), true
	}
	return src, dst, false
}

// allocate finds an outside port that is free.
func (n *natTable) allocate(proto uint8, public netip.Addr, inside uint16) netip.AddrPort {
	free := func(port uint16) bool {
		return !slices.ContainsFunc(n.list, func(m *natMapping) bool { return m.Proto == proto && m.Outside.Port() == port })
	}
	if n.cfg.PreservePorts && !n.rebound && free(inside) {
		return netip.AddrPortFrom(public, inside)
	}
	for !free(n.next) {
		n.next++
	}
	n.next++
	return netip.AddrPortFrom(public, n.next-1)
}

// isFragment tells of every fragment, the first one as well.
func (n *natTable) isFragment(p *Packet) bool {
	return p.Fragment || binary.BigEndian.Uint16(p.Raw[6:])&0x2000 != 0
}

func (n *natTable) key(p *Packet) fragmentKey {
	return fragmentKey{p.Src.Addr(), p.Dst.Addr(), p.Proto, binary.BigEndian.Uint16(p.Raw[4:])}
}

// fragment finds the mapping of a fragment that is not the first.
func (n *natTable) fragment(p *Packet) *natMapping {
	if !p.Fragment {
		return nil
	}
	return n.fragments[n.key(p)]
}

// remember keeps the mapping for the fragments that follow p.
func (n *natTable) remember(p *Packet, m *natMapping) {
	if len(n.fragments) > 256 {
		clear(n.fragments)
	}
	if n.isFragment(p) {
		n.fragments[n.key(p)] = m
	}
}

// rewrite changes the address at offset addr of the IPv4 header, and the port at
// offset port behind it, from one endpoint to another, with the checksums.
func (n *natTable) rewrite(p *Packet, addr, port int, from, to netip.AddrPort) {
	header := int(p.Raw[0]&15) * 4
	t := p.Raw[header:]
	var change []byte // old and new, in 16-bit words
	a, b := from.Addr().As4(), to.Addr().As4()
	change = append(append(change, a[:]...), b[:]...)
	fixChecksum(p.Raw[10:], change)
	copy(p.Raw[addr:], b[:])
	if p.Fragment {
		return
	}
	o, w := binary.BigEndian.AppendUint16(nil, from.Port()), binary.BigEndian.AppendUint16(nil, to.Port())
	ports := append(o, w...)
	// The pseudo-header has the addresses too, but not that of ICMP.
	both := append(append(append(slices.Clone(a[:]), o...), b[:]...), w...)
	switch p.Proto {
	case unix.IPPROTO_UDP:
		if t[6] != 0 || t[7] != 0 { // else there is none
			fixChecksum(t[6:], both)
			if t[6] == 0 && t[7] == 0 {
				t[6], t[7] = 0xff, 0xff
			}
		}
		copy(t[port:], w)
	case unix.IPPROTO_TCP:
		if len(t) >= 18 {
			fixChecksum(t[16:], both)
		}
		copy(t[port:], w)
	case unix.IPPROTO_ICMP:
		fixChecksum(t[2:], ports)
		copy(t[4:], w)
	}
}

// fixChecksum changes the Internet checksum at the start of sum for octets that
// change: the first half of change is what they were, the second what they are
// (RFC 1624, equation 3).
func fixChecksum(sum, change []byte) {
	s := uint32(^binary.BigEndian.Uint16(sum))
	half := len(change) / 2
	for i := 0; i < half; i += 2 {
		s += uint32(^binary.BigEndian.Uint16(change[i:])) + uint32(binary.BigEndian.Uint16(change[half+i:]))
	}
	for s > 0xffff {
		s = s&0xffff + s>>16
	}
	binary.BigEndian.PutUint16(sum, ^uint16(s))
}
