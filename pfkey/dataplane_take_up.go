package pfkey

import (
	"context"
	"net/netip"

	"github.com/racoon3/racoon/spd"
)

// TakeUpAcquires makes events of the packets that the kernel has asked for SAs
// for before this data plane was there. It is for a kernel of Linux, which does
// not ask for them again as long as [DataPlaneConfig.AcquireExpires]: it keeps an
// SA without an SPI for each, and shows it in a dump. Descendants of KAME keep a
// list that no message shows (net.key.blockacq_count and blockacq_lifetime), and
// ask again with one of the next packets; there it does nothing.
//
// The dump tells neither the sequence number of the ACQUIRE nor where the packet
// goes. So the event is of the first policy that can have been the packet's, and
// its SAs are the answer by their addresses, mode and request ID.
func (p *DataPlane) TakeUpAcquires(ctx context.Context) {
	var waiting []*SAEntry
	for e, err := range p.c.Dump(ctx, SATypeUnspec) {
		if err != nil {
			return // packets ask again
		}
		if e.SPI == 0 && e.State == StateLarval && len(waiting) < maxAcquires {
			waiting = append(waiting, e)
		}
	}
	if len(waiting) == 0 {
		return
	}
	p.policyMu.Lock()
	order, there, err := p.dumpPolicies(ctx)
	p.policyMu.Unlock()
	if err != nil {
		return
	}
	for _, w := range waiting {
		for _, k := range order {
			if couldAsk(there[k], w) {
				p.takeUp(k, there[k], w)
				break
			}
		}
	}
}

// couldAsk reports whether a policy is one that a waiting packet can have met.
func couldAsk(e *PolicyEntry, w *SAEntry) bool {
	if e.Policy.Dir != DirOut || e.Policy.Type != PolicyIPsec {
		return false
	}
	if from := w.Proxy.Addr(); from.IsValid() && !e.Src.Contains(from) {
		return false
	}
	for i := range e.Policy.Requests {
		r := &e.Policy.Requests[i]
		if r.Proto != protoNumber(w.Type) || r.Mode != w.Mode || r.ReqID != w.ReqID {
			continue
		}
		if r.Mode != ModeTunnel {
			return e.Src.Contains(w.Src) && e.Dst.Contains(w.Dst)
		}
		if fitsEnd(r.Src.Addr, w.Src) && fitsEnd(r.Dst.Addr, w.Dst) {
			return true
		}
	}
	return false
}

func fitsEnd(policy, sa netip.Addr) bool {
	return !policy.IsValid() || policy.IsUnspecified() || policy == sa
}

// takeUp tells of one. Its ID is none that a sequence number could be: the low 32
// bits, which a reservation names as the ACQUIRE's, are 0.
func (p *DataPlane) takeUp(k kernelKey, e *PolicyEntry, w *SAEntry) {
	var ev spd.AcquireEvent
	p.policyMu.Lock()
	if kp := p.policies.keys[k]; kp != nil && kp.there && isStill(e, &kp.entry) {
		ev.Policy = kp.policy
	} else {
		ev.Policy = p.foreignPolicy(e)
	}
	p.policyMu.Unlock()
	if ev.Policy.Mode == spd.ModeTransport {
		ev.Packet = packetOf(&ev.Policy, w.Src, w.Dst)
	}
	p.mu.Lock()
	if p.closed || len(p.acquires) >= maxAcquires {
		p.mu.Unlock()
		return
	}
	p.takenUp++
	ev.ID = p.takenUp << 32
	p.acquires[ev.ID] = &acquire{typ: w.Type, at: p.cfg.Now(), reqID: ev.Policy.ReqID, larval: w}
	p.mu.Unlock()
	p.out.Emit(ev)
}

// forgetLarval removes the kernel's SA of an acquire that was taken up: reserving
// an SPI finds it, and gives it a name to be deleted by. The next packet asks
// again.
func (p *DataPlane) forgetLarval(ctx context.Context, w *SAEntry) error {
	spi, err := p.c.GetSPI(ctx, SPIRequest{Type: w.Type, Src: w.Src, Dst: w.Dst, Scope: w.Scope, Mode: w.Mode, ReqID: w.ReqID, Min: firstSPI, Max: lastSPI})
	if err != nil {
		return translate(err)
	}
	err = p.c.Delete(ctx, SAKey{Type: w.Type, SPI: spi, Src: w.Src, Dst: w.Dst})
	if missing(err) {
		return nil
	}
	return translate(err)
}
