package esp

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"slices"
	"time"

	"github.com/racoon3/racoon/esp/replay"
	"github.com/racoon3/racoon/internal/suite"
	"github.com/racoon3/racoon/spd"
)

// defaultSPITTL is how long a reserved SPI is kept without an SA.
const defaultSPITTL = 5 * time.Minute

// rekeyMargin and rekeyMarginESN are how many sequence numbers before the end a
// rekey is asked for: at ten million packets a second the first leaves 26 seconds.
const (
	rekeyMargin    = 1 << 28
	rekeyMarginESN = 1 << 40
)

// Capabilities implements [spd.DataPlane]: everything but bundles, AH, IPComp
// and marks, and ESP without UDP only with Config.RawESP.
func (e *Engine) Capabilities() spd.Capabilities {
	c := e.caps
	c.Algorithms = slices.Clone(c.Algorithms)
	return c
}

func capabilities(raw bool) spd.Capabilities {
	c := spd.Capabilities{
		Name: "esp", ESN: true, Tunnel: true, Transport: true,
		UDPEncap: true, UDPEncap6: true, NonIKE: true, RawESP: raw,
		MaxReplay: replay.MaxSize, Volume: true, TrapPolicy: true,
	}
	for _, id := range []uint16{
		spd.EncrAESGCM16, spd.EncrChaCha20Poly1305, spd.EncrAESGCM12, spd.EncrAESGCM8,
		spd.EncrAESCCM16, spd.EncrAESCCM12, spd.EncrAESCCM8,
		spd.EncrAESCBC, spd.EncrAESCTR, spd.EncrCamelliaCBC, spd.Encr3DES, spd.EncrNULL, spd.EncrNULLAESGMAC,
	} {
		info, _ := suite.ENCRByID(id)
		t := spd.Transform{Type: spd.TransformENCR, ID: id}
		if info.KeyBits == nil {
			c.Algorithms = append(c.Algorithms, spd.Algorithm{Protocol: spd.ProtoESP, Transform: t})
		}
		for _, t.KeyLen = range info.KeyBits {
			c.Algorithms = append(c.Algorithms, spd.Algorithm{Protocol: spd.ProtoESP, Transform: t})
		}
	}
	for _, id := range []uint16{
		spd.IntegHMACSHA256_128, spd.IntegHMACSHA384_192, spd.IntegHMACSHA512_256,
		spd.IntegAESCMAC96, spd.IntegAESXCBC96, spd.IntegHMACSHA1_96, spd.IntegHMACMD5_96,
	} {
		c.Algorithms = append(c.Algorithms, spd.Algorithm{Protocol: spd.ProtoESP, Transform: spd.Transform{Type: spd.TransformINTEG, ID: id}})
	}
	return c
}

// ready reports why a call cannot be served: its context is done, or the
// engine is closed. e.mu is held.
func (e *Engine) ready(ctx context.Context) error {
	if e.closed {
		return spd.ErrClosed
	}
	return ctx.Err()
}

// AllocSPI implements [spd.DataPlane]. The SPI is random, not reserved, and
// unique in this engine, whatever the addresses.
func (e *Engine) AllocSPI(ctx context.Context, r spd.SPIRequest) (spd.SPI, error) {
	if r.Protocol != spd.ProtoESP {
		return 0, fmt.Errorf("esp: %w: protocol %v", spd.ErrUnsupported, r.Protocol)
	}
	ttl := r.TTL
	if ttl <= 0 {
		ttl = defaultSPITTL
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.ready(ctx); err != nil {
		return 0, err
	}
	now := e.now()
	e.larvals.sweep(now)
	for range 64 {
		var b [4]byte
		if _, err := io.ReadFull(e.cfg.Rand, b[:]); err != nil {
			return 0, fmt.Errorf("esp: SPI: %w", err)
		}
		spi := spd.SPI(binary.BigEndian.Uint32(b[:]))
		if spi < spd.FirstSPI || e.in.get(uint32(spi)) != nil {
			continue
		}
		if e.larvals.reserve(spi, now, now+int64(ttl)) {
			return spi, nil
		}
	}
	return 0, spd.ErrSPIExhausted
}

// ReleaseSPI implements [spd.DataPlane].
func (e *Engine) ReleaseSPI(ctx context.Context, id spd.SAID) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.ready(ctx); err != nil {
		return err
	}
	if !e.larvals.release(id.SPI) {
		return spd.ErrNotFound
	}
	return nil
}

// check returns the only SA of a bundle that this engine can install.
func (e *Engine) check(b *spd.Bundle) (*spd.SA, error) {
	if err := b.Valid(); err != nil {
		return nil, err
	}
	if err := e.caps.Check(b); err != nil {
		return nil, err
	}
	to := b.Endpoints()
	if err := checkEndpoints(&to); err != nil {
		return nil, err
	}
	return &b.SAs[0], nil
}

// checkEndpoints returns nil if packets can go between these addresses.
func checkEndpoints(to *spd.Endpoints) error {
	if err := to.Valid(); err != nil {
		return err
	}
	if to.Local.Addr().IsUnspecified() || to.Remote.Addr().IsUnspecified() {
		return fmt.Errorf("%w: outer addresses %v, %v: unspecified", spd.ErrBundle, to.Local, to.Remote)
	}
	return nil
}

// InstallInbound implements [spd.DataPlane]. The SPI need not come from
// AllocSPI, but must be free: an SA in use is never replaced. Packets that came
// while the SPI was reserved are ready for Release.
func (e *Engine) InstallInbound(ctx context.Context, b *spd.Bundle) error {
	s, err := e.check(b)
	if err != nil {
		return err
	}
	sa, err := NewInboundSA(s)
	if err != nil {
		return err
	}
	in := &inbound{
		sa: sa, reqID: b.ReqID, mode: s.Mode, noECN: b.Options.NoECN,
		local: b.LocalTS, remote: b.RemoteTS,
	}
	if s.Mode == spd.ModeTransport {
		in.nat = &translation{srcWas: b.OriginalRemote.Unmap(), dstWas: b.OriginalLocal.Unmap()}
	}
	in.path.Store(&path{Endpoints: b.Endpoints()})

	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.ready(ctx); err != nil {
		return err
	}
	now := e.now()
	in.usage.init(e.lifetime(b.Lifetime), now)
	if !e.in.put(uint32(s.SPI), in) {
		return fmt.Errorf("esp: inbound SPI %08x: %w", uint32(s.SPI), spd.ErrExists)
	}
	e.larvals.matured(s.SPI, now)
	return nil
}

// InstallOutbound implements [spd.DataPlane].
func (e *Engine) InstallOutbound(ctx context.Context, b *spd.Bundle) error {
	s, err := e.check(b)
	if err != nil {
		return err
	}
	sa, err := NewOutboundSA(s, e.cfg.Rand)
	if err != nil {
		return err
	}
	out := &outbound{
		sa: sa, reqID: b.ReqID, mode: s.Mode, options: optionsOf(&b.Options),
		local: b.LocalTS, remote: b.RemoteTS,
	}

	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.ready(ctx); err != nil {
		return err
	}
	to := e.pathTo(out, b.Endpoints())
	out.path.Store(to)
	if id := out.id(to); e.findOutbound(id) != nil {
		return fmt.Errorf("esp: outbound SPI %08x to %v: %w", uint32(s.SPI), id.Dst, spd.ErrExists)
	}
	out.usage.init(e.lifetime(b.Lifetime), e.now())
	e.outbound[s.SPI] = append(e.outbound[s.SPI], out)
	l := e.out.get(out.reqID)
	if l == nil {
		l = new(outboundList)
		l.list.Store(&[]*outbound{out})
		e.out.put(out.reqID, l)
	} else {
		list := append([]*outbound{out}, *l.list.Load()...)
		l.list.Store(&list)
	}
	e.acquires.installed(out.reqID)
	return nil
}

// findOutbound returns the outbound SA that id names. (The peers choose its
// SPI, so only with the destination it is unique; an id without one names the
// only SA of its SPI.) e.mu is held.
func (e *Engine) findOutbound(id spd.SAID) *outbound {
	list := e.outbound[id.SPI]
	for _, out := range list {
		if out.path.Load().Remote.Addr() == id.Dst {
			return out
		}
	}
	if !id.Dst.IsValid() && len(list) == 1 {
		return list[0]
	}
	return nil
}

// Remove implements [spd.DataPlane]. The counters are final: a packet that is on
// its way through the SA is in them, or does not pass. The keys are wiped as
// soon as no packet uses them any more.
func (e *Engine) Remove(ctx context.Context, id spd.SAID) (spd.Counters, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.ready(ctx); err != nil {
		return spd.Counters{}, err
	}
	if id.Direction == spd.In {
		in := e.in.get(uint32(id.SPI))
		if in == nil {
			return spd.Counters{}, spd.ErrNotFound
		}
		e.in.remove(uint32(id.SPI), in)
		return in.usage.final(), nil
	}
	out := e.findOutbound(id)
	if out == nil {
		return spd.Counters{}, spd.ErrNotFound
	}
	return e.removeOutbound(out), nil
}

func (e *Engine) removeOutbound(out *outbound) spd.Counters {
	without := func(o *outbound) bool { return o == out }
	spi := out.sa.SPI()
	if rest := slices.DeleteFunc(e.outbound[spi], without); len(rest) > 0 {
		e.outbound[spi] = rest
	} else {
		delete(e.outbound, spi)
	}
	l := e.out.get(out.reqID)
	// Readers may hold the list: it is replaced, not changed.
	if rest := slices.DeleteFunc(slices.Clone(*l.list.Load()), without); len(rest) > 0 {
		l.list.Store(&rest)
	} else {
		e.out.remove(out.reqID, l)
	}
	return out.usage.final() // packets that find it so look for another
}

// Query implements [spd.DataPlane].
func (e *Engine) Query(ctx context.Context, id spd.SAID) (spd.Counters, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.ready(ctx); err != nil {
		return spd.Counters{}, err
	}
	if id.Direction == spd.In {
		if in := e.in.get(uint32(id.SPI)); in != nil {
			return in.usage.counters(), nil
		}
	} else if out := e.findOutbound(id); out != nil {
		return out.usage.counters(), nil
	}
	return spd.Counters{}, spd.ErrNotFound
}

// MovePeer implements [spd.DataPlane]. The SA's Dst becomes that of the new
// endpoints: from then on that is its SAID.
func (e *Engine) MovePeer(ctx context.Context, id spd.SAID, to spd.Endpoints) error {
	if err := checkEndpoints(&to); err != nil {
		return fmt.Errorf("moving SPI %08x: %w", uint32(id.SPI), err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.ready(ctx); err != nil {
		return err
	}
	if id.Direction == spd.In {
		in := e.in.get(uint32(id.SPI))
		if in == nil {
			return spd.ErrNotFound
		}
		in.path.Store(&path{Endpoints: to})
		return nil
	}
	out := e.findOutbound(id)
	if out == nil {
		return spd.ErrNotFound
	}
	next := e.pathTo(out, to)
	id = out.id(next)
	if other := e.findOutbound(id); other != nil && other != out {
		return fmt.Errorf("esp: outbound SPI %08x to %v: %w", uint32(id.SPI), id.Dst, spd.ErrExists)
	}
	out.path.Store(next)
	return nil
}

// SetPolicies implements [spd.DataPlane]. Packets see all of the change or
// nothing.
func (e *Engine) SetPolicies(ctx context.Context, owner spd.Owner, policies []spd.Policy) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.ready(ctx); err != nil {
		return err
	}
	for i := range policies {
		if err := e.caps.CheckPolicy(&policies[i]); err != nil {
			return fmt.Errorf("esp: policies[%d]: %w", i, err)
		}
	}
	return e.policies.replace(owner, policies)
}

// AcquireDone implements [spd.DataPlane]. With nil, the packets held are ready
// for Release.
func (e *Engine) AcquireDone(ctx context.Context, id spd.AcquireID, err error) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.ready(ctx); err != nil {
		return err
	}
	return e.acquires.done(id, err)
}

// PrepareSocket implements [spd.DataPlane]: there is no kernel to talk to.
func (e *Engine) PrepareSocket(net.PacketConn, bool) error { return nil }

// PrepareNonIKE implements [spd.NonIKESocket].
func (e *Engine) PrepareNonIKE(net.PacketConn) error { return nil }

// Events implements [spd.DataPlane].
func (e *Engine) Events() <-chan spd.Event { return e.events.Events() }

// Close implements [spd.DataPlane]. Packets are dropped from now on.
func (e *Engine) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil
	}
	e.closed = true
	e.policies.clear()
	for _, list := range e.outbound {
		for _, out := range slices.Clone(list) {
			e.removeOutbound(out)
		}
	}
	e.in.clear(func(in *inbound) { in.usage.final() })
	e.larvals.clear()
	e.acquires.clear()
	e.events.Close()
	return nil
}
