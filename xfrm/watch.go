package xfrm

import (
	"context"
	"errors"

	"github.com/racoon3/racoon/spd"
)

// watch tells when the first packet of an inbound SA has come. The kernel has
// no such event, but it tells the replay state after so many packets, here one.
// As soon as anybody listens to those messages the kernel makes them for every
// SA, so there is a socket for them only as long as an SA is waited for.
type watch struct {
	awaited int
	stop    context.CancelFunc // of the socket; nil: there is none
}

// await begins to wait for an SA's first packet. p.mu is held.
func (p *DataPlane) await(e *entry) {
	e.awaited = true
	p.watch.awaited++
	if p.watch.stop != nil {
		return
	}
	ctx, stop := context.WithCancel(p.done)
	conn, err := p.cfg.Dial(ProtocolXFRM, GroupAE)
	if err != nil {
		stop()
		p.log.Warn("xfrm: first packets will not be told", "err", err)
		return
	}
	p.watch.stop = stop
	p.readers.Go(func() { p.readUsed(ctx, conn) })
}

// arrived ends the wait for an SA's first packet. p.mu is held.
func (p *DataPlane) arrived(e *entry) {
	if !e.awaited {
		return
	}
	e.awaited = false
	if p.watch.awaited--; p.watch.awaited == 0 && p.watch.stop != nil {
		p.watch.stop()
		p.watch.stop = nil
	}
}

func (p *DataPlane) readUsed(ctx context.Context, conn Conn) {
	defer func() { _ = conn.Close() }()
	buf := make([]byte, datagramSize)
	for {
		n, err := conn.Receive(ctx, buf)
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, ErrOverflow):
			p.resynchronize(ctx)
		case err != nil:
			p.log.Error("xfrm: reading events", "err", err)
			return
		default:
			p.handle(buf[:n])
		}
	}
}

// handleUsed notes that an SA has been used.
func (p *DataPlane) handleUsed(k SAKey) {
	p.mu.Lock()
	e := p.sas[k]
	if e == nil || !e.awaited || !e.installed {
		p.mu.Unlock()
		return
	}
	p.arrived(e)
	id := e.id
	p.mu.Unlock()
	p.events.Emit(spd.FirstPacketEvent{ID: id})
	// From now on the SA says nothing, even if somebody listens.
	err := p.client.SetAE(p.done, &AE{Key: k, Flags: AEReplayThreshold, Thresholds: &Thresholds{}})
	if err != nil && !errors.Is(err, spd.ErrNotFound) && p.done.Err() == nil {
		p.log.Debug("xfrm: turning replay events off", "err", err)
	}
}
