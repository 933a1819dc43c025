package xfrm

import (
	"fmt"
	"math/bits"
	"net/netip"
	"slices"

	"github.com/racoon3/racoon/spd"
)

// maxSelectors bounds how many of the kernel's selectors one policy becomes:
// ranges of addresses and ports are taken apart into prefixes and masks.
const maxSelectors = 1024

// selectors are the kernel's selectors of the packets of a direction that s
// selects. Ranges become as few prefixes and port masks as there can be; more
// than limit of them are refused.
func selectors(d spd.Direction, s *spd.Selector, limit int) ([]Selector, error) {
	src, dst := &s.Remote, &s.Local
	if d == spd.Out {
		src, dst = dst, src
	}
	proto := max(src.Protocol, dst.Protocol)
	srcPorts, dstPorts, err := portBlocks(proto, src.Ports, dst.Ports)
	if err != nil {
		return nil, err
	}
	srcNets, dstNets := slices.Collect(src.Prefixes()), slices.Collect(dst.Prefixes())
	n := len(srcNets) * len(dstNets) * len(srcPorts) * len(dstPorts)
	if n > limit {
		return nil, fmt.Errorf("%w: xfrm: the ranges of %v take %d selectors of prefixes and port masks, above %d", spd.ErrUnsupported, s, n, limit)
	}
	r := make([]Selector, 0, n)
	for _, a := range srcNets {
		for _, b := range dstNets {
			for _, sp := range srcPorts {
				for _, dp := range dstPorts {
					sel := Selector{Src: a, Dst: b, Proto: proto, SrcPort: sp.value, SrcPortMask: sp.mask, DstPort: dp.value, DstPortMask: dp.mask}
					if hasMessageType(proto) {
						// One block of type and code together; the kernel has the type
						// where a source port is, and the code where the other one is.
						sel.SrcPort, sel.SrcPortMask, sel.DstPort, sel.DstPortMask = sp.value>>8, sp.mask>>8, sp.value&0xff, sp.mask&0xff
						if sel.SrcPortMask != 0 {
							sel.SrcPortMask |= 0xff00
						}
						if sel.DstPortMask != 0 {
							sel.DstPortMask |= 0xff00
						}
						if proto == protoMH {
							sel.DstPort, sel.DstPortMask = 0, 0
						}
					}
					r = append(r, sel)
				}
			}
		}
	}
	return r, nil
}

// IP protocols whose ports are a message type and code (RFC 4301 4.4.1.3).
const (
	protoICMP   = 1
	protoICMPv6 = 58
	protoMH     = 135
)

func hasMessageType(p uint8) bool { return p == protoICMP || p == protoICMPv6 || p == protoMH }

// A block is the ports that equal value where mask has ones.
type block struct{ value, mask uint16 }

var anyBlock = []block{{}}

func portBlocks(proto uint8, src, dst spd.PortRange) (s, d []block, err error) {
	if src == spd.OpaquePort || dst == spd.OpaquePort {
		return nil, nil, fmt.Errorf("%w: xfrm: OPAQUE ports", spd.ErrUnsupported)
	}
	if hasMessageType(proto) {
		// Such a packet has one value, that of its sender (RFC 4301 4.4.1.3).
		if src == spd.AnyPort {
			src = dst
		}
		return blocks(src), anyBlock, nil
	}
	return blocks(src), blocks(dst), nil
}

// blocks are the least blocks that together are the range.
func blocks(r spd.PortRange) []block {
	if r == spd.AnyPort {
		return anyBlock
	}
	var bs []block
	for first, last := uint32(r.First), uint32(r.Last); first <= last; {
		size := uint32(1) << 16
		if first > 0 {
			size = 1 << bits.TrailingZeros32(first)
		}
		for first+size-1 > last {
			size >>= 1
		}
		bs = append(bs, block{uint16(first), uint16(-int32(size))})
		first += size
	}
	return bs
}

// Levels of specificity within one priority: the sum of the prefix lengths,
// how many ports there are on both sides together, and whether there is a
// protocol. Numbers of ports are told apart by their powers of two: beyond what
// one side with all ports has, if one has.
const (
	prefixLevels = 257
	portLevels   = 35
	levels       = prefixLevels * portLevels * 2

	// maxPriority is the highest priority of a policy that leaves room for the
	// levels in the kernel's 32 bits.
	maxPriority = (1<<32 - levels) / levels
)

// priorityOf is the kernel's priority of a policy. Among policies of equal
// priority the kernel takes the first it finds; the more specific one must be
// before it, as [spd.Policy] says.
func priorityOf(p *spd.Policy) uint32 {
	width := func(r spd.PortRange) uint32 { return uint32(r.Last) - uint32(r.First) + 1 }
	l, r := &p.Selector.Local, &p.Selector.Remote
	prefixes := uint32(256 - l.SmallestPrefix().Bits() - r.SmallestPrefix().Bits())
	ports := width(l.Ports) + width(r.Ports)
	if ports > 1<<16 {
		ports = 17 + uint32(bits.Len32(ports-1<<16))
	} else {
		ports = uint32(bits.Len32(ports))
	}
	level := (prefixes*portLevels + ports) * 2
	if l.Protocol == 0 && r.Protocol == 0 {
		level++
	}
	return p.Priority*levels + level
}

// unselect is the spd form of a kernel's selector, as seen from this host. A
// port mask that is no single port or any is taken for any.
func unselect(d Direction, s *Selector) spd.Selector {
	src, dst := fromPrefix(s.Src), fromPrefix(s.Dst)
	ports := func(port, mask uint16) spd.PortRange {
		if mask == 0xffff {
			return spd.PortRange{First: port, Last: port}
		}
		return spd.AnyPort
	}
	sp, dp := ports(s.SrcPort, s.SrcPortMask), ports(s.DstPort, s.DstPortMask)
	switch {
	case s.Proto == 0:
		sp, dp = spd.AnyPort, spd.AnyPort
	case hasMessageType(s.Proto) && sp != spd.AnyPort:
		first, last := s.SrcPort<<8, s.SrcPort<<8|0xff
		if s.DstPortMask == 0xffff {
			first |= s.DstPort & 0xff
			last = first
		}
		sp = spd.PortRange{First: first, Last: last}
		dp = sp
	case !hasMessageType(s.Proto) && !hasPorts(s.Proto):
		sp, dp = spd.AnyPort, spd.AnyPort
	}
	src, dst = src.WithProtocol(s.Proto, sp), dst.WithProtocol(s.Proto, dp)
	if d == DirOut {
		return spd.Selector{Local: src, Remote: dst}
	}
	return spd.Selector{Local: dst, Remote: src}
}

func hasPorts(p uint8) bool {
	switch p {
	case 6, 17, 33, 132, 136:
		return true
	}
	return false
}

func fromPrefix(p netip.Prefix) spd.TrafficSelector {
	if !p.IsValid() {
		return spd.TrafficSelector{}
	}
	return spd.FromPrefix(p)
}
