package pfkey

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/racoon3/racoon/spd"
)

// MovePeer implements [spd.DataPlane]. The sequence number and the replay
// window go with the SA; where a kernel cannot do that (NetBSD), or cannot
// begin or end UDP encapsulation (Linux), the error says so, and a rekey is
// what helps. The tunnels of the SA's policies move with it.
func (p *DataPlane) MovePeer(ctx context.Context, id spd.SAID, to spd.Endpoints) error {
	if err := to.Valid(); err != nil {
		return err
	}
	if to.NonIKE && !p.caps.NonIKE {
		return fmt.Errorf("%w: pfkey: ESP in UDP behind the non-IKE marker to %v", spd.ErrUnsupported, to.Remote)
	}
	s, err := p.find(ctx, id)
	if err != nil {
		return err
	}
	p.policyMu.Lock()
	defer p.policyMu.Unlock()
	e := s.entry
	moved := e
	src, dst := to.Local, to.Remote
	if id.Direction == spd.In {
		src, dst = dst, src
	}
	moved.Src, moved.Dst, moved.Encap = src.Addr(), dst.Addr(), nil
	if to.UDPEncap && e.Type == SATypeESP {
		moved.Encap = encapOf(id.Direction, to)
		if e.Encap != nil {
			moved.Encap.FragmentSize = e.Encap.FragmentSize
		}
	}
	next := id
	next.Dst = dst.Addr()
	p.mu.Lock()
	other := p.sas[next]
	p.mu.Unlock()
	if other != nil && other != s {
		return fmt.Errorf("%w: %v SPI %#x to %v", spd.ErrExists, id.Protocol, uint32(id.SPI), next.Dst)
	}
	if err := p.move(ctx, s, &e, &moved); err != nil {
		return translate(err)
	}
	p.mu.Lock()
	delete(p.sas, id)
	if p.dying[id] {
		delete(p.dying, id)
		p.dying[next] = true
	}
	s.id, s.entry = next, moved
	p.sas[next] = s
	s.bundle.local, s.bundle.remote, s.bundle.udp = to.Local, to.Remote, to.UDPEncap
	p.mu.Unlock()
	return p.refreshPoliciesLocked(ctx, s.bundle.reqID)
}

// encapOf is the encapsulation of an SA between endpoints.
func encapOf(dir spd.Direction, to spd.Endpoints) *Encap {
	e := &Encap{SrcPort: to.Local.Port(), DstPort: to.Remote.Port(), Inbound: dir == spd.In}
	if to.NonIKE {
		e.Type = NATTNonIKE
	}
	if e.Inbound {
		e.SrcPort, e.DstPort = e.DstPort, e.SrcPort
	}
	return e
}

func samePorts(a, b *Encap) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.SrcPort == b.SrcPort && a.DstPort == b.DstPort
}

// move makes the kernel move an SA. policyMu is locked.
func (p *DataPlane) move(ctx context.Context, s *installed, from, to *SAEntry) error {
	sameAddresses := from.Src == to.Src && from.Dst == to.Dst
	if sameAddresses && samePorts(from.Encap, to.Encap) {
		return nil
	}
	switch p.d.move {
	case moveMigrate:
		if (from.Encap == nil) != (to.Encap == nil) {
			return fmt.Errorf("%w: pfkey: %s cannot begin or end UDP encapsulation of an SA", spd.ErrUnsupported, p.d)
		}
		if !sameAddresses {
			if err := p.migrate(ctx, s, from, to); err != nil {
				return err
			}
		}
		if samePorts(from.Encap, to.Encap) {
			return nil
		}
		// Keys stay what they are, but must look like keys.
		u := *to
		u.AuthKey, u.EncryptKey = make(spd.Key, s.keyBits[0]), make(spd.Key, s.keyBits[1])
		return p.c.Update(ctx, &u)
	case moveUpdate:
		if from.Encap != nil && to.Encap == nil {
			return fmt.Errorf("%w: pfkey: %s cannot end UDP encapsulation of an SA", spd.ErrUnsupported, p.d)
		}
		m, err := p.d.saMessage(MsgUpdate, from)
		if err != nil {
			return err
		}
		kept := m.Exts[:0]
		for _, e := range m.Exts {
			switch e.Ext() {
			case ExtKeyEncrypt, ExtKeyAuth, ExtNATTType, ExtNATTSPort, ExtNATTDPort, ExtNATTOAI, ExtNATTOAR:
			default:
				kept = append(kept, e)
			}
		}
		m.Exts = kept
		if !sameAddresses {
			m.Exts = append(m.Exts, saAddress(ExtNewAddressSrc, to.Src, to.Scope, 0), saAddress(ExtNewAddressDst, to.Dst, to.Scope, 0))
		}
		if to.Encap != nil {
			p.d.addEncap(m, m.SA(), nil, nil, to.Encap)
		}
		_, err = p.c.Do(ctx, m)
		return err
	case moveMigrateSA:
		m := from.Key().message(MsgMigrateSA)
		sa := m.SA()
		sa.Long = true
		if to.Encap != nil {
			p.d.addEncap(m, sa, nil, nil, to.Encap)
		}
		m.Exts = append(m.Exts, saAddress(ExtMigrateSrc, to.Src, to.Scope, 0), saAddress(ExtMigrateDst, to.Dst, to.Scope, 0))
		_, err := p.c.Do(ctx, m)
		return err
	}
	return fmt.Errorf("%w: pfkey: %s cannot move an SA", spd.ErrUnsupported, p.d)
}

// migrate moves an SA by X_MIGRATE, which wants a policy with the old
// endpoints: one that the SA has, so that both move at once, else one that is
// made for it.
func (p *DataPlane) migrate(ctx context.Context, s *installed, from, to *SAEntry) error {
	x := Migration{Moves: []Move{{
		Proto: protoNumber(from.Type), Mode: from.Mode, ReqID: from.ReqID,
		OldSrc: SockAddr{Addr: from.Src}, OldDst: SockAddr{Addr: from.Dst}, NewSrc: SockAddr{Addr: to.Src}, NewDst: SockAddr{Addr: to.Dst},
	}}}
	fits := func(r *Request) bool {
		return r.Proto == x.Moves[0].Proto && r.Mode == from.Mode && r.ReqID == from.ReqID &&
			(from.Mode != ModeTunnel || r.Src.Addr == from.Src && r.Dst.Addr == from.Dst)
	}
	if kp := p.policies.with(s.bundle.reqID, func(kp *kernelPolicy) bool {
		return (kp.key.dir == DirOut) == (s.id.Direction == spd.Out) && len(kp.entry.Policy.Requests) == 1 && fits(&kp.entry.Policy.Requests[0])
	}); kp != nil {
		x.Policy = kp.entry
		err := p.c.Migrate(ctx, &x)
		if err == nil {
			r := &kp.entry.Policy.Requests[0]
			if r.Mode == ModeTunnel {
				kp.entry.Policy.Requests = []Request{{Proto: r.Proto, Mode: r.Mode, Level: r.Level, ReqID: r.ReqID, Src: x.Moves[0].NewSrc, Dst: x.Moves[0].NewDst}}
			}
			return nil
		}
		if !errors.Is(err, EINVAL) && !missing(err) {
			return err
		}
	}
	// Addresses that no packet has (RFC 1112 4, RFC 6666).
	a, b := netip.MustParsePrefix("240.0.0.1/32"), netip.MustParsePrefix("240.0.0.2/32")
	if from.Src.Is6() {
		a, b = netip.MustParsePrefix("100::1/128"), netip.MustParsePrefix("100::2/128")
	}
	r := Request{Proto: x.Moves[0].Proto, Mode: from.Mode, Level: LevelUnique, ReqID: from.ReqID}
	if from.Mode == ModeTunnel {
		r.Src, r.Dst = x.Moves[0].OldSrc, x.Moves[0].OldDst
	}
	x.Policy = PolicyEntry{Src: a, Dst: b, Policy: Policy{Type: PolicyIPsec, Dir: DirOut, Requests: []Request{r}}}
	if r.ReqID == 0 {
		x.Policy.Policy.Requests[0].Level = LevelRequire
	}
	if _, err := p.c.SPDUpdate(ctx, &x.Policy); err != nil {
		return err
	}
	err := p.c.Migrate(ctx, &x)
	undo, cancel := cleanup(ctx)
	defer cancel()
	_ = p.c.SPDDelete(undo, &x.Policy)
	return err
}

func protoNumber(t SAType) uint16 {
	switch t {
	case SATypeAH:
		return IPProtoAH
	case SATypeIPComp:
		return IPProtoIPComp
	}
	return IPProtoESP
}
