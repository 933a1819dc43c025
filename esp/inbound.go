package esp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"

	"github.com/racoon3/racoon/spd"
)

// ErrUnknownSPI is what a [spd.PeerErrorEvent] carries for a packet without an
// SA (RFC 4303 section 3.4.2). Anyone can send one: it is a hint at most.
var ErrUnknownSPI = fmt.Errorf("esp: inbound packet: %w for this SPI", spd.ErrNotFound)

// ErrSelectors is what a [spd.PeerErrorEvent] carries, wrapped with the flow,
// for an authentic packet inside a tunnel that the tunnel was not negotiated
// for (RFC 4301 section 5.2).
var ErrSelectors = errors.New("esp: packet outside the SA's traffic selectors")

// inbound is one inbound SA with what the engine needs to use it.
type inbound struct {
	sa     *InboundSA
	reqID  uint32
	mode   spd.Mode
	noECN  bool
	local  []spd.TrafficSelector
	remote []spd.TrafficSelector
	nat    *translation // in transport mode
	path   atomic.Pointer[path]
	usage  usage

	used     atomic.Bool                    // the first packet was reported
	reported atomic.Pointer[netip.AddrPort] // the mapping reported last
}

// id names the SA while its packets come to there.
func (sa *inbound) id(at *path) spd.SAID {
	return spd.SAID{Direction: spd.In, Protocol: spd.ProtoESP, SPI: sa.sa.SPI(), Dst: at.Local.Addr()}
}

// Inbound takes datagrams from the outer network to the inner one (RFC 4301
// section 5.2); b.Packets collects what they held. ESP is accepted in UDP and
// as protocol 50 on any SA (RFC 7296 section 2.23). The datagrams' buffers are
// written to; b.Packets refer to them. Nothing else does when Inbound has
// returned: the buffers are the caller's again when it is done with b.Packets.
//
// A packet whose SA is only being installed (AllocSPI has reserved its SPI,
// InstallInbound has not been called) is copied and waits for a few seconds,
// within bounds; what comes of it is for Release.
func (e *Engine) Inbound(b *Batch, datagrams ...Datagram) {
	now := e.now()
	for i := range datagrams {
		e.receive(b, &datagrams[i], now)
	}
}

func (e *Engine) receive(b *Batch, d *Datagram, now int64) {
	pkt := d.Bytes()
	if len(pkt) < espHeaderSize {
		e.stats.malformed.Add(1) // a NAT keepalive (RFC 3948 2.3), or nothing
		return
	}
	spi := binary.BigEndian.Uint32(pkt)
	if spi < uint32(spd.FirstSPI) {
		e.stats.malformed.Add(1) // 0 is the non-ESP marker of IKE (RFC 3948 2.2)
		return
	}
	sa := e.in.get(spi)
	if sa == nil {
		if sa = e.withoutSA(d, spi, now); sa == nil {
			return
		}
	}
	known := sa.path.Load()
	if ok, reached := sa.usage.live(now); !ok {
		e.expired(sa.id(known), &sa.usage, reached, false)
		sa.usage.otherDrops.Add(1)
		return
	}

	o, err := sa.sa.Open(pkt)
	switch err {
	case nil:
	case ErrReplay:
		sa.usage.replayDrops.Add(1)
		return
	case ErrAuthentication:
		sa.usage.authDrops.Add(1)
		return
	default:
		sa.usage.otherDrops.Add(1)
		return
	}
	if !sa.used.Load() && sa.used.CompareAndSwap(false, true) {
		e.events.Emit(spd.FirstPacketEvent{ID: sa.id(known)})
	}
	if o.Newest {
		e.watchMapping(sa, d, known)
	}
	if o.Next == protoDummy {
		e.passed(sa, known, 0, now)
		return
	}

	p := Packet{Buf: d.Buf, Start: d.Start + o.Start, End: d.Start + o.End}
	var f flow
	var ok bool
	if sa.mode == spd.ModeTunnel {
		p, f, ok = fromTunnel(p, o.Next)
	} else {
		p, f, ok = sa.fromTransport(b, p, d, known, o.Next)
	}
	if !ok {
		sa.usage.otherDrops.Add(1)
		return
	}
	if !sa.accepts(&f) || !e.policyAccepts(sa, &f) {
		sa.usage.selectorDrops.Add(1)
		if e.selector.allow(now) {
			err := fmt.Errorf("%w: %v", ErrSelectors, f.Flow)
			e.events.Emit(spd.PeerErrorEvent{SPI: sa.sa.SPI(), Remote: d.Remote, Err: err})
		}
		return
	}
	if sa.mode == spd.ModeTunnel && !sa.noECN && !propagateECN(p.Bytes(), d.TOS) {
		sa.usage.otherDrops.Add(1)
		return
	}
	if e.passed(sa, known, p.Len(), now) {
		b.Packets = append(b.Packets, p)
	}
}

// passed counts a packet that passed all checks, and reports whether the SA is
// still there.
func (e *Engine) passed(sa *inbound, known *path, n int, now int64) bool {
	reached, ok := sa.usage.count(n, now)
	if !ok {
		e.stats.unknownSPI.Add(1)
		return false
	}
	e.expired(sa.id(known), &sa.usage, reached, false)
	return true
}

// withoutSA does with a packet what can be done before there is an SA, or
// returns the SA if it has come meanwhile.
func (e *Engine) withoutSA(d *Datagram, spi uint32, now int64) *inbound {
	if e.larvals.hold(d, spd.SPI(spi), now) {
		return nil
	}
	if sa := e.in.get(spi); sa != nil {
		return sa // it was put there before the reservation ended
	}
	e.stats.unknownSPI.Add(1)
	if e.unknown.allow(now) {
		e.events.Emit(spd.PeerErrorEvent{SPI: spd.SPI(spi), Remote: d.Remote, Err: ErrUnknownSPI})
	}
	return nil
}

// watchMapping reports that the newest authentic packet came from elsewhere
// than the SA's peer is known to be: a NAT has a new mapping. Older packets say
// nothing, they may have been delayed or replayed from elsewhere.
func (e *Engine) watchMapping(sa *inbound, d *Datagram, known *path) {
	if !d.UDPEncap || !known.UDPEncap || !d.Remote.IsValid() {
		return
	}
	if d.Local.IsValid() && d.Local.Port() != known.Local.Port() {
		return // a NAT maps each port for itself
	}
	from := netip.AddrPortFrom(d.Remote.Addr().Unmap(), d.Remote.Port())
	if from == known.Remote {
		if sa.reported.Load() != nil {
			sa.reported.Store(nil)
		}
		return
	}
	if last := sa.reported.Load(); last != nil && *last == from {
		return
	}
	if e.events.Emit(spd.MappingEvent{ID: sa.id(known), Old: known.Remote, New: from}) {
		reported := from // on the heap only now
		sa.reported.Store(&reported)
	}
}

// fromTransport restores the IP packet whose payload, of protocol next, is at
// p: the header is that of the outer packet, as far as it is known.
func (sa *inbound) fromTransport(b *Batch, p Packet, d *Datagram, known *path, next uint8) (Packet, flow, bool) {
	src, dst := d.Remote.Addr().Unmap().WithZone(""), d.Local.Addr().Unmap().WithZone("")
	if !src.IsValid() {
		src = known.Remote.Addr()
	}
	if !dst.IsValid() || dst.IsUnspecified() {
		dst = known.Local.Addr()
	}
	sa.nat.fixChecksum(p.Bytes(), next, src, dst)
	if p.Start < headerSize(src) {
		p = b.copy(p, 0)
	}
	start, ok := putHeader(p.Buf, p.Start, p.Len(), src, dst, next, d.TOS, false)
	if !ok {
		return p, flow{}, false
	}
	p.Start = start
	f, ok := parseFlow(p.Bytes())
	return p, f, ok
}

// policyAccepts reports whether policy lets a packet through that came by an
// SA: not what it discards, or wants from another peer. Selectors of several
// peers may overlap, and a peer with wide ones must not send in another's name.
// Where policy says nothing, the SA's selectors are policy enough (RFC 4301
// section 5.2).
func (e *Engine) policyAccepts(sa *inbound, f *flow) bool {
	p := e.policies.table.Load().LookupReqID(spd.In, &f.Flow, sa.reqID)
	if p == nil {
		return true
	}
	switch p.Action {
	case spd.ActionBypass:
		return true
	case spd.ActionProtect, spd.ActionTrap:
		return p.ReqID == sa.reqID
	}
	return false
}

// accepts reports whether the SA was negotiated for a flow. In transport mode
// through NATs the selectors may name the hosts as they see themselves.
func (sa *inbound) accepts(f *flow) bool {
	if f.Within(spd.In, sa.local, sa.remote) {
		return true
	}
	if sa.mode == spd.ModeTunnel || !sa.nat.srcWas.IsValid() && !sa.nat.dstWas.IsValid() {
		return false
	}
	was := f.Flow
	if sa.nat.srcWas.IsValid() {
		was.Src = sa.nat.srcWas
	}
	if sa.nat.dstWas.IsValid() {
		was.Dst = sa.nat.dstWas
	}
	return was.Within(spd.In, sa.local, sa.remote)
}

// AcceptsClear reports whether policy lets a packet pass into this host that
// arrived without protection (RFC 4301 section 5.2): for whoever feeds inner
// networks from elsewhere than Inbound too.
func (e *Engine) AcceptsClear(packet []byte) bool {
	n, ok := ipLength(packet)
	if !ok {
		return false
	}
	f, ok := parseFlow(packet[:n])
	if !ok {
		return false
	}
	p := e.policies.lookup(spd.In, &f.Flow)
	if p == nil {
		return false
	}
	return p.Action == spd.ActionBypass || p.Action != spd.ActionDiscard && p.OptionalInbound
}
