package xfrm

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/racoon3/racoon/spd"
)

// A larval SA is a reserved SPI. The kernel keeps it as long as its setting
// says; this package keeps it as long as the request says: after the kernel
// has forgotten it, the SPI is not given out again, and is installed as a new
// one.
type larval struct {
	ends time.Time
}

// defaultSPITTL is how long an SPI is reserved if the request does not say.
const defaultSPITTL = 5 * time.Minute

// spiTries bounds how often a reserved number is asked for that is taken here.
const spiTries = 16

// AllocSPI implements [spd.DataPlane].
func (p *DataPlane) AllocSPI(ctx context.Context, r spd.SPIRequest) (spd.SPI, error) {
	local, remote := r.Local.Unmap(), r.Remote.Unmap()
	switch {
	case r.Protocol != spd.ProtoESP && r.Protocol != spd.ProtoAH && r.Protocol != spd.ProtoIPComp:
		return 0, fmt.Errorf("xfrm: %w: an SPI for %v", spd.ErrUnsupported, r.Protocol)
	case !local.IsValid():
		return 0, fmt.Errorf("xfrm: %w: SPIRequest.Local is no address", spd.ErrUnsupported)
	}
	m := &AllocSPI{SA: SA{Src: remote, Dst: local, Proto: protocolNumber(r.Protocol), Mode: ModeTunnel, ReqID: r.ReqID, Mark: markOf(r.Mark)},
		Min: uint32(p.cfg.FirstSPI), Max: uint32(p.cfg.LastSPI)}
	if r.Protocol == spd.ProtoIPComp {
		m.Min, m.Max = uint32(spd.FirstSPI), uint32(spd.LastCPI)
	}
	ttl := r.TTL
	if ttl <= 0 {
		ttl = defaultSPITTL
	}
	p.mu.Lock()
	err := p.ready(ctx)
	p.mu.Unlock()
	if err != nil {
		return 0, err
	}
	for range spiTries {
		sa, err := p.client.ReserveSPI(ctx, m)
		switch {
		case isErrno(err, ENOENT):
			return 0, fmt.Errorf("%w: %w", spd.ErrSPIExhausted, err)
		case err != nil:
			return 0, err
		}
		key := SAKey{Dst: local, SPI: sa.SPI, Proto: m.Proto, Mark: m.Mark}
		if p.reserve(key, ttl) {
			return spd.SPI(sa.SPI), nil
		}
		_ = p.client.DeleteSA(ctx, key) // the kernel's own time limit ends what this cannot
	}
	return 0, spd.ErrSPIExhausted
}

// reserve notes a reserved SPI, unless it is one already.
func (p *DataPlane) reserve(key SAKey, ttl time.Duration) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.larval[key] != nil || p.sas[key] != nil {
		return false
	}
	l := &larval{ends: time.Now().Add(ttl)}
	p.larval[key] = l
	switch {
	case p.larvalTimer == nil:
		p.larvalTimer = time.AfterFunc(ttl, p.endLarval)
		p.larvalDue = l.ends
	case l.ends.Before(p.larvalDue):
		p.larvalTimer.Reset(ttl)
		p.larvalDue = l.ends
	}
	return true
}

// endLarval gives back the SPIs whose time is over.
func (p *DataPlane) endLarval() {
	p.mu.Lock()
	p.larvalTimer = nil
	if p.closed {
		p.mu.Unlock()
		return
	}
	now := time.Now()
	var over []SAKey
	var next time.Time
	for k, l := range p.larval {
		switch {
		case !now.Before(l.ends):
			over = append(over, k)
			delete(p.larval, k)
		case next.IsZero() || l.ends.Before(next):
			next = l.ends
		}
	}
	if !next.IsZero() {
		p.larvalTimer = time.AfterFunc(next.Sub(now), p.endLarval)
		p.larvalDue = next
	}
	p.mu.Unlock()
	for _, k := range over {
		if err := p.client.DeleteSA(p.done, k); err != nil && !errors.Is(err, spd.ErrNotFound) && p.done.Err() == nil {
			p.log.Warn("xfrm: giving back an SPI", "err", err)
		}
	}
}

// ReleaseSPI implements [spd.DataPlane].
func (p *DataPlane) ReleaseSPI(ctx context.Context, id spd.SAID) error {
	key := keyOf(id)
	p.mu.Lock()
	err := p.ready(ctx)
	if err == nil && p.larval[key] == nil {
		err = spd.ErrNotFound
	}
	if err == nil {
		delete(p.larval, key)
	}
	p.mu.Unlock()
	if err != nil {
		return err
	}
	return unless(ESRCH, p.client.DeleteSA(ctx, key)) // its time was over
}
