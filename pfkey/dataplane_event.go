package pfkey

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/racoon3/racoon/spd"
)

// acquire is an ACQUIRE that has not been answered.
type acquire struct {
	typ   SAType
	reqID uint32 // of the policy
	at    time.Time

	larval *SAEntry // the kernel's SA without an SPI, of one that was taken up; else nil
}

// maxAcquires bounds the ACQUIREs that are kept in mind; a kernel forgets its
// own too.
const maxAcquires = 4096

// listen makes events of notifications. It ends with the client.
func (p *DataPlane) listen(ctx context.Context) {
	if p.events != p.c {
		// What the requests' socket hears besides answers comes on the other too.
		p.done.Go(func() {
			for range p.c.Notifications() {
			}
		})
	}
	resync := make(chan uint64, 1)
	p.done.Go(func() {
		for lost := range resync {
			p.out.Emit(spd.OverflowEvent{Lost: lost})
			p.resynchronise(ctx)
		}
	})
	defer close(resync)
	for n := range p.events.Notifications() {
		if n.Lost > 0 {
			select {
			case resync <- n.Lost:
			default: // one is under way, and another waits
			}
			continue
		}
		p.handle(ctx, n.Message)
	}
}

func (p *DataPlane) handle(ctx context.Context, m *Message) {
	switch m.Type {
	case MsgAcquire:
		if m.PID == 0 && m.Errno == 0 {
			p.acquired(ctx, m)
		}
	case MsgExpire:
		p.expired(m)
	case MsgNATTNewMapping:
		p.mapped(m)
	}
}

// acquired tells of a packet that waits for an SA.
func (p *DataPlane) acquired(ctx context.Context, m *Message) {
	x, src, dst := m.Policy(), m.Address(ExtAddressSrc), m.Address(ExtAddressDst)
	if src == nil || dst == nil || !src.Addr.IsValid() || !dst.Addr.IsValid() {
		return
	}
	id := spd.AcquireID(m.Seq)
	p.mu.Lock()
	if p.closed || p.acquires[id] != nil {
		p.mu.Unlock()
		return
	}
	if len(p.acquires) >= maxAcquires {
		for old := range p.acquires {
			delete(p.acquires, old)
			break
		}
	}
	a := &acquire{typ: m.SAType, at: p.cfg.Now()}
	p.acquires[id] = a
	p.mu.Unlock()

	ev := spd.AcquireEvent{ID: id, Policy: spd.Policy{Direction: spd.Out, Action: spd.ActionTrap}}
	known := false
	if x != nil {
		p.policyMu.Lock()
		if kp := p.policies.byID[x.ID]; kp != nil {
			ev.Policy, known = kp.policy, true
		}
		p.policyMu.Unlock()
		if !known && x.ID != 0 {
			if e, err := p.c.SPDGet(ctx, x.Dir, x.ID); err == nil {
				ev.Policy = p.foreignPolicy(e)
			}
		}
	}
	p.mu.Lock()
	a.reqID = ev.Policy.ReqID
	p.mu.Unlock()
	for proto, t := range protocolTypes {
		if t == m.SAType && ev.Policy.Protocol == 0 {
			ev.Policy.Protocol = proto
		}
	}
	// In tunnel mode the addresses are the tunnel's.
	if ev.Policy.Mode == spd.ModeTransport {
		ev.Packet = packetOf(&ev.Policy, src.Addr, dst.Addr)
	}
	p.out.Emit(ev)
}

// packetOf is what is known of a packet between two hosts that waits for an SA in
// transport mode.
func packetOf(pol *spd.Policy, src, dst netip.Addr) spd.Selector {
	packet := spd.Selector{Local: spd.FromAddr(src), Remote: spd.FromAddr(dst)}
	// Protocol and ports are not told, but the policy's are some of them.
	if l, ok := packet.Local.Intersect(pol.Selector.Local); ok {
		if r, ok := packet.Remote.Intersect(pol.Selector.Remote); ok {
			return spd.Selector{Local: l, Remote: r}
		}
	}
	return packet
}

// AcquireDone implements [spd.DataPlane]. A kernel sends what it held as soon as
// the SA is there, without being told.
func (p *DataPlane) AcquireDone(ctx context.Context, id spd.AcquireID, err error) error {
	if lerr := p.lock(ctx); lerr != nil {
		return lerr
	}
	a := p.acquires[id]
	delete(p.acquires, id)
	p.mu.Unlock()
	switch {
	case a == nil:
		return spd.ErrNotFound
	case err == nil:
		return nil
	case a.larval != nil:
		return p.forgetLarval(ctx, a.larval)
	}
	return translate(p.c.RefuseAcquire(ctx, a.typ, uint32(id), ETIMEDOUT))
}

// ours returns the SA of ours that a message is about.
func (p *DataPlane) ours(m *Message) *installed {
	sa, dst := m.SA(), m.Address(ExtAddressDst)
	if sa == nil || dst == nil {
		return nil
	}
	return p.named(m.SAType, sa.SPI, dst.Addr)
}

func (p *DataPlane) named(t SAType, spi spd.SPI, dst netip.Addr) *installed {
	for proto, typ := range protocolTypes {
		if typ != t {
			continue
		}
		for _, dir := range [...]spd.Direction{spd.In, spd.Out} {
			if s := p.sas[spd.SAID{Direction: dir, Protocol: proto, SPI: spi, Dst: dst}]; s != nil {
				return s
			}
		}
	}
	return nil
}

// expired tells of a lifetime that was reached.
func (p *DataPlane) expired(m *Message) {
	hard := m.Lifetime(ExtLifetimeHard) != nil
	p.mu.Lock()
	s := p.ours(m)
	if s == nil {
		p.mu.Unlock()
		return
	}
	p.mu.Unlock()
	p.tellExpired(s, hard, p.count(s, m.Lifetime(ExtLifetimeCurrent)))
}

// tellExpired raises each kind of expiry of an SA once.
func (p *DataPlane) tellExpired(s *installed, hard bool, c spd.Counters) {
	p.mu.Lock()
	if hard && s.hardTold || !hard && s.softTold {
		p.mu.Unlock()
		return
	}
	if hard {
		s.hardTold = true
		delete(p.dying, s.id)
	} else {
		s.softTold = true
		p.dying[s.id] = true
	}
	id := s.id
	p.mu.Unlock()
	p.out.Emit(spd.ExpireEvent{ID: id, Hard: hard, Counters: c})
}

// mapped tells that a peer's packets come from another address or port.
func (p *DataPlane) mapped(m *Message) {
	sa, src, dst := m.SA(), m.Address(ExtAddressSrc), m.Address(ExtAddressDst)
	if sa == nil || src == nil || dst == nil || !dst.Addr.IsValid() {
		return
	}
	// The message has the peer's old address as its source and the new one as
	// its destination; ours is not in it.
	var found *installed
	p.mu.Lock()
	for id, s := range p.sas {
		if id.Direction == spd.In && id.SPI == sa.SPI && s.entry.Type == m.SAType && s.entry.Src == src.Addr {
			found = s
			break
		}
	}
	var id spd.SAID
	if found != nil {
		id = found.id
	}
	p.mu.Unlock()
	if found != nil {
		p.out.Emit(spd.MappingEvent{ID: id, Old: netip.AddrPortFrom(src.Addr, m.port(ExtNATTSPort)), New: netip.AddrPortFrom(dst.Addr, m.port(ExtNATTDPort))})
	}
}

// resynchronise finds out what has happened to our SAs while events were lost.
// Lost ACQUIREs come again, by the next packet.
func (p *DataPlane) resynchronise(ctx context.Context) {
	p.mu.Lock()
	mine := make(map[SAKey]*installed, len(p.sas))
	for _, s := range p.sas {
		mine[lookupKey(&s.entry)] = s
	}
	p.mu.Unlock()
	if len(mine) == 0 {
		return
	}
	const tries = 3
	for range tries {
		there := make(map[SAKey]bool, len(mine))
		var err error
		for e, derr := range p.c.Dump(ctx, SATypeUnspec) {
			if err = derr; err != nil {
				break
			}
			k := lookupKey(e)
			there[k] = true
			if s := mine[k]; s != nil && e.State == StateDying {
				p.tellExpired(s, false, p.count(s, e.Current))
			}
		}
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, ErrClosed) {
				return
			}
			continue
		}
		for k, s := range mine {
			if !there[k] && p.isInstalled(s) {
				p.tellExpired(s, true, spd.Counters{})
			}
		}
		return
	}
}

// lookupKey is the key of an SA without what dumps may show otherwise.
func lookupKey(e *SAEntry) SAKey {
	return SAKey{Type: e.Type, SPI: e.SPI, Dst: e.Dst}
}

func (p *DataPlane) isInstalled(s *installed) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sas[s.id] == s
}

// dyingInterval is how often SAs that have reached a soft limit are looked
// after, on kernels where a hard limit is silent.
const dyingInterval = 5 * time.Second

func (p *DataPlane) watchDying(ctx context.Context) {
	t := time.NewTicker(dyingInterval)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		p.mu.Lock()
		var list []*installed
		for id := range p.dying {
			if s := p.sas[id]; s != nil {
				list = append(list, s)
			}
		}
		p.mu.Unlock()
		for _, s := range list {
			if _, err := p.query(ctx, s); missing(err) && p.isInstalled(s) {
				p.tellExpired(s, true, spd.Counters{})
			}
		}
	}
}

// String is for logs.
func (p *DataPlane) String() string { return fmt.Sprintf("pfkey (%s)", p.d) }
