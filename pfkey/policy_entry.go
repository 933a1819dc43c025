package pfkey

import (
	"fmt"
	"net/netip"
)

// A PolicyEntry is a policy of the SPD as PF_KEY describes it: a selector and
// what to do. Src and Dst are those of the packets, whatever the direction.
type PolicyEntry struct {
	Src, Dst         netip.Prefix
	SrcPort, DstPort uint16 // 0 for any; with ICMP type and code, where the kernel has that
	Proto            uint8  // upper-layer protocol, 0 for any
	Policy           Policy

	Hard, Soft *Lifetime // nil for none; BSD has no Soft
	Current    *Lifetime
	SecCtx     *SecCtx
	IPsecIf    *IPsecIf // macOS
}

func (p *PolicyEntry) addresses() (src, dst *Address) {
	proto := p.Proto
	if proto == 0 {
		proto = ProtoAny
	}
	return &Address{Type: ExtAddressSrc, Proto: proto, PrefixLen: uint8(p.Src.Bits()), SockAddr: SockAddr{Addr: p.Src.Addr(), Port: p.SrcPort}},
		&Address{Type: ExtAddressDst, Proto: proto, PrefixLen: uint8(p.Dst.Bits()), SockAddr: SockAddr{Addr: p.Dst.Addr(), Port: p.DstPort}}
}

func (d *Dialect) policyMessage(t MsgType, p *PolicyEntry) (*Message, error) {
	if !p.Src.IsValid() || !p.Dst.IsValid() {
		return nil, fmt.Errorf("%w: policy without addresses", ErrMessage)
	}
	m := &Message{Header: Header{Type: t}}
	for _, l := range []struct {
		t ExtType
		l *Lifetime
	}{{ExtLifetimeHard, p.Hard}, {ExtLifetimeSoft, p.Soft}} {
		if l.l != nil {
			e := *l.l
			e.Type = l.t
			m.Exts = append(m.Exts, &e)
		}
	}
	src, dst := p.addresses()
	policy := p.Policy
	m.Exts = append(m.Exts, src, dst)
	if p.IPsecIf != nil {
		m.Exts = append(m.Exts, p.IPsecIf)
	}
	m.Exts = append(m.Exts, &policy)
	if p.SecCtx != nil {
		m.Exts = append(m.Exts, p.SecCtx)
	}
	return m, nil
}

// PolicyEntry returns the policy that a message is about: of SPDGET, SPDDUMP,
// SPDADD, SPDEXPIRE and the like.
func (d *Dialect) PolicyEntry(m *Message) (*PolicyEntry, error) {
	src, dst, policy := m.Address(ExtAddressSrc), m.Address(ExtAddressDst), m.Policy()
	if policy == nil {
		return nil, fmt.Errorf("%w: %v without a policy", ErrMessage, m.Type)
	}
	p := &PolicyEntry{Policy: *policy, Hard: m.Lifetime(ExtLifetimeHard), Soft: m.Lifetime(ExtLifetimeSoft),
		Current: m.Lifetime(ExtLifetimeCurrent), SecCtx: find[*SecCtx](m, ExtSecCtx), IPsecIf: find[*IPsecIf](m, ExtIPsecIf)}
	if src != nil {
		p.Src, p.SrcPort, p.Proto = netip.PrefixFrom(src.Addr, int(src.PrefixLen)), src.Port, src.Proto
	}
	if dst != nil {
		p.Dst, p.DstPort, p.Proto = netip.PrefixFrom(dst.Addr, int(dst.PrefixLen)), dst.Port, dst.Proto
	}
	if p.Proto == ProtoAny {
		p.Proto = 0
	}
	return p, nil
}
