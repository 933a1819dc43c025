package core

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/racoon3/racoon/ike"
)

// Facts are what a configured peer is found by.
type Facts struct {
	Name string
	// RemoteAddrs limits the addresses that the peer may come from, LocalAddrs
	// those on which it is served; empty is any.
	RemoteAddrs, LocalAddrs []netip.Prefix
	LocalID                 ike.Identity // zero: not fixed
	RemoteID                ike.IdentityPattern
}

// An Index is an immutable set of configured peers, found by address and by
// identity. The zero value is empty.
type Index[P comparable] struct {
	all    []P
	facts  map[P]*Facts
	byName map[string]P
	byAddr map[netip.Addr][]P // peers with single addresses only
	byNet  []P                // peers with prefixes
	any    []P                // peers that may come from anywhere
	byID   map[ike.Identity][]P
	// anyServed: those of any are served on all local addresses.
	anyServed bool
}

// NewIndex indexes peers in the order of configuration.
func NewIndex[P comparable](peers []P, facts func(P) Facts) (Index[P], error) {
	x := Index[P]{
		all:    slices.Clone(peers),
		facts:  make(map[P]*Facts, len(peers)),
		byName: make(map[string]P, len(peers)),
		byAddr: make(map[netip.Addr][]P),
		byID:   make(map[ike.Identity][]P),
	}
	for _, p := range peers {
		f := facts(p)
		if _, twice := x.byName[f.Name]; twice {
			return x, fmt.Errorf("two peers have the name %q", f.Name)
		}
		x.byName[f.Name], x.facts[p] = p, &f
		if id, exact := f.RemoteID.IsExact(); exact {
			x.byID[id] = append(x.byID[id], p)
		}
		switch {
		case len(f.RemoteAddrs) == 0:
			x.any = append(x.any, p)
		case slices.ContainsFunc(f.RemoteAddrs, func(n netip.Prefix) bool { return !n.IsSingleIP() }):
			x.byNet = append(x.byNet, p)
		default:
			for _, n := range f.RemoteAddrs {
				x.byAddr[n.Addr()] = append(x.byAddr[n.Addr()], p)
			}
		}
	}
	x.anyServed = !slices.ContainsFunc(x.any, func(p P) bool { return len(x.facts[p].LocalAddrs) > 0 })
	return x, nil
}

// All returns the peers in the order of configuration. The slice must not be
// changed.
func (x *Index[P]) All() []P { return x.all }

// ByName returns the peer of that name, or the zero P.
func (x *Index[P]) ByName(name string) P { return x.byName[name] }

// Any are the peers that may come from anywhere.
func (x *Index[P]) Any() []P { return x.any }

// Candidates returns the peers that a path may belong to, those with the
// narrower addresses first. any reports that they are all those of Any. The
// slice must not be changed.
func (x *Index[P]) Candidates(path ike.Path) (found []P, any bool) {
	remote, local := path.Remote.Addr().Unmap(), path.Local.Addr().Unmap()
	served := func(p P) bool {
		nets := x.facts[p].LocalAddrs
		return len(nets) == 0 || containsAddr(nets, local)
	}
	for _, p := range x.byAddr[remote] {
		if served(p) {
			found = append(found, p)
		}
	}
	for _, p := range x.byNet {
		if containsAddr(x.facts[p].RemoteAddrs, remote) && served(p) {
			found = append(found, p)
		}
	}
	if len(found) == 0 && x.anyServed {
		return x.any, true
	}
	for _, p := range x.any {
		if served(p) {
			found = append(found, p)
		}
	}
	return found, false
}

func containsAddr(nets []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(nets, func(n netip.Prefix) bool { return n.Contains(a) })
}

// WhyAddress tells, for the log, which setting of a peer the address of a path
// fits.
func (x *Index[P]) WhyAddress(p P, path ike.Path) string {
	f := x.facts[p]
	if f == nil {
		return ""
	}
	remote := path.Remote.Addr().Unmap()
	for _, n := range f.RemoteAddrs {
		if n.Contains(remote) {
			return "address " + remote.String() + " is in " + n.String()
		}
	}
	return "any address"
}

// Why tells, for the log, which settings of a peer a path and an identity fit.
func (x *Index[P]) Why(p P, path ike.Path) string {
	why := x.WhyAddress(p, path)
	if why == "" {
		return ""
	}
	f := x.facts[p]
	switch id, exact := f.RemoteID.IsExact(); {
	case exact:
		return why + ", identity is " + id.String()
	case f.RemoteID.Any():
		return why + ", any identity"
	}
	return why + ", identity matches " + f.RemoteID.String()
}

// Choose returns the peer that an initiator with this identity is, among those
// possible by its address: exact identities before patterns, narrower patterns
// first, then the order of configuration. local is the own identity that the
// initiator asks for, or nil. The error says why each failed.
func (x *Index[P]) Choose(path ike.Path, remote ike.Identity, local *ike.Identity) (P, error) {
	var best, none P
	possible, _ := x.Candidates(path)
	if len(possible) == 0 {
		return none, fmt.Errorf("no peer is configured for the address %v", path.Remote.Addr())
	}
	ours := func(p P) bool {
		id := x.facts[p].LocalID
		return local == nil || id.IsZero() || id.Equal(*local)
	}
	for _, p := range x.byID[remote] {
		if ours(p) && slices.Contains(possible, p) {
			return p, nil
		}
	}
	idMatched := false
	for _, p := range possible {
		pattern := x.facts[p].RemoteID
		if !pattern.Match(remote) {
			continue
		}
		idMatched = true
		if ours(p) && (best == none || pattern.Specificity() > x.facts[best].RemoteID.Specificity()) {
			best = p
		}
	}
	switch {
	case best != none:
		return best, nil
	case idMatched:
		return none, fmt.Errorf("peer identity %v is configured, but not with the own identity %v that it asks for", remote, local)
	case len(possible) == 1:
		f := x.facts[possible[0]]
		return none, fmt.Errorf("peer identity %v does not match %v of peer %q, the only one for address %v",
			remote, f.RemoteID, f.Name, path.Remote.Addr())
	}
	return none, fmt.Errorf("peer identity %v matches none of the %d peers possible at address %v", remote, len(possible), path.Remote.Addr())
}
