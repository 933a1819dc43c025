package xfrm

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/racoon3/racoon/spd"
)

// readerPause is how long the reader waits before it goes on after an error
// that is not its business: a program that is short of memory.
const readerPause = 100 * time.Millisecond

// read hands on the kernel's events until the data plane is closed.
func (p *DataPlane) read(conn Conn) {
	defer func() { _ = conn.Close() }()
	buf := make([]byte, datagramSize)
	for p.done.Err() == nil {
		n, err := conn.Receive(p.done, buf)
		switch {
		case p.done.Err() != nil:
			return
		case errors.Is(err, ErrOverflow):
			p.log.Warn("xfrm: events were lost; looking at all SAs")
			p.events.Emit(spd.OverflowEvent{Lost: 1}) // nobody knows how many
			p.resynchronize(p.done)
			continue
		case err != nil:
			p.log.Error("xfrm: reading events", "err", err)
			select {
			case <-time.After(readerPause):
			case <-p.done.Done():
			}
			continue
		}
		p.handle(buf[:n])
	}
}

// handle takes one datagram of events. What is malformed or unknown is passed
// over: newer kernels say more.
func (p *DataPlane) handle(datagram []byte) {
	for h, body := range Messages(datagram) {
		if body.Err != nil {
			p.log.Warn("xfrm: an event cannot be read", "err", body.Err)
			return
		}
		m, err := Parse(MessageType(h.Type), body.Data)
		if err != nil {
			p.log.Debug("xfrm: an event cannot be read", "err", err)
			continue
		}
		switch m := m.(type) {
		case *Acquire:
			p.handleAcquire(m)
		case *Expire:
			p.handleExpire(m)
		case *Mapping:
			p.handleMapping(m)
		case *NewAE:
			p.handleUsed(m.Key)
		case *Report:
			p.log.Info("xfrm: a packet came through an SA that is not for it", "packet", m.Packet.String())
		}
	}
}

func (p *DataPlane) handleExpire(m *Expire) {
	p.mu.Lock()
	if m.SPI == 0 {
		p.acquires.ended(m.Seq)
		p.mu.Unlock()
		return
	}
	e := p.sas[m.Key()]
	if e == nil || !e.installed {
		p.mu.Unlock()
		return // the end of a reservation, or somebody else's SA
	}
	doubtful := e.doubtful && m.Hard
	p.mu.Unlock()
	if doubtful {
		if sa, err := p.client.SA(p.done, e.key); err == nil {
			sa.Wipe()
			return
		}
	}
	p.mu.Lock()
	ev, ok := p.expire(e, &m.SA, m.Hard)
	p.mu.Unlock()
	if ok {
		p.events.Emit(ev)
	}
}

// expire notes that an SA has reached a limit; false if that is known. p.mu is
// held.
func (p *DataPlane) expire(e *entry, sa *SA, hard bool) (ev spd.ExpireEvent, ok bool) {
	if e.expired || e.soft && !hard {
		return ev, false
	}
	c := p.counters(e, sa)
	ev = spd.ExpireEvent{ID: e.id, Hard: hard, Counters: c, Exhausted: e.exhausts && c.Packets >= exhaustion}
	if hard {
		e.expired = true
		p.arrived(e)
	} else {
		e.soft = true
	}
	return ev, true
}

func (p *DataPlane) handleMapping(m *Mapping) {
	p.mu.Lock()
	e := p.sas[m.Key]
	to := netip.AddrPortFrom(m.NewSrc, m.NewPort)
	if e == nil || e.expired || e.mapping == to || e.ends.Remote == to {
		p.mu.Unlock()
		return
	}
	e.mapping = to
	ev := spd.MappingEvent{ID: e.id, Old: e.ends.Remote, New: to}
	p.mu.Unlock()
	p.events.Emit(ev)
}

// resynchronize compares the SAs with the kernel's after events were lost: it
// makes up for expirations, first packets and acquires. NAT mappings the
// kernel tells again with the next packet.
func (p *DataPlane) resynchronize(ctx context.Context) {
	p.mu.Lock()
	missing := make(map[SAKey]*entry, len(p.sas))
	for k, e := range p.sas {
		if e.installed && !e.expired {
			missing[k] = e
		}
	}
	p.mu.Unlock()
	var waiting []*SA
	for sa, err := range p.client.SAs(ctx, &DumpSA{}) {
		if err != nil {
			p.log.Error("xfrm: looking at all SAs", "err", err)
			return
		}
		if sa.SPI == 0 {
			waiting = append(waiting, sa)
			continue
		}
		k := sa.Key()
		if e := missing[k]; e != nil {
			delete(missing, k)
			p.catchUp(e, sa)
		}
		sa.Wipe()
	}
	for k, e := range missing {
		p.mu.Lock()
		var ev spd.ExpireEvent
		ok := false
		if p.sas[k] == e && p.moving[e.reqID] == 0 {
			e.expired, ok = true, true
			p.arrived(e)
			ev = spd.ExpireEvent{ID: e.id, Hard: true, Counters: e.seen}
		}
		p.mu.Unlock()
		if ok {
			p.events.Emit(ev)
		}
	}
	for _, sa := range waiting {
		p.mu.Lock()
		known := p.acquires.bySeq[sa.Seq] != nil
		p.mu.Unlock()
		if !known && sa.Seq != 0 {
			p.handleAcquire(p.acquireOf(sa))
		}
	}
}

// catchUp raises the events that an SA's usage says there must have been.
func (p *DataPlane) catchUp(e *entry, sa *SA) {
	u, l := &sa.Usage, &e.limits
	p.mu.Lock()
	var evs []spd.Event
	if l.SoftBytes > 0 && u.Bytes >= l.SoftBytes || l.SoftPackets > 0 && u.Packets >= l.SoftPackets {
		if ev, ok := p.expire(e, sa, false); ok {
			evs = append(evs, ev)
		}
	}
	if e.awaited && u.Packets > 0 {
		p.arrived(e)
		evs = append(evs, spd.FirstPacketEvent{ID: e.id})
	}
	p.mu.Unlock()
	for _, ev := range evs {
		p.events.Emit(ev)
	}
}
