package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"sync"

	"github.com/racoon3/racoon/spd"
	"github.com/racoon3/racoon/spd/statefile"
)

// A kernelPlane is a data plane that outlives the process.
type kernelPlane interface {
	spd.DataPlane
	spd.PolicyKeeper
}

// staleOwner has the policies that a predecessor has left, until the daemon has
// set its own. Owners of the Manager and of spd.Database are others.
const staleOwner spd.Owner = 0x7d << 56

// A rememberedPlane is a kernel's data plane that writes down what it installs.
// The next daemon, after this one was killed, finds there what to clean up:
//
//   - SAs are removed before anything is negotiated. Nobody has their keys
//     any more, and the peer is told by INITIAL_CONTACT.
//   - Policies stay until the daemon has had time to set those of its
//     configuration, so that nothing is sent in clear meanwhile; those that it
//     sets too are never away.
type rememberedPlane struct {
	kernelPlane
	log      *slog.Logger
	sas      *saFile
	policies *statefile.File

	mu     sync.Mutex
	ends   map[spd.SAID]storedSA
	owners map[spd.Owner][]spd.Policy
	count  map[spd.Policy]int
}

// remember opens the files of a directory. removeSA removes an SA from the
// kernel, and returns an error that wraps spd.ErrNotFound if it is not there.
func remember(ctx context.Context, dir, name string, plane kernelPlane, removeSA func(context.Context, storedSA) error, log *slog.Logger) (*rememberedPlane, error) {
	p := &rememberedPlane{kernelPlane: plane, log: log, ends: map[spd.SAID]storedSA{}, owners: map[spd.Owner][]spd.Policy{}, count: map[spd.Policy]int{}}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	var old []storedSA
	var err error
	if p.sas, old, err = openSAFile(filepath.Join(dir, name+".sas")); err != nil {
		return nil, err
	}
	if p.policies, err = statefile.Open(filepath.Join(dir, name+".policies")); err != nil {
		return nil, errors.Join(err, p.sas.close())
	}
	if err := p.cleanUp(ctx, old, removeSA); err != nil {
		return nil, errors.Join(err, p.sas.close(), p.policies.Close())
	}
	return p, nil
}

func (p *rememberedPlane) cleanUp(ctx context.Context, old []storedSA, removeSA func(context.Context, storedSA) error) error {
	removed := 0
	for _, sa := range old {
		switch err := removeSA(ctx, sa); {
		case err == nil:
			removed++
		case !errors.Is(err, spd.ErrNotFound):
			return fmt.Errorf("removing an SA of the last daemon: %w", err)
		}
	}
	p.sas.remove(old...)
	stored, err := p.policies.Load()
	if err != nil {
		return err
	}
	list := make([]spd.Policy, len(stored))
	for i := range stored {
		list[i] = stored[i].Policy
	}
	adopted, err := p.kernelPlane.AdoptPolicies(ctx, staleOwner, list)
	if err != nil {
		return fmt.Errorf("taking over the policies of the last daemon: %w", err)
	}
	is := make(map[spd.Policy]bool, len(adopted))
	for _, a := range adopted {
		is[a] = true
		p.count[a]++
	}
	p.owners[staleOwner] = adopted
	var gone []spd.Policy
	for _, l := range list {
		if !is[l] {
			gone = append(gone, l)
		}
	}
	if err := p.policies.Remove(gone); err != nil {
		return err
	}
	if removed > 0 || len(adopted) > 0 {
		p.log.Warn("the last daemon has not ended in order", "removed_sas", removed, "adopted_policies", len(adopted))
	}
	return nil
}

// stale reports whether policies of a predecessor are still there.
func (p *rememberedPlane) stale() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.owners[staleOwner])
}

// dropStale removes the policies of a predecessor that are nobody else's now.
func (p *rememberedPlane) dropStale(ctx context.Context) error {
	if p.stale() == 0 {
		return nil
	}
	return p.SetPolicies(ctx, staleOwner, nil)
}

func endsOf(id spd.SAID, local, remote netip.Addr) storedSA {
	s := storedSA{Protocol: id.Protocol, SPI: id.SPI, Src: remote.Unmap(), Dst: id.Dst.Unmap(), Mark: [2]uint32{id.Mark.Value, id.Mark.Mask}}
	if id.Direction == spd.Out {
		s.Src = local.Unmap()
	}
	return s
}

func (p *rememberedPlane) install(ctx context.Context, b *spd.Bundle, d spd.Direction, f func(context.Context, *spd.Bundle) error) error {
	ids := b.IDs(d)
	list := make([]storedSA, len(ids))
	for i, id := range ids {
		list[i] = endsOf(id, b.Local.Addr(), b.Remote.Addr())
	}
	if err := p.sas.add(list...); err != nil {
		return fmt.Errorf("remembering an SA: %w", err)
	}
	if err := f(ctx, b); err != nil {
		p.sas.remove(list...)
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, id := range ids {
		p.ends[id] = list[i]
	}
	return nil
}

// InstallInbound implements [spd.DataPlane].
func (p *rememberedPlane) InstallInbound(ctx context.Context, b *spd.Bundle) error {
	return p.install(ctx, b, spd.In, p.kernelPlane.InstallInbound)
}

// InstallOutbound implements [spd.DataPlane].
func (p *rememberedPlane) InstallOutbound(ctx context.Context, b *spd.Bundle) error {
	return p.install(ctx, b, spd.Out, p.kernelPlane.InstallOutbound)
}

// Remove implements [spd.DataPlane].
func (p *rememberedPlane) Remove(ctx context.Context, id spd.SAID) (spd.Counters, error) {
	c, err := p.kernelPlane.Remove(ctx, id)
	if err == nil || errors.Is(err, spd.ErrNotFound) {
		p.mu.Lock()
		sa, ok := p.ends[id]
		delete(p.ends, id)
		p.mu.Unlock()
		if ok {
			p.sas.remove(sa)
		}
	}
	return c, err
}

// MovePeer implements [spd.DataPlane].
func (p *rememberedPlane) MovePeer(ctx context.Context, id spd.SAID, to spd.Endpoints) error {
	next := id
	if next.Dst = to.Local.Addr(); id.Direction == spd.Out {
		next.Dst = to.Remote.Addr()
	}
	sa := endsOf(next, to.Local.Addr(), to.Remote.Addr())
	if err := p.sas.add(sa); err != nil {
		return fmt.Errorf("remembering an SA: %w", err)
	}
	err := p.kernelPlane.MovePeer(ctx, id, to)
	p.mu.Lock()
	before, known := p.ends[id]
	if err == nil {
		delete(p.ends, id)
		p.ends[next] = sa
	}
	p.mu.Unlock()
	switch {
	case err != nil && (!known || before != sa):
		p.sas.remove(sa)
	case err == nil && known && before != sa:
		p.sas.remove(before)
	}
	return err
}

// SetPolicies implements [spd.DataPlane].
func (p *rememberedPlane) SetPolicies(ctx context.Context, owner spd.Owner, policies []spd.Policy) error {
	p.mu.Lock() // calls for one policy must not overtake each other in the file
	defer p.mu.Unlock()
	add := make([]spd.StoredPolicy, len(policies))
	for i := range policies {
		add[i].Policy = policies[i]
	}
	if err := p.policies.Add(add); err != nil {
		return fmt.Errorf("remembering policies: %w", err)
	}
	err := p.kernelPlane.SetPolicies(ctx, owner, policies)
	before, after := p.owners[owner], policies
	if err != nil {
		before, after = policies, nil // what was added for nothing
	} else {
		for _, a := range after {
			p.count[a]++
		}
		for _, b := range before {
			if p.count[b]--; p.count[b] <= 0 {
				delete(p.count, b)
			}
		}
		if p.owners[owner] = append([]spd.Policy(nil), after...); len(after) == 0 {
			delete(p.owners, owner)
		}
	}
	var gone []spd.Policy
	for _, b := range before {
		if p.count[b] == 0 {
			gone = append(gone, b)
		}
	}
	if rerr := p.policies.Remove(gone); rerr != nil {
		p.log.Warn("forgetting policies", "err", rerr)
	}
	return err
}

// Close implements [spd.DataPlane].
func (p *rememberedPlane) Close() error {
	err := p.kernelPlane.Close()
	if err == nil { // nothing is left
		p.mu.Lock()
		for _, sa := range p.ends {
			p.sas.remove(sa)
		}
		clear(p.ends)
		if stored, lerr := p.policies.Load(); lerr == nil {
			list := make([]spd.Policy, len(stored))
			for i := range stored {
				list[i] = stored[i].Policy
			}
			_ = p.policies.Remove(list)
		}
		p.mu.Unlock()
	}
	return errors.Join(err, p.sas.close(), p.policies.Close())
}
