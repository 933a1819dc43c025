package xfrm

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"slices"
	"time"

	"github.com/racoon3/racoon/spd"
)

// Defaults and limits of SAs.
const (
	defaultWindow = 64
	outboundESN   = 32 // the kernel wants a window for 64-bit numbers, outbound too

	// exhaustion is how many packets leave 2^28 of the 32-bit sequence numbers.
	exhaustion = math.MaxUint32 - 1<<28

	// mappingSeconds is how often a changed NAT mapping is told.
	mappingSeconds = 5
)

// InstallInbound implements [spd.DataPlane]. The SPIs need not come from
// AllocSPI, but must be free: an SA in use is never replaced.
func (p *DataPlane) InstallInbound(ctx context.Context, b *spd.Bundle) error {
	return p.install(ctx, spd.In, b)
}

// InstallOutbound implements [spd.DataPlane].
func (p *DataPlane) InstallOutbound(ctx context.Context, b *spd.Bundle) error {
	return p.install(ctx, spd.Out, b)
}

func (p *DataPlane) install(ctx context.Context, d spd.Direction, b *spd.Bundle) error {
	if err := p.check(d, b); err != nil {
		return err
	}
	sas, err := p.render(d, b)
	if err != nil {
		return err
	}
	defer func() {
		for i := range sas {
			sas[i].Wipe()
		}
	}()
	entries, reserved, err := p.enter(ctx, d, b, sas)
	if err != nil {
		return err
	}
	for i := range sas {
		late, err := p.installSA(ctx, &sas[i], reserved[i])
		if late {
			p.mu.Lock()
			entries[i].doubtful = true
			p.mu.Unlock()
		}
		if err != nil {
			p.undoInstall(ctx, entries, i, err)
			return err
		}
	}
	p.mu.Lock()
	for i, e := range entries {
		e.installed = true
		if reserved[i] {
			delete(p.larval, e.key)
		}
	}
	p.mu.Unlock()
	if err := p.setShape(ctx, d, b); err != nil {
		p.undoInstall(ctx, entries, len(sas), nil)
		return err
	}
	return nil
}

// enter notes the SAs of a bundle before the kernel has them, so that no event
// comes too early. Reserved tells which of them have a reserved SPI.
func (p *DataPlane) enter(ctx context.Context, d spd.Direction, b *spd.Bundle, sas []SA) (entries []*entry, reserved []bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.ready(ctx); err != nil {
		return nil, nil, err
	}
	for i := range sas {
		if p.sas[sas[i].Key()] != nil {
			return nil, nil, fmt.Errorf("xfrm: %w: %v %v SPI %#x to %v", spd.ErrExists, d, b.SAs[i].Protocol, sas[i].SPI, sas[i].Dst)
		}
	}
	for i := range sas {
		sa := &sas[i]
		e := &entry{id: b.ID(d, i), key: sa.Key(), reqID: b.ReqID, selector: sa.Selector, limits: sa.Limits,
			ends: b.Endpoints()}
		e.mapping = b.Remote
		e.exhausts = exhausts(d, &b.SAs[i], &b.Lifetime) && i == len(sas)-1
		p.remember(e)
		if sa.Thresholds != nil && sa.Thresholds.Packets > 0 {
			p.await(e)
		}
		entries = append(entries, e)
		reserved = append(reserved, p.larval[e.key] != nil)
	}
	return entries, reserved, nil
}

// installSA installs one SA. A reserved SPI becomes mature by an update; if the
// kernel has dropped the reservation, it is late and added like any other.
func (p *DataPlane) installSA(ctx context.Context, sa *SA, reserved bool) (late bool, err error) {
	if reserved {
		err := p.client.UpdateSA(ctx, sa)
		if !isErrno(err, ESRCH) {
			return false, err
		}
	}
	return reserved, p.client.AddSA(ctx, sa)
}

// undoInstall removes the SAs of a bundle up to the one that failed; that one
// too if nobody knows whether the kernel has it.
func (p *DataPlane) undoInstall(ctx context.Context, entries []*entry, failed int, err error) {
	ctx, cancel := rollbackContext(ctx)
	defer cancel()
	for i, e := range entries {
		unknown := i == failed && errors.Is(err, ErrNoAnswer)
		if i < failed || unknown {
			if err := p.client.DeleteSA(ctx, e.key); err != nil && !isErrno(err, ESRCH) {
				p.log.Error("xfrm: an SA could not be removed again", "err", err)
			}
		}
		p.mu.Lock()
		if i < failed || unknown {
			delete(p.larval, e.key)
		}
		p.forget(e)
		p.mu.Unlock()
	}
}

// check refuses bundles that the kernel cannot do.
func (p *DataPlane) check(d spd.Direction, b *spd.Bundle) error {
	if err := b.Valid(); err != nil {
		return err
	}
	if err := p.caps.Check(b); err != nil {
		return err
	}
	o := &b.Options
	lacks := func(what string) error { return fmt.Errorf("%w: xfrm: %s", spd.ErrUnsupported, what) }
	switch {
	case o.MTU != 0:
		return lacks("Options.MTU: the MTU of a tunnel is that of its route or interface")
	case o.Fragment != 0:
		return lacks("Options.Fragment: fragmentation before encapsulation")
	case o.DF == spd.DFSet:
		return lacks("Options.DF: setting DF whatever the inner packet says")
	case o.OutputMark.Mask != 0 && !p.has.outputMark:
		return lacks("Options.OutputMark: this kernel does not know it")
	case b.Local.Addr().IsUnspecified() || b.Remote.Addr().IsUnspecified():
		return fmt.Errorf("%w: outer addresses %v, %v: unspecified", spd.ErrBundle, b.Local, b.Remote)
	}
	if len(b.SAs) > 1 && b.SAs[0].Mode == spd.ModeTunnel {
		// Its lookup of those SAs compares the family of the packet before the
		// tunnel with theirs, which is that of the tunnel.
		for _, ts := range slices.Concat(b.LocalTS, b.RemoteTS) {
			if ts.Is4() != b.Local.Addr().Unmap().Is4() {
				return lacks(fmt.Sprintf("IPComp or AH with ESP in a tunnel between addresses of another family than those inside, %v", ts))
			}
		}
	}
	for i := range b.SAs {
		if d == spd.In && b.SAs[i].ESN && b.SAs[i].ReplayWindow < 0 {
			return lacks("64-bit sequence numbers without a replay window")
		}
	}
	return nil
}

// render makes the kernel's SAs of a bundle. They hold copies of the keys.
func (p *DataPlane) render(d spd.Direction, b *spd.Bundle) ([]SA, error) {
	sas := make([]SA, len(b.SAs))
	for i := range b.SAs {
		s, sa := &b.SAs[i], &sas[i]
		*sa = SA{SPI: uint32(s.SPI), Proto: protocolNumber(s.Protocol), ReqID: b.ReqID, Mode: modeOf(b.SAs, i),
			Selector: bundleSelector(d, b, i), Thresholds: &Thresholds{}}
		sa.Src, sa.Dst = b.Remote.Addr(), b.Local.Addr()
		if d == spd.Out {
			sa.Src, sa.Dst = sa.Dst, sa.Src
		}
		algorithmsOf(s, sa)
		replayOf(d, s, &b.Options, sa)
		if s.Protocol == spd.ProtoIPComp {
			sa.Thresholds = nil
		} else if d == spd.In && !p.cfg.NoFirstPacket && (sa.ReplayESN != nil) && i == len(b.SAs)-1 {
			sa.Thresholds.Packets = 1
		}
		if sa.Mode == ModeTunnel && !sa.Selector.Dst.IsValid() {
			sa.Flags |= FlagAnyFamily
		}
		if s.Protocol == spd.ProtoAH && sa.Dst.Unmap().Is4() {
			sa.Flags |= FlagAlign4 // RFC 4302 3.3.3.2.1; the kernel pads to 64 bits otherwise
		}
		if b.UDPEncap && s.Protocol == spd.ProtoESP {
			sa.Encap = encapOf(d, b.Endpoints())
			if d == spd.In {
				sa.MappingThreshold = mappingSeconds
			}
		}
		if t := b.Lifetime.HardTime; t > 0 {
			sa.Limits.HardAdd = uint64((t + time.Second - 1) / time.Second)
		}
		if i == len(b.SAs)-1 {
			l := &b.Lifetime
			sa.Limits.SoftBytes, sa.Limits.HardBytes = l.SoftBytes, l.HardBytes
			sa.Limits.SoftPackets, sa.Limits.HardPackets = l.SoftPackets, l.HardPackets
			if exhausts(d, s, l) {
				sa.Limits.SoftPackets = exhaustion
			}
		}
		if err := optionsOf(d, &b.Options, sa); err != nil {
			return nil, err
		}
	}
	return sas, nil
}

// modeOf is the mode of the i-th transform: in tunnel mode the innermost one
// makes the tunnel, and those around it protect its packets.
func modeOf(sas []spd.SA, i int) Mode {
	if sas[i].Mode == spd.ModeTransport || i > 0 {
		return ModeTransport
	}
	return ModeTunnel
}

// exhausts reports whether an SA's own soft limit comes after that of its
// sequence numbers.
func exhausts(d spd.Direction, s *spd.SA, l *spd.Lifetime) bool {
	return d == spd.Out && !s.ESN && s.Protocol != spd.ProtoIPComp &&
		(l.SoftPackets == 0 || l.SoftPackets > exhaustion) && (l.HardPackets == 0 || l.HardPackets > exhaustion)
}

func encapOf(d spd.Direction, to spd.Endpoints) Encap {
	e := Encap{Type: EncapUDP, SrcPort: to.Local.Port(), DstPort: to.Remote.Port()}
	if to.NonIKE {
		e.Type = EncapUDPNonIKE
	}
	if d == spd.In {
		e.SrcPort, e.DstPort = e.DstPort, e.SrcPort
	}
	return e
}

func algorithmsOf(s *spd.SA, sa *SA) {
	if s.Protocol == spd.ProtoIPComp {
		sa.Comp = Algorithm{Name: "deflate"}
		return
	}
	if e := encryptionOf(s.Encryption.ID); e != nil && s.Protocol == spd.ProtoESP {
		a := Algorithm{Name: e.name, Key: s.EncrKey.Clone(), ICVBits: e.icv}
		if e.icv > 0 {
			sa.AEAD = a
		} else {
			sa.Crypt = a
		}
	}
	if i := integrityOf(s.Integrity.ID); i != nil {
		sa.Auth = Algorithm{Name: i.name, Key: s.IntegKey.Clone(), ICVBits: i.icv}
	}
}

func replayOf(d spd.Direction, s *spd.SA, o *spd.Options, sa *SA) {
	window := s.ReplayWindow
	if window == 0 {
		window = defaultWindow
	}
	switch {
	case s.Protocol == spd.ProtoIPComp:
		return
	case d == spd.In && window > 0:
		sa.ReplayESN = NewReplayESN(window)
	case d == spd.Out && s.ESN && o.PerCPU != 0:
		sa.ReplayESN = &ReplayESN{} // where the direction is told, there must be no window
	case d == spd.Out && s.ESN:
		sa.ReplayESN = NewReplayESN(outboundESN)
	}
	if s.ESN {
		sa.Flags |= FlagESN
	}
}

func optionsOf(d spd.Direction, o *spd.Options, sa *SA) error {
	sa.InterfaceID = o.InterfaceID
	if o.SecurityCtx != "" {
		sa.SecCtx = SecCtx{Label: o.SecurityCtx}
	}
	if o.PerCPU != 0 {
		sa.CPU, sa.Direction = o.PerCPU, SADirIn
		if d == spd.Out {
			sa.Direction = SADirOut
		}
	}
	if o.NoECN {
		sa.Flags |= FlagNoECN
	}
	if o.Offload != "" && sa.Proto == ProtoESP {
		i, err := net.InterfaceByName(o.Offload)
		if err != nil {
			return fmt.Errorf("%w: xfrm: offload: %w", spd.ErrUnsupported, err)
		}
		sa.Offload = Offload{Interface: int32(i.Index)}
		if d == spd.In {
			sa.Offload.Flags = OffloadInbound
		}
	}
	if d == spd.In {
		sa.Mark = markOf(o.MarkIn)
		return nil
	}
	sa.Mark = markOf(o.MarkOut)
	sa.SetMark = Mark{Value: o.OutputMark.Value, Mask: o.OutputMark.Mask}
	if o.DF == spd.DFClear {
		sa.Flags |= FlagNoPMTUDisc
	}
	if o.NoDSCP {
		sa.ExtraFlags |= ExtraNoDSCP
	}
	if sa.Proto == ProtoESP && sa.Mode == ModeTunnel {
		sa.TFCPad = uint32(o.TFCPadding)
	}
	return nil
}

// bundleSelector is the selector of an SA, for the check of RFC 4301 5.2 and to
// choose among the SAs of a ReqID. An SA has one: where there are several pairs
// of traffic selectors, or one that is no prefix, the policies alone decide. It
// belongs to the innermost SA, whose packets are the inner ones.
func bundleSelector(d spd.Direction, b *spd.Bundle, i int) Selector {
	if i > 0 || len(b.LocalTS) != 1 || len(b.RemoteTS) != 1 {
		return Selector{}
	}
	keys, err := selectors(d, &spd.Selector{Local: b.LocalTS[0], Remote: b.RemoteTS[0]}, 2)
	if err != nil || len(keys) != 1 {
		return Selector{}
	}
	return keys[0]
}

// A link is one transform of a bundle, as the policies' templates have it.
type link struct {
	proto uint8
	mode  Mode
}

// shapeOf is what the templates of a bundle's policies look like.
func shapeOf(b *spd.Bundle) []link {
	links := make([]link, len(b.SAs))
	for i := range b.SAs {
		links[i] = link{protocolNumber(b.SAs[i].Protocol), modeOf(b.SAs, i)}
	}
	return links
}

// setShape lets the policies of a bundle's ReqID want all its transforms. A
// policy knows of one by itself.
func (p *DataPlane) setShape(ctx context.Context, d spd.Direction, b *spd.Bundle) error {
	var shape []link
	if len(b.SAs) > 1 {
		shape = shapeOf(b)
	}
	if err := p.lockPolicies(ctx); err != nil {
		return err
	}
	defer p.unlockPolicies()
	r := p.policies.reqs[b.ReqID]
	switch {
	case r == nil && shape == nil, r != nil && slices.Equal(r.shape, shape):
		return nil
	case r != nil && r.shape != nil && d == spd.In:
		return nil // the outbound SA of the other shape still serves
	case r == nil:
		r = p.policies.req(b.ReqID)
	}
	old := r.shape
	r.shape = shape
	if err := p.applySlots(ctx, r.matching(nil)); err != nil {
		r.shape = old
		return err
	}
	return nil
}
