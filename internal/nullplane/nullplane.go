// Package nullplane is a data plane that does nothing: it gives out SPIs and
// takes every SA without keeping it. With it the cost of key management shows
// alone, in benchmarks and under load.
package nullplane

import (
	"context"
	"math/rand/v2"
	"net"
	"sync/atomic"

	"github.com/racoon3/racoon/spd"
)

// A Plane is a [spd.DataPlane] that keeps nothing but a counter. It is safe
// for concurrent use; all its methods return at once.
type Plane struct {
	caps   spd.Capabilities
	last   atomic.Uint32
	events chan spd.Event
}

var _ spd.DataPlane = (*Plane)(nil)

// New returns a Plane. Its SPIs begin at random, so that a peer which has
// kept SAs with an earlier one does not meet their SPIs again.
func New() *Plane {
	p := &Plane{caps: spd.MemoryCapabilities(), events: make(chan spd.Event)}
	p.caps.Name = "null"
	p.last.Store(rand.Uint32())
	return p
}

// Capabilities says that everything can be done.
func (p *Plane) Capabilities() spd.Capabilities { return p.caps }

// AllocSPI counts upwards, and round again.
func (p *Plane) AllocSPI(_ context.Context, r spd.SPIRequest) (spd.SPI, error) {
	n := p.last.Add(1)
	if r.Protocol == spd.ProtoIPComp {
		return spd.FirstSPI + spd.SPI(n)%(spd.LastCPI-spd.FirstSPI), nil
	}
	return max(spd.SPI(n), spd.FirstSPI), nil
}

func (p *Plane) ReleaseSPI(context.Context, spd.SAID) error                 { return nil }
func (p *Plane) InstallInbound(context.Context, *spd.Bundle) error          { return nil }
func (p *Plane) InstallOutbound(context.Context, *spd.Bundle) error         { return nil }
func (p *Plane) MovePeer(context.Context, spd.SAID, spd.Endpoints) error    { return nil }
func (p *Plane) SetPolicies(context.Context, spd.Owner, []spd.Policy) error { return nil }
func (p *Plane) AcquireDone(context.Context, spd.AcquireID, error) error    { return nil }
func (p *Plane) PrepareSocket(net.PacketConn, bool) error                   { return nil }

// Remove has nothing to count.
func (p *Plane) Remove(context.Context, spd.SAID) (spd.Counters, error) { return spd.Counters{}, nil }

// Query has nothing to count.
func (p *Plane) Query(context.Context, spd.SAID) (spd.Counters, error) { return spd.Counters{}, nil }

// Events returns a channel on which nothing comes.
func (p *Plane) Events() <-chan spd.Event { return p.events }

// Close does nothing: the Plane holds nothing.
func (p *Plane) Close() error { return nil }
