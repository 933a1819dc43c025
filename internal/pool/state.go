package pool

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// StateVersion is the version of [State] that this package writes.
const StateVersion = 1

// State is what of a pool outlives the process, or goes to another gateway:
// who had which address. It is plain data for any encoding.
type State struct {
	Version int          `json:"version"`
	Leases  []LeaseState `json:"leases"` // the one released first comes first, those in use at the end
}

// LeaseState is one address in a [State].
type LeaseState struct {
	Identity string     `json:"identity"`
	Addr     netip.Addr `json:"addr"`
	// Released is when the lease ended; for leases in use it is the time of
	// the export, as nobody holds them after a restart.
	Released time.Time `json:"released"`
}

// Export returns the pool's state.
func (p *Pool) Export(now time.Time) *State {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := &State{Version: StateVersion, Leases: make([]LeaseState, 0, len(p.byAddr))}
	for e := p.offline.head.next; e != &p.offline.head; e = e.next {
		s.Leases = append(s.Leases, LeaseState{e.identity, e.addr, e.released})
	}
	online := len(s.Leases)
	for _, e := range p.byAddr {
		if len(e.holders) > 0 {
			s.Leases = append(s.Leases, LeaseState{e.identity, e.addr, now})
		}
	}
	slices.SortFunc(s.Leases[online:], func(a, b LeaseState) int {
		return cmp.Or(cmp.Compare(a.Identity, b.Identity), a.Addr.Compare(b.Addr))
	})
	return s
}

func (p *Pool) restore(s *State) error {
	if s.Version != StateVersion {
		return fmt.Errorf("pool: Restore: version %d, want %d", s.Version, StateVersion)
	}
	for _, l := range s.Leases {
		if l.Identity == "" || p.byAddr[l.Addr] != nil {
			continue
		}
		owner, static := p.static[l.Addr]
		if static && owner != l.Identity || !static && !p.dynamic(l.Addr) {
			continue
		}
		if _, has := p.staticID[l.Identity]; has && !static {
			continue // has an address of its own now
		}
		p.release(p.enter(l.Addr, l.Identity, static), l.Released)
	}
	return nil
}
