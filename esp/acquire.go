package esp

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/racoon3/racoon/spd"
)

// acquires holds the packets that wait for SAs under negotiation, so that the
// first packets of a flow are not lost. There is one acquire at a time for a
// policy.
type acquires struct {
	cfg *Config

	mu       sync.Mutex
	last     spd.AcquireID
	byPolicy map[spd.Policy]*acquire
	byReqID  map[uint32][]*acquire
	byID     map[spd.AcquireID]*acquire
	held     int // packets in all acquires and in ready

	ready  []Packet      // packets whose SA is there now
	any    atomic.Bool   // ready is not empty
	signal chan struct{} // has a token when ready is not empty, or that of larvals
}

type acquire struct {
	id      spd.AcquireID
	policy  spd.Policy
	expires int64
	packets []Packet
}

func (a *acquires) init(cfg *Config) {
	a.cfg = cfg
	a.byPolicy = make(map[spd.Policy]*acquire)
	a.byReqID = make(map[uint32][]*acquire)
	a.byID = make(map[spd.AcquireID]*acquire)
	a.signal = make(chan struct{}, 1)
}

// hold asks for an SA for the flow of a packet, unless that has been done, and
// keeps a copy of the packet. It is never sent in clear.
func (e *Engine) hold(p Packet, policy *spd.Policy, f *flow, now int64, ask bool) {
	if !ask || !e.acquires.hold(e, p, policy, f, now) {
		e.stats.noSA.Add(1)
		return
	}
	e.stats.held.Add(1)
}

func (a *acquires) hold(e *Engine, p Packet, policy *spd.Policy, f *flow, now int64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	w := a.byPolicy[*policy]
	if w != nil && now >= w.expires {
		a.drop(w) // never answered: ask again
		w = nil
	}
	if w == nil {
		a.last++
		w = &acquire{id: a.last, policy: *policy, expires: now + int64(a.cfg.AcquireTimeout)}
		if !e.events.Emit(spd.AcquireEvent{ID: w.id, Policy: *policy, Packet: f.Selector(spd.Out)}) {
			return false // nobody hears it: the next packet tries again
		}
		a.byPolicy[w.policy], a.byID[w.id] = w, w
		a.byReqID[w.policy.ReqID] = append(a.byReqID[w.policy.ReqID], w)
	}
	if len(w.packets) >= a.cfg.HoldPerAcquire || a.held >= a.cfg.HoldPackets {
		return false
	}
	buf := make([]byte, Headroom+p.Len()+Tailroom)
	copy(buf[Headroom:], p.Bytes())
	w.packets = append(w.packets, Packet{Buf: buf, Start: Headroom, End: Headroom + p.Len()})
	a.held++
	return true
}

// drop forgets an acquire and its packets.
func (a *acquires) drop(w *acquire) {
	a.held -= len(w.packets)
	delete(a.byPolicy, w.policy)
	reqID := w.policy.ReqID
	if rest := slices.DeleteFunc(a.byReqID[reqID], func(o *acquire) bool { return o == w }); len(rest) > 0 {
		a.byReqID[reqID] = rest
	} else {
		delete(a.byReqID, reqID)
	}
	delete(a.byID, w.id)
}

// installed releases the packets that wait for an SA of a reqid. The acquires
// themselves stay until they are answered.
func (a *acquires) installed(reqID uint32) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, w := range a.byReqID[reqID] {
		a.release(w)
	}
}

func (a *acquires) release(w *acquire) {
	if len(w.packets) == 0 {
		return
	}
	a.ready = append(a.ready, w.packets...)
	w.packets = nil
	a.any.Store(true)
	select {
	case a.signal <- struct{}{}:
	default:
	}
}

// done answers an acquire.
func (a *acquires) done(id spd.AcquireID, err error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	w := a.byID[id]
	if w == nil {
		return spd.ErrNotFound
	}
	if err == nil {
		a.release(w)
	}
	a.drop(w)
	return nil
}

// Ready returns a channel that has a token when packets which waited for an SA,
// outbound or inbound, can be processed: then call Release.
func (e *Engine) Ready() <-chan struct{} { return e.acquires.signal }

// Release processes the packets that waited for an SA which is installed now,
// as Outbound and Inbound would have, those of one SA in the order in which
// they came. A packet for which there is none after all is dropped. It returns
// how many of the packets that it adds to b.Packets came from the outer
// network; their memory is b's alone, nobody uses it again.
func (e *Engine) Release(b *Batch) (opened int) {
	if early := e.larvals.take(); len(early) > 0 {
		before := len(b.Packets)
		e.Inbound(b, early...)
		opened = len(b.Packets) - before
	}
	now := e.now()
	for _, p := range e.acquires.take() {
		e.send(b, p, now, false)
	}
	return opened
}

// take returns the packets whose SA is there now.
func (a *acquires) take() []Packet {
	if !a.any.Load() {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	ready := a.ready
	a.ready = nil
	a.held -= len(ready)
	a.any.Store(false)
	return ready
}

func (a *acquires) clear() {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.byPolicy)
	clear(a.byReqID)
	clear(a.byID)
	a.ready, a.held = nil, 0
	a.any.Store(false)
}
