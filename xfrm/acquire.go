package xfrm

import (
	"context"
	"errors"
	"net/netip"

	"github.com/racoon3/racoon/spd"
)

// acquires are the packets for which the kernel has asked for SAs. For each it
// keeps an SA without an SPI, and does not ask again while that lives.
type acquires struct {
	last  spd.AcquireID
	byID  map[spd.AcquireID]*acquire
	bySeq map[uint32]*acquire
}

type acquire struct {
	id          spd.AcquireID
	seq         uint32
	src, dst    netip.Addr
	proto       uint8
	mode        Mode
	reqID       uint32
	mark        Mark
	interfaceID uint32
}

// maxAcquires bounds how many are remembered. The kernel's own time limit makes
// room; a flood beyond it is asked for again then.
const maxAcquires = 1 << 16

func (a *acquires) init() {
	a.byID, a.bySeq = map[spd.AcquireID]*acquire{}, map[uint32]*acquire{}
}

func (a *acquires) drop(w *acquire) {
	delete(a.byID, w.id)
	delete(a.bySeq, w.seq)
}

// ended forgets an acquire whose time in the kernel is over.
func (a *acquires) ended(seq uint32) {
	if w := a.bySeq[seq]; w != nil {
		a.drop(w)
	}
}

func (p *DataPlane) handleAcquire(m *Acquire) {
	w := &acquire{seq: m.Seq, src: m.Src, dst: m.Dst, proto: m.Proto, mark: m.Policy.Mark, interfaceID: m.Policy.InterfaceID}
	for i := range m.Policy.Templates {
		if t := &m.Policy.Templates[i]; t.Proto == m.Proto {
			w.mode, w.reqID = t.Mode, t.ReqID
			break
		}
	}
	if p.stale(m, w) {
		// There is an SA by now: the packet came while it was being moved.
		p.clearLarval(p.done, w)
		return
	}
	p.mu.Lock()
	if p.closed || p.acquires.bySeq[m.Seq] != nil {
		p.mu.Unlock()
		return
	}
	full := len(p.acquires.byID) >= maxAcquires
	if !full {
		p.acquires.last++
		w.id = p.acquires.last
		p.acquires.byID[w.id], p.acquires.bySeq[w.seq] = w, w
	}
	p.mu.Unlock()
	if full {
		p.log.Warn("xfrm: too many acquires", "reqid", w.reqID)
		return
	}
	ev := spd.AcquireEvent{ID: w.id, Policy: p.policyOf(&m.Policy), Packet: unselect(DirOut, &m.Packet)}
	if !p.events.Emit(ev) {
		// Nobody hears it: the next packet tries again.
		p.mu.Lock()
		p.acquires.drop(w)
		p.mu.Unlock()
		p.clearLarval(p.done, w)
	}
}

// stale reports whether there is an SA for an acquire after all: while an SA is
// moved, packets meet the policy and not the SA. An SA that somebody else has
// removed is told as expired.
func (p *DataPlane) stale(m *Acquire, w *acquire) bool {
	p.mu.Lock()
	if p.moving[w.reqID] > 0 {
		p.mu.Unlock()
		return true
	}
	var there []*entry
	for _, e := range p.byReqID[w.reqID] {
		if e.installed && !e.expired && e.key.Proto == w.proto && (!e.selector.Dst.IsValid() || covers(&e.selector, &m.Packet)) {
			there = append(there, e)
		}
	}
	p.mu.Unlock()
	for _, e := range there {
		sa, err := p.client.SA(p.done, e.key)
		switch {
		case err == nil:
			sa.Wipe()
			return true
		case !isErrno(err, ESRCH):
			continue
		}
		p.mu.Lock()
		gone := !e.expired && p.sas[e.key] == e && p.moving[e.reqID] == 0
		if gone {
			e.expired = true
		}
		ev := spd.ExpireEvent{ID: e.id, Hard: true, Counters: e.seen}
		p.mu.Unlock()
		if gone {
			p.events.Emit(ev)
		}
	}
	return false
}

// covers reports whether a packet's flow is in an SA's selector.
func covers(s, packet *Selector) bool {
	return s.Src.Contains(packet.Src.Addr()) && s.Dst.Contains(packet.Dst.Addr()) && (s.Proto == 0 || s.Proto == packet.Proto) &&
		(s.SrcPort^packet.SrcPort)&s.SrcPortMask == 0 && (s.DstPort^packet.DstPort)&s.DstPortMask == 0
}

// policyOf is the policy of an acquire: the one that was set, or if it is
// somebody else's, what the kernel tells of it.
func (p *DataPlane) policyOf(k *Policy) spd.Policy {
	key := k.Key()
	key.Mark = markOf(spd.Mark(key.Mark))
	if p.lockPolicies(p.done) == nil {
		s := p.policies.slots[key]
		var best *policyEntry
		if s != nil {
			best = s.best()
		}
		p.unlockPolicies()
		if best != nil {
			return best.policy
		}
	}
	return foreignPolicy(k)
}

// acquireOf makes an acquire of the SA that the kernel keeps for it.
func (p *DataPlane) acquireOf(sa *SA) *Acquire {
	m := &Acquire{Src: sa.Src, Dst: sa.Dst, Proto: sa.Proto, Packet: sa.Selector, Seq: sa.Seq}
	if p.lockPolicies(p.done) != nil {
		return m
	}
	defer p.unlockPolicies()
	r := p.policies.reqs[sa.ReqID]
	if r == nil {
		m.Policy = Policy{Dir: DirOut, Selector: sa.Selector, Templates: []Template{{Src: sa.Src, Dst: sa.Dst, Proto: sa.Proto, Mode: sa.Mode, ReqID: sa.ReqID}}}
		return m
	}
	for s := range r.slots {
		if s.key.Dir == DirOut && s.has && covers(&s.key.Selector, &sa.Selector) {
			m.Policy = *kernelPolicy(&s.key, &s.content)
			break
		}
	}
	return m
}

// AcquireDone implements [spd.DataPlane]. The kernel has one answer to an
// acquire, the SA. So its own memory of the acquire is removed if there is none:
// the next packet asks again, instead of being dropped in silence for as long
// as Config.AcquireExpires.
func (p *DataPlane) AcquireDone(ctx context.Context, id spd.AcquireID, _ error) error {
	p.mu.Lock()
	err := p.ready(ctx)
	w := p.acquires.byID[id]
	if err == nil && w == nil {
		err = spd.ErrNotFound
	}
	if err == nil {
		p.acquires.drop(w)
	}
	p.mu.Unlock()
	if err != nil {
		return err
	}
	return p.clearLarval(ctx, w)
}

// clearLarval removes the kernel's SA of an acquire, if it is still there. It
// has no SPI and so no name; reserving one for its sequence number gives it
// one.
func (p *DataPlane) clearLarval(ctx context.Context, w *acquire) error {
	m := &AllocSPI{SA: SA{Src: w.src, Dst: w.dst, Proto: w.proto, Mode: w.mode, ReqID: w.reqID, Seq: w.seq, Mark: w.mark, InterfaceID: w.interfaceID},
		Min: 0x100, Max: 0xffff}
	sa, err := p.client.ReserveSPI(ctx, m)
	if err != nil {
		return err
	}
	err = p.client.DeleteSA(ctx, SAKey{Dst: w.dst, SPI: sa.SPI, Proto: w.proto, Mark: w.mark})
	if errors.Is(err, spd.ErrNotFound) {
		return nil
	}
	return err
}
