//go:build linux

package interop

import (
	"context"
	"slices"
	"sync"

	"github.com/racoon3/racoon/esp"
	"github.com/racoon3/racoon/spd"
)

// A recorder is the userspace ESP that remembers which SAs it was given, keys
// and all: so that they can be compared with those of a peer that has no data
// plane.
type recorder struct {
	*esp.Engine
	mu  sync.Mutex
	sas []recordedSA
}

type recordedSA struct {
	spd.SA
	Direction spd.Direction
	UDPEncap  bool
	Removed   bool
}

func newRecorder(e *esp.Engine) *recorder { return &recorder{Engine: e} }

func (r *recorder) record(b *spd.Bundle, d spd.Direction) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, sa := range b.SAs {
		sa.EncrKey, sa.IntegKey = slices.Clone(sa.EncrKey), slices.Clone(sa.IntegKey)
		r.sas = append(r.sas, recordedSA{SA: sa, Direction: d, UDPEncap: b.UDPEncap})
	}
}

func (r *recorder) InstallInbound(ctx context.Context, b *spd.Bundle) error {
	err := r.Engine.InstallInbound(ctx, b)
	if err == nil {
		r.record(b, spd.In)
	}
	return err
}

func (r *recorder) InstallOutbound(ctx context.Context, b *spd.Bundle) error {
	err := r.Engine.InstallOutbound(ctx, b)
	if err == nil {
		r.record(b, spd.Out)
	}
	return err
}

func (r *recorder) Remove(ctx context.Context, id spd.SAID) (spd.Counters, error) {
	r.mu.Lock()
	for i := range r.sas {
		if sa := &r.sas[i]; sa.SPI == id.SPI && sa.Direction == id.Direction {
			sa.Removed = true
		}
	}
	r.mu.Unlock()
	return r.Engine.Remove(ctx, id)
}

// installed are the SAs that are there now.
func (r *recorder) installed() []recordedSA {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(r.sas), func(sa recordedSA) bool { return sa.Removed })
}
