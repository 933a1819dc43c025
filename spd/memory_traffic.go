package spd

import (
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Outcome is what became of a flow's packet in a [Memory].
type Outcome uint8

// Outcomes. All but Delivered, Bypassed and Discarded are gaps: a packet that
// should have gone through did not.
const (
	Delivered Outcome = iota // protected, and accepted by the peer
	Bypassed                 // sent in clear by a policy
	Discarded                // dropped by a policy

	NoPolicy         // no policy matches: dropped (RFC 4301 5.1)
	Held             // no outbound SA: an AcquireEvent was raised, or the packet dropped
	Expired          // the outbound or the inbound SA has reached a hard lifetime
	NoInboundSA      // the receiver has no SA for the SPI
	KeyMismatch      // it has one with other keys or algorithms: the integrity check fails
	SelectorMismatch // the packet is outside the inbound SA's selectors
	PolicyMismatch   // the receiver's policies want other protection, or none
	Replayed         // seen before, or left of the replay window
	WrongAddress     // the packet's outer destination is not the receiver's
)

func (o Outcome) String() string {
	names := [...]string{"delivered", "bypassed", "discarded", "no policy", "held", "expired", "no inbound SA", "key mismatch", "selector mismatch", "policy mismatch", "replayed", "wrong address"}
	if int(o) < len(names) {
		return names[o]
	}
	return fmt.Sprintf("Outcome(%d)", uint8(o))
}

// Gap reports whether the outcome is a fault rather than a policy's decision.
func (o Outcome) Gap() bool { return o > Discarded }

// Delivery tells what became of one packet.
type Delivery struct {
	Outcome Outcome
	SPI     SPI // of the outermost SA, 0 if it did not come to one
	ReqID   uint32
	Detail  string // why, in words
}

func (d Delivery) String() string {
	s := d.Outcome.String()
	if d.SPI != 0 {
		s += fmt.Sprintf(" (SPI %#x)", uint32(d.SPI))
	}
	if d.Detail != "" {
		s += ": " + d.Detail
	}
	return s
}

// A MemoryPacket is a protected packet between two Memory planes. A test
// that simulates the network may delay it, deliver it twice, or change
// its addresses as a NAT does.
type MemoryPacket struct {
	Src, Dst netip.AddrPort // outer
	Flow     Flow
	Size     int // octets before encryption
	layers   []memoryLayer
}

// SPI returns the outermost SPI.
func (p *MemoryPacket) SPI() SPI { return p.layers[len(p.layers)-1].sa.SPI }

type memoryLayer struct {
	sa  SA // with keys of its own: the SA may be gone when the packet arrives
	seq uint64
}

// Send sends one packet of a flow, size octets long, to the peer's plane
// and returns what became of it. It is Encapsulate and Deliver in one.
func (m *Memory) Send(peer *Memory, f Flow, size int) Delivery {
	p, d := m.Encapsulate(f, size)
	if p == nil {
		return d
	}
	return peer.Deliver(p)
}

// Encapsulate takes one packet through the outbound policies and SAs. The
// packet is nil if it is not protected; then the Delivery says what became of
// it.
func (m *Memory) Encapsulate(f Flow, size int) (*MemoryPacket, Delivery) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.table.Lookup(Out, &f)
	if p == nil {
		return nil, Delivery{Outcome: NoPolicy, Detail: f.String()}
	}
	switch p.Action {
	case ActionBypass:
		return nil, Delivery{Outcome: Bypassed}
	case ActionDiscard:
		return nil, Delivery{Outcome: Discarded}
	}
	m.checkHardTime()
	d := Delivery{ReqID: p.ReqID}
	b := m.outbound(p.ReqID, &f)
	if b == nil {
		d.Outcome, d.Detail = Held, fmt.Sprintf("no outbound SA with reqid %d for %v", p.ReqID, f)
		m.acquire(p, &f)
		return nil, d
	}
	last := b.sas[len(b.sas)-1]
	d.SPI = last.SPI
	for _, sa := range b.sas {
		if sa.hard {
			d.Outcome, d.Detail = Expired, "outbound"
			return nil, d
		}
	}
	pkt := &MemoryPacket{Src: b.Local, Dst: b.Remote, Flow: f, Size: size}
	for _, sa := range b.sas {
		sa.seq++
		c := sa.SA
		c.EncrKey, c.IntegKey = c.EncrKey.Clone(), c.IntegKey.Clone()
		pkt.layers = append(pkt.layers, memoryLayer{c, sa.seq})
		m.count(sa, size)
	}
	return pkt, d
}

// outbound returns the newest bundle of a reqid whose selectors have room for
// the flow.
func (m *Memory) outbound(reqID uint32, f *Flow) *memoryBundle {
	for _, b := range slices.Backward(m.bundles[reqID]) {
		if f.Within(Out, b.LocalTS, b.RemoteTS) {
			return b
		}
	}
	return nil
}

func (m *Memory) acquire(p *Policy, f *Flow) {
	if !m.caps.TrapPolicy {
		return
	}
	if id, ok := m.byPolicy[*p]; ok {
		m.acquires[id].held++
		return
	}
	m.nextAcquire++
	m.byPolicy[*p] = m.nextAcquire
	m.acquires[m.nextAcquire] = &memoryAcquire{policy: *p, held: 1}
	m.events.add(AcquireEvent{ID: m.nextAcquire, Policy: *p, Packet: f.Selector(Out)})
}

// count books a packet that was sent or accepted, and watches the lifetimes.
func (m *Memory) count(sa *memorySA, size int) {
	sa.counters.Packets++
	sa.counters.Bytes += uint64(size)
	sa.counters.LastUsed = m.now()
	l := &sa.bundle.Lifetime
	reached := func(bytes, packets uint64) bool {
		return bytes > 0 && sa.counters.Bytes >= bytes || packets > 0 && sa.counters.Packets >= packets
	}
	// All SAs of a bundle have the same lifetime: the outermost one reports.
	if m.caps.Volume && sa == sa.bundle.sas[len(sa.bundle.sas)-1] {
		if !sa.soft && reached(l.SoftBytes, l.SoftPackets) {
			sa.soft = true
			m.events.add(ExpireEvent{ID: sa.id, Counters: sa.counters})
		}
		if reached(l.HardBytes, l.HardPackets) {
			m.hardExpire(sa, false)
		}
	}
	if sa.id.Direction == Out && sa.Protocol != ProtoIPComp {
		limit := uint64(1<<32 - 1)
		if sa.ESN {
			limit = 1<<64 - 1
		}
		if !sa.seqSoft && sa.seq >= limit-limit/16 {
			sa.seqSoft = true
			m.events.add(ExpireEvent{ID: sa.id, Exhausted: true, Counters: sa.counters})
		}
		if sa.seq == limit {
			m.hardExpire(sa, true)
		}
	}
}

func (m *Memory) hardExpire(sa *memorySA, exhausted bool) {
	if !sa.hard {
		sa.hard = true
		m.events.add(ExpireEvent{ID: sa.id, Hard: true, Exhausted: exhausted, Counters: sa.counters})
	}
}

// checkHardTime expires what has reached its HardTime.
func (m *Memory) checkHardTime() {
	if m.hardDue.IsZero() || m.now().Before(m.hardDue) {
		return
	}
	now := m.now()
	m.hardDue = time.Time{}
	var due []*memorySA
	look := func(sa *memorySA) {
		t := sa.bundle.Lifetime.HardTime
		if t <= 0 || sa.hard || sa != sa.bundle.sas[len(sa.bundle.sas)-1] {
			return
		}
		if end := sa.since.Add(t); now.Before(end) {
			m.hardDue = earlier(m.hardDue, end)
		} else {
			due = append(due, sa)
		}
	}
	for _, sa := range m.in {
		look(sa)
	}
	for _, sa := range m.out {
		look(sa)
	}
	slices.SortFunc(due, func(a, b *memorySA) int { return compareSAID(a.id, b.id) })
	for _, sa := range due {
		m.hardExpire(sa, false)
	}
}

// Deliver takes a packet that arrives from the network through the inbound
// SAs and policies.
func (m *Memory) Deliver(p *MemoryPacket) Delivery {
	m.mu.Lock()
	defer m.mu.Unlock()
	d := Delivery{SPI: p.SPI()}
	m.checkHardTime()
	outer := m.in[memoryKey{p.layers[len(p.layers)-1].sa.Protocol, d.SPI}]
	if outer == nil {
		m.events.add(PeerErrorEvent{SPI: d.SPI, Remote: p.Src, Err: ErrNotFound})
		d.Outcome = NoInboundSA
		return d
	}
	b := outer.bundle
	d.ReqID = b.ReqID
	if p.Dst.Addr() != b.Local.Addr() {
		d.Outcome, d.Detail = WrongAddress, fmt.Sprintf("sent to %v, the SA is of %v", p.Dst.Addr(), b.Local.Addr())
		return d
	}
	for _, sa := range b.sas {
		if m.in[memoryKey{sa.id.Protocol, sa.id.SPI}] != sa {
			d.Outcome, d.Detail = NoInboundSA, fmt.Sprintf("%v SPI %#x", sa.Protocol, uint32(sa.SPI))
			return d
		}
	}
	if d.Detail = differ(p.layers, b); d.Detail != "" {
		outer.counters.AuthDrops++
		d.Outcome = KeyMismatch
		return d
	}
	for i, sa := range b.sas {
		if sa.hard {
			sa.counters.OtherDrops++
			d.Outcome, d.Detail = Expired, "inbound"
			return d
		}
		if sa.Protocol != ProtoIPComp && sa.ReplayWindow >= 0 && !sa.replay.fresh(p.layers[i].seq) {
			sa.counters.ReplayDrops++
			d.Outcome = Replayed
			return d
		}
	}
	for i, sa := range b.sas {
		sa.replay.accept(p.layers[i].seq)
	}
	if !p.Flow.Within(In, b.LocalTS, b.RemoteTS) {
		outer.counters.SelectorDrops++
		d.Outcome, d.Detail = SelectorMismatch, fmt.Sprintf("%v is not in %v === %v", p.Flow, b.LocalTS, b.RemoteTS)
		return d
	}
	switch policy := m.table.LookupReqID(In, &p.Flow, b.ReqID); {
	case policy == nil:
		d.Outcome, d.Detail = PolicyMismatch, fmt.Sprintf("no inbound policy for %v", p.Flow)
	case policy.Action == ActionDiscard:
		d.Outcome, d.Detail = PolicyMismatch, "discarded by "+policy.String()
	case policy.Action != ActionBypass && policy.ReqID != b.ReqID:
		d.Outcome, d.Detail = PolicyMismatch, fmt.Sprintf("came through reqid %d, wanted by %v", b.ReqID, policy)
	}
	if d.Outcome != Delivered {
		outer.counters.OtherDrops++
		return d
	}
	for _, sa := range b.sas {
		m.count(sa, p.Size)
	}
	if !outer.first {
		outer.first = true
		m.events.add(FirstPacketEvent{ID: outer.id})
	}
	if b.UDPEncap && p.Src != outer.mapping {
		m.events.add(MappingEvent{ID: outer.id, Old: outer.mapping, New: p.Src})
		outer.mapping = p.Src
	}
	return d
}

// differ says in which way the sender's SAs do not fit the receiver's.
func differ(layers []memoryLayer, b *memoryBundle) string {
	if len(layers) != len(b.sas) {
		return fmt.Sprintf("%d transforms sent, %d expected", len(layers), len(b.sas))
	}
	for i, sa := range b.sas {
		if s := differSA(&layers[i].sa, &sa.SA); s != "" {
			return s
		}
	}
	return ""
}

func differSA(x, y *SA) string {
	switch {
	case x.Protocol != y.Protocol || x.SPI != y.SPI:
		return fmt.Sprintf("%v SPI %#x sent, %v SPI %#x expected", x.Protocol, uint32(x.SPI), y.Protocol, uint32(y.SPI))
	case x.Encryption != y.Encryption:
		return fmt.Sprintf("%v sent, %v expected", x.Encryption, y.Encryption)
	case x.Integrity != y.Integrity:
		return fmt.Sprintf("%v sent, %v expected", x.Integrity, y.Integrity)
	case !x.EncrKey.Equal(y.EncrKey):
		return "encryption keys differ"
	case !x.IntegKey.Equal(y.IntegKey):
		return "integrity keys differ"
	case x.ESN != y.ESN:
		return "one side has 64-bit sequence numbers"
	case x.Mode != y.Mode:
		return fmt.Sprintf("%v mode sent, %v mode expected", x.Mode, y.Mode)
	}
	return ""
}

// replayWindow is that of RFC 4303 3.4.3, 64 packets wide.
type replayWindow struct {
	high uint64
	seen uint64 // bit n: high-n was accepted
}

func (w *replayWindow) fresh(seq uint64) bool {
	switch {
	case seq == 0:
		return false
	case seq > w.high:
		return true
	case w.high-seq >= 64:
		return false
	}
	return w.seen&(1<<(w.high-seq)) == 0
}

func (w *replayWindow) accept(seq uint64) {
	if seq > w.high {
		w.seen = w.seen<<min(seq-w.high, 64) | 1
		w.high = seq
		return
	}
	if w.high-seq < 64 {
		w.seen |= 1 << (w.high - seq)
	}
}

// Expire raises an ExpireEvent for an SA, as if a lifetime had been reached;
// a hard one stops it.
func (m *Memory) Expire(id SAID, hard bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	sa := m.find(id)
	switch {
	case sa == nil:
		return ErrNotFound
	case hard:
		m.hardExpire(sa, false)
	default:
		sa.soft = true
		m.events.add(ExpireEvent{ID: id, Counters: sa.counters})
	}
	return nil
}

// SetSequence sets the sequence number that an outbound SA used last, to see
// what happens when they run out.
func (m *Memory) SetSequence(id SAID, seq uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if sa := m.find(id); sa != nil && id.Direction == Out {
		sa.seq = seq
		return nil
	}
	return ErrNotFound
}
