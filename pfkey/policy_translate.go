package pfkey

import (
	"fmt"
	"net/netip"

	"github.com/racoon3/racoon/spd"
)

// kernelKey names a policy in the kernel: there is one at most of a selector
// and direction.
type kernelKey struct {
	dir          Dir
	src, dst     netip.Prefix
	sport, dport uint16
	proto        uint8
}

func (k *kernelKey) entry() PolicyEntry {
	return PolicyEntry{Src: k.src, Dst: k.dst, SrcPort: k.sport, DstPort: k.dport, Proto: k.proto, Policy: Policy{Dir: k.dir}}
}

// overlaps reports whether a packet can match both.
func (k *kernelKey) overlaps(o *kernelKey) bool {
	port := func(a, b uint16) bool { return a == 0 || b == 0 || a == b }
	return k.dir == o.dir && (k.proto == 0 || o.proto == 0 || k.proto == o.proto) && port(k.sport, o.sport) && port(k.dport, o.dport) &&
		k.src.Overlaps(o.src) && k.dst.Overlaps(o.dst)
}

// specificity is higher for the narrower of two selectors, at most 2053.
func (k *kernelKey) specificity() uint32 {
	n := uint32(k.src.Bits()+k.dst.Bits()) * 8
	if k.src.Addr().Is4() {
		n *= 4 // a /0 is as wide in either family
	}
	for _, port := range [...]uint16{k.sport, k.dport} {
		if port != 0 {
			n += 2
		}
	}
	if k.proto != 0 {
		n++
	}
	return n
}

// maxKeys bounds what one policy with address ranges can become.
const maxKeys = 256

// keys returns what a policy becomes in the kernel. No keys and no error say
// that the kernel has no such policies, and needs none.
func (d *Dialect) keys(p *spd.Policy) ([]kernelKey, error) {
	if err := p.Valid(); err != nil {
		return nil, err
	}
	lacks := func(what string, args ...any) error {
		return fmt.Errorf("%w: pfkey: %s: policy %v", spd.ErrUnsupported, fmt.Sprintf(what, args...), p)
	}
	from, to := &p.Selector.Local, &p.Selector.Remote
	var dirs []Dir
	switch p.Direction {
	case spd.Out:
		dirs = []Dir{DirOut}
	case spd.In:
		from, to = to, from
		dirs = []Dir{DirIn}
		// What leaves a tunnel to another host is looked up apart from the rest.
		protects := p.Action == spd.ActionProtect || p.Action == spd.ActionTrap
		if d.forward && (!protects || p.Mode == spd.ModeTunnel) {
			dirs = append(dirs, DirForward)
		}
	default:
		from, to = to, from
		if !d.forward {
			return nil, nil // inbound policies are for both
		}
		dirs = []Dir{DirForward}
	}
	k := kernelKey{proto: max(from.Protocol, to.Protocol)}
	var err error
	if k.sport, k.dport, err = d.ports(k.proto, from, to); err != nil {
		return nil, lacks("%v", err)
	}
	src, dst := prefixes(from.First, from.Last), prefixes(to.First, to.Last)
	if len(src)*len(dst) > maxKeys {
		return nil, lacks("address ranges of %d prefixes", len(src)*len(dst))
	}
	var r []kernelKey
	for _, k.dir = range dirs {
		for _, k.src = range src {
			for _, k.dst = range dst {
				r = append(r, k)
			}
		}
	}
	return r, nil
}

// ports returns the ports of a selector, 0 for any.
func (d *Dialect) ports(proto uint8, from, to *spd.TrafficSelector) (sport, dport uint16, err error) {
	switch proto {
	case 1, 58, 135: // ICMP, ICMPv6, Mobility Header
		return d.messageType(proto, from.Ports)
	}
	for _, x := range [...]struct {
		r    spd.PortRange
		port *uint16
	}{{from.Ports, &sport}, {to.Ports, &dport}} {
		switch {
		case x.r == spd.AnyPort:
		case x.r.First == x.r.Last && x.r.First != 0:
			*x.port = x.r.First
		default:
			return 0, 0, fmt.Errorf("ports %d-%d; a kernel takes one port or all", x.r.First, x.r.Last)
		}
	}
	return sport, dport, nil
}

// messageType returns message type and code in the places of the ports, which
// the sender's side of a selector has (RFC 4301 4.4.1.3).
func (d *Dialect) messageType(proto uint8, r spd.PortRange) (typ, code uint16, err error) {
	if r == spd.AnyPort {
		return 0, 0, nil
	}
	typ, code = r.First>>8, r.First&255
	whole := r.First&255 == 0 && (r.Last == r.First|255 || proto == 135 && r.Last == r.First)
	switch {
	case !d.icmpSelectors:
		return 0, 0, fmt.Errorf("message types of protocol %d on %s", proto, d)
	case typ == 0 || !whole && (r.First != r.Last || code == 0):
		return 0, 0, fmt.Errorf("message types %d/%d-%d/%d; a kernel takes one type but 0, with one code but 0 or all", typ, code, r.Last>>8, r.Last&255)
	case whole || proto == 135:
		return typ, 0, nil
	}
	return typ, code, nil
}

// prefixes returns the fewest prefixes that together are a range.
func prefixes(first, last netip.Addr) (r []netip.Prefix) {
	for {
		bits := first.BitLen()
		for bits > 0 {
			wider := netip.PrefixFrom(first, bits-1)
			if wider.Masked().Addr() != first || last.Less(lastOf(wider)) {
				break
			}
			bits--
		}
		p := netip.PrefixFrom(first, bits)
		r = append(r, p)
		end := lastOf(p)
		if end == last || len(r) > maxKeys {
			return r
		}
		first = end.Next()
	}
}

// lastOf returns the last address of a prefix.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := range b {
		switch host := (i+1)*8 - p.Bits(); {
		case host >= 8:
			b[i] = 255
		case host > 0:
			b[i] |= 1<<host - 1
		}
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// kernelPriority gives the priority with which equal priorities of key
// management fall in the order that spd.Policy wants: the more specific first.
func (k *kernelKey) kernelPriority(p *spd.Policy) uint32 {
	const bits = 12 // specificity is below 1<<12
	return min(p.Priority, 1<<(32-bits)-1)<<bits | (1<<bits - 1 - min(k.specificity(), 1<<bits-1))
}

// before reports whether packets have to meet a before b, of equal selectors
// the one that is to be in the kernel.
func before(a, b *spd.Policy) bool {
	if a.Priority != b.Priority {
		return a.Priority < b.Priority
	}
	return a.Action == spd.ActionProtect && b.Action == spd.ActionTrap
}

// template is what a policy asks for, from the bundle that is installed for it
// if there is one: with that the kernel's policy fits its SAs, IPComp and moved
// endpoints included.
func (p *DataPlane) template(sp *spd.Policy) (sas []spd.SA, local, remote netip.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if list := p.bundles[sp.ReqID]; len(list) > 0 && sp.ReqID != 0 {
		dir := spd.Out
		if sp.Direction != spd.Out {
			dir = spd.In
		}
		// The latest of the direction, and of those to the policy's own peer: the
		// peers of road warriors may share a request ID.
		best, rank := list[len(list)-1], -1
		for _, b := range list {
			r := 0
			if b.dir == dir {
				r++
			}
			if b.remote.Addr() == sp.Remote && b.local.Addr() == sp.Local {
				r += 2
			}
			if r >= rank {
				best, rank = b, r
			}
		}
		return best.sas, best.local.Addr(), best.remote.Addr()
	}
	mode := sp.Mode
	for _, proto := range sp.Inner {
		if proto != 0 {
			sas = append(sas, spd.SA{Protocol: proto, Mode: mode})
			mode = spd.ModeTransport
		}
	}
	return append(sas, spd.SA{Protocol: sp.Protocol, Mode: mode}), sp.Local, sp.Remote
}

// policyEntry returns what is to be in the kernel for a policy.
func (p *DataPlane) policyEntry(k *kernelKey, sp *spd.Policy, reqID uint32) (PolicyEntry, error) {
	e := k.entry()
	e.Policy.Priority = 0
	if p.d.priority {
		e.Policy.Priority = k.kernelPriority(sp)
	}
	switch sp.Action {
	case spd.ActionDiscard:
		e.Policy.Type = PolicyDiscard
		return e, nil
	case spd.ActionBypass:
		e.Policy.Type = PolicyNone
		return e, nil
	}
	e.Policy.Type = PolicyIPsec
	sas, local, remote := p.template(sp)
	for i := range sas {
		typ, ok := protocolTypes[sas[i].Protocol]
		if !ok {
			return e, fmt.Errorf("%w: pfkey: policy %v: protocol %v", spd.ErrUnsupported, sp, sas[i].Protocol)
		}
		r := Request{Proto: protoNumber(typ), Mode: modeOf(sas[i].Mode), Level: LevelUnique, ReqID: reqID}
		switch {
		case k.dir != DirOut && (sp.OptionalInbound || typ == SATypeIPComp):
			r.Level = LevelUse // small packets are not compressed (RFC 3173 2.2)
		case reqID == 0:
			r.Level = LevelRequire
		}
		if r.Mode == ModeTunnel {
			src, dst := local, remote
			if k.dir != DirOut {
				src, dst = dst, src
			}
			known := dst
			if !known.IsValid() {
				known = src
			}
			if !known.IsValid() {
				return e, fmt.Errorf("%w: policy %v: a tunnel without addresses", spd.ErrPolicy, sp)
			}
			// A peer that is not known yet: its packets wait for the SA that will
			// tell.
			for _, a := range []*netip.Addr{&src, &dst} {
				if !a.IsValid() {
					*a = unspecified(known)
				}
			}
			r.Src, r.Dst = SockAddr{Addr: src}, SockAddr{Addr: dst}
		}
		e.Policy.Requests = append(e.Policy.Requests, r)
	}
	return e, nil
}
