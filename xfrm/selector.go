package xfrm

import (
	"fmt"
	"net/netip"
)

// A Selector chooses packets (struct xfrm_selector, 56 octets). The zero value
// has no family: as an SA's it chooses all packets of the SA's own one.
//
// Src and Dst are of one family; in a policy they are both valid. A port
// matches if it equals the selector's in the bits of its mask: a mask of 0 is
// any port, 0xffff one port. For ICMP the source port is the type and the
// destination port the code.
type Selector struct {
	Src, Dst             netip.Prefix
	SrcPort, SrcPortMask uint16
	DstPort, DstPortMask uint16
	Proto                uint8 // IP protocol, 0 for any
	Interface            int32 // index of the interface, 0 for any
	User                 uint32
}

func (s *Selector) append(b []byte) []byte {
	b = appendAddr(b, s.Dst.Addr())
	b = appendAddr(b, s.Src.Addr())
	b = appendPort(b, s.DstPort)
	b = appendPort(b, s.DstPortMask)
	b = appendPort(b, s.SrcPort)
	b = appendPort(b, s.SrcPortMask)
	b = append16(b, familyOfAny(s.Dst.Addr(), s.Src.Addr()))
	b = append(b, prefixBits(s.Dst), prefixBits(s.Src), s.Proto, 0, 0, 0)
	b = append32(b, uint32(s.Interface))
	return append32(b, s.User)
}

func prefixBits(p netip.Prefix) uint8 {
	if !p.IsValid() {
		return 0
	}
	return uint8(p.Bits())
}

// selector reads a selector. A prefix length that its family does not have is
// taken for the longest one, which is how the kernel compares it.
func (c *cursor) selector() (s Selector) {
	dst, src := c.addr(), c.addr()
	s.DstPort, s.DstPortMask = c.port(), c.port()
	s.SrcPort, s.SrcPortMask = c.port(), c.port()
	family := c.u16()
	dstBits, srcBits := int(c.u8()), int(c.u8())
	s.Proto = c.u8()
	c.skip(3)
	s.Interface = int32(c.u32())
	s.User = c.u32()
	s.Dst = prefix(address(dst, family), dstBits)
	s.Src = prefix(address(src, family), srcBits)
	return s
}

func prefix(a netip.Addr, bits int) netip.Prefix {
	if !a.IsValid() {
		return netip.Prefix{}
	}
	return netip.PrefixFrom(a, min(bits, a.BitLen()))
}

// String returns "src 10.0.0.0/8 dst 10.1.0.0/16 proto 6 dport 80".
func (s Selector) String() string {
	t := fmt.Sprintf("src %v dst %v", s.Src, s.Dst)
	if s.Proto != 0 {
		t += fmt.Sprintf(" proto %d", s.Proto)
	}
	port := func(name string, port, mask uint16) {
		switch mask {
		case 0:
		case 0xffff:
			t += fmt.Sprintf(" %s %d", name, port)
		default:
			t += fmt.Sprintf(" %s %d/%#x", name, port, mask)
		}
	}
	port("sport", s.SrcPort, s.SrcPortMask)
	port("dport", s.DstPort, s.DstPortMask)
	return t
}
