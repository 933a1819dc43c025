package pool

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// ErrTaken: a fixed address is somebody else's, or nobody may have it.
var ErrTaken = errors.New("pool: the address is not free")

// LeaseFixed gives an identity this very address, in the ranges or outside:
// what a user's authentication says he has (RADIUS Framed-IP-Address). Several
// sessions of the identity may hold it at a time. Nobody else gets it
// meanwhile; what Keep reserves for others does not count against it.
//
// The error matches [ErrTaken] or [ErrNoIdentity] and says who has it.
func (p *Pool) LeaseFixed(identity string, a netip.Addr, now time.Time) (Lease, error) {
	if identity == "" {
		return Lease{}, ErrNoIdentity
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !a.IsValid() || a.Is4In6() || a.Zone() != "" || a.IsUnspecified() || a.IsMulticast() || p.bits != 0 && a.BitLen() != p.bits {
		return Lease{}, fmt.Errorf("%w: %v is no address for this pool", ErrTaken, a)
	}
	if slices.ContainsFunc(p.exclude, func(x netip.Prefix) bool { return x.Contains(a) }) {
		return Lease{}, fmt.Errorf("%w: %v is excluded", ErrTaken, a)
	}
	if owner := p.static[a]; owner != "" && owner != identity {
		return Lease{}, fmt.Errorf("%w: %v belongs to %q", ErrTaken, a, owner)
	}
	e := p.byAddr[a]
	if e != nil && e.identity != identity {
		if len(e.holders) > 0 {
			return Lease{}, fmt.Errorf("%w: %v is leased to %q", ErrTaken, a, e.identity)
		}
		p.forget(e)
		e = nil
	}
	if e == nil {
		// One outside the ranges is never anybody else's, as a static one.
		e = p.enter(a, identity, !p.dynamic(a))
	}
	return p.hold(e), nil
}
