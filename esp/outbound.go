package esp

import (
	"math"
	"net/netip"
	"sync/atomic"

	"github.com/racoon3/racoon/natt"
	"github.com/racoon3/racoon/spd"
)

// outbound is one outbound SA with what the engine needs to use it.
type outbound struct {
	sa      *OutboundSA
	reqID   uint32
	mode    spd.Mode
	options packetOptions
	local   []spd.TrafficSelector
	remote  []spd.TrafficSelector
	path    atomic.Pointer[path]
	usage   usage
	nearEnd atomic.Bool // the coming end of the sequence numbers was reported
}

// packetOptions are those of [spd.Options] that concern each packet.
type packetOptions struct {
	mtu, fragment, tfcPadding int
	df                        spd.DFMode
	noECN, noDSCP             bool
}

func optionsOf(o *spd.Options) packetOptions {
	return packetOptions{mtu: o.MTU, fragment: o.Fragment, tfcPadding: o.TFCPadding, df: o.DF, noECN: o.NoECN, noDSCP: o.NoDSCP}
}

// path is what a move of the peer changes: where an SA's packets go or come
// from, with it the SA's name, and how large they may be.
type path struct {
	spd.Endpoints
	mtu int // outbound: of the packet before encapsulation, 0 for no limit
}

// id names the SA while it sends to there.
func (sa *outbound) id(to *path) spd.SAID {
	return spd.SAID{Direction: spd.Out, Protocol: spd.ProtoESP, SPI: sa.sa.SPI(), Dst: to.Remote.Addr()}
}

// endNears reports, once, that the sequence numbers come to their end.
func (sa *outbound) endNears() bool {
	at := uint64(math.MaxUint32 - rekeyMargin)
	if sa.sa.esn {
		at = math.MaxUint64 - rekeyMarginESN
	}
	return sa.sa.seq.Load() >= at && sa.nearEnd.CompareAndSwap(false, true)
}

// outboundList is the SAs of a reqid, the latest first.
type outboundList struct {
	list atomic.Pointer[[]*outbound]
}

// Outbound takes packets of the inner network through the policies (RFC 4301
// section 5.1). b collects the datagrams to be sent, ICMP errors for the
// packets' senders, and what bypasses protection. The buffers of packets are
// written to; b.Datagrams refer to them.
func (e *Engine) Outbound(b *Batch, packets ...Packet) {
	now := e.now()
	for _, p := range packets {
		e.send(b, p, now, true)
	}
}

// send processes one packet. Without hold, a packet that finds no SA is
// dropped instead of asking for one.
func (e *Engine) send(b *Batch, p Packet, now int64, hold bool) {
	n, ok := ipLength(p.Bytes())
	if !ok {
		e.stats.malformed.Add(1)
		return
	}
	p.End = p.Start + n
	f, ok := parseFlow(p.Bytes())
	if !ok {
		e.stats.malformed.Add(1)
		return
	}
	policy := e.policies.lookup(spd.Out, &f.Flow)
	if policy == nil {
		e.stats.discarded.Add(1)
		return
	}
	switch policy.Action {
	case spd.ActionBypass:
		b.Bypass = append(b.Bypass, p)
	case spd.ActionProtect, spd.ActionTrap:
		var last *outbound
		for {
			sa := e.choose(policy.ReqID, &f)
			switch {
			case sa == nil:
				e.hold(p, policy, &f, now, hold)
				return
			case sa == last:
				sa.usage.otherDrops.Add(1)
				return
			case e.usable(sa, now):
				e.protect(b, p, &f, sa, now)
				return
			}
			// It has ended, or was removed this moment: then there is another.
			last = sa
		}
	default:
		e.stats.discarded.Add(1)
	}
}

// choose returns the SA for a flow: the latest of the reqid that the peer will
// accept it through. (With a peer that takes one selector pair for each Child
// SA, a reqid has several that are not successors of each other.)
func (e *Engine) choose(reqID uint32, f *flow) *outbound {
	l := e.out.get(reqID)
	if l == nil {
		return nil
	}
	for _, sa := range *l.list.Load() {
		if f.Within(spd.Out, sa.local, sa.remote) {
			return sa
		}
	}
	return nil
}

// usable reports whether an SA has not come to its end.
func (e *Engine) usable(sa *outbound, now int64) bool {
	ok, reached := sa.usage.live(now)
	if !ok {
		e.expired(sa.id(sa.path.Load()), &sa.usage, reached, false)
	}
	return ok
}

// protect sends a packet through an SA, or answers that it is too big.
func (e *Engine) protect(b *Batch, p Packet, f *flow, sa *outbound, now int64) {
	to := sa.path.Load()
	switch fragment, mtu := sa.fits(p, to); {
	case mtu == 0:
		e.seal(b, p, f, sa, to, now)
	case fragment:
		fragmentIPv4(b, p, mtu, func(p Packet) { e.seal(b, p, f, sa, to, now) })
	default:
		packetTooBig(b, p, f, mtu)
		e.stats.tooBig.Add(1)
	}
}

// fits returns 0 if a packet may be encapsulated as it is. Otherwise it
// returns the size to keep to: by fragments before encapsulation if the
// options say so and the packet allows it, else by an ICMP error to the
// sender. A packet that may be fragmented, but not before encapsulation, is
// left to the outer network (RFC 4301 section 8.2).
func (sa *outbound) fits(p Packet, to *path) (fragment bool, mtu int) {
	limit := to.mtu
	before := sa.options.fragment > 0 && sa.mode == spd.ModeTunnel
	if before && (limit == 0 || sa.options.fragment < limit) {
		limit = sa.options.fragment
	}
	packet := p.Bytes()
	if packet[0]>>4 == 6 {
		limit = orMore(limit, ipv6MinMTU)
	} else {
		limit = orMore(limit, ipv4MinMTU)
	}
	if limit == 0 || len(packet) <= limit {
		return false, 0
	}
	if dontFragment(packet) {
		return false, limit
	}
	if before {
		return true, limit
	}
	return false, 0
}

func orMore(limit, least int) int {
	if limit == 0 {
		return 0
	}
	return max(limit, least)
}

// seal encapsulates a packet that fits.
func (e *Engine) seal(b *Batch, p Packet, f *flow, sa *outbound, to *path, now int64) {
	size := p.Len()
	reached, ok := sa.usage.count(size, now)
	if !ok { // removed this moment; what replaces it is there
		if sa = e.choose(sa.reqID, f); sa == nil {
			e.stats.noSA.Add(1)
			return
		}
		e.seal(b, p, f, sa, sa.path.Load(), now)
		return
	}
	inner := tosOf(p.Bytes())
	df := outerDF(p.Bytes(), sa.options.df)
	var next uint8
	extra := 0
	if sa.mode == spd.ModeTunnel {
		next, extra = tunnelPayload(p, sa.options.tfcPadding, to.mtu)
	} else {
		if p, next, ok = transportPayload(p); !ok {
			sa.usage.uncount(size)
			sa.usage.otherDrops.Add(1)
			return
		}
	}

	// Work on a copy if there is no room around the packet.
	if p.Start < sa.sa.HeaderSize() || p.Start-sa.sa.HeaderSize()+sa.sa.SealedSize(p.Len()+extra) > len(p.Buf) {
		p = b.copy(p, extra)
	}
	if extra > 0 {
		clear(p.Buf[p.End : p.End+extra])
		p.End += extra
	}
	start, end, err := sa.sa.Seal(p.Buf, p.Start, p.End, next)
	if err != nil {
		sa.usage.uncount(size)
		sa.usage.otherDrops.Add(1)
		if err == ErrExhausted {
			reached = max(reached, sa.usage.stop())
		}
		e.expired(sa.id(to), &sa.usage, reached, err == ErrExhausted)
		return
	}
	if sa.endNears() {
		e.expired(sa.id(to), &sa.usage, softLimit, true)
	}
	e.expired(sa.id(to), &sa.usage, reached, false)
	b.Datagrams = append(b.Datagrams, Datagram{
		Packet: Packet{Buf: p.Buf, Start: start, End: end},
		Local:  to.Local, Remote: to.Remote, UDPEncap: to.UDPEncap, NonIKE: to.NonIKE,
		TOS: outerTOS(inner, sa.options.noDSCP, sa.options.noECN),
		DF:  df,
	})
}

// expired reports a limit that was reached, if any.
func (e *Engine) expired(id spd.SAID, u *usage, l limit, exhausted bool) {
	if l != withinLimits {
		e.events.Emit(spd.ExpireEvent{ID: id, Hard: l == hardLimit, Exhausted: exhausted, Counters: u.counters()})
	}
}

// pathTo returns the path of an SA to endpoints. e.mu is held.
func (e *Engine) pathTo(sa *outbound, to spd.Endpoints) *path {
	p := &path{Endpoints: to, mtu: sa.options.mtu}
	outer, known := e.pathMTU[to.Remote.Addr()]
	if !known {
		outer = e.cfg.PathMTU
	}
	if outer < 0 || sa.options.mtu > 0 && !known {
		return p
	}
	header := headerSize(to.Remote.Addr())
	room := outer - header
	if to.UDPEncap {
		room -= udpHeaderSize
	}
	if to.NonIKE {
		room -= natt.NonIKEMarkerSize
	}
	room = sa.sa.MaxPayload(room)
	if sa.mode == spd.ModeTransport {
		room += header // its own header is the outer one
	}
	room = max(room, ipv4MinMTU)
	if p.mtu == 0 || room < p.mtu {
		p.mtu = room
	}
	return p
}

// Bounds of what is believed of a path, and how many paths are remembered.
const (
	minPathMTU4 = 576
	maxPaths    = 4096
)

// SetPathMTU tells the engine the MTU of the outer path to a peer, as learnt
// from an ICMP error that quoted a packet really sent, or from the kernel: the
// tunnels to it get smaller (RFC 4301 section 8.2.1). Less than 576 octets, or
// 1280 with IPv6, is not believed. 0 forgets the path, so that larger packets
// are tried again.
func (e *Engine) SetPathMTU(remote netip.Addr, mtu int) {
	remote = remote.Unmap()
	least := minPathMTU4
	if remote.Is6() {
		least = ipv6MinMTU
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if mtu == 0 {
		delete(e.pathMTU, remote)
	} else {
		if _, known := e.pathMTU[remote]; !known && len(e.pathMTU) >= maxPaths {
			for some := range e.pathMTU {
				delete(e.pathMTU, some)
				break
			}
		}
		e.pathMTU[remote] = max(mtu, least)
	}
	for _, list := range e.outbound {
		for _, sa := range list {
			if p := sa.path.Load(); p.Remote.Addr() == remote {
				sa.path.Store(e.pathTo(sa, p.Endpoints))
			}
		}
	}
}

func headerSize(a netip.Addr) int {
	if a.Unmap().Is4() {
		return ipv4HeaderSize
	}
	return ipv6HeaderSize
}
