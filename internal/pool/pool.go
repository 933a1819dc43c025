package pool

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Errors of leases.
var (
	// ErrExhausted: no address is free (INTERNAL_ADDRESS_FAILURE).
	ErrExhausted = errors.New("pool: no free address")
	// ErrNotLeased: the lease was released before, or is not of this pool.
	ErrNotLeased = errors.New("pool: no such lease")
	// ErrNoIdentity: addresses are leased to somebody.
	ErrNoIdentity = errors.New("pool: lease without an identity")
)

// Config describes a pool.
type Config struct {
	// Ranges are what addresses are taken from, all of one family; ranges that
	// overlap count once.
	Ranges []Range

	// Exclude are addresses in the ranges that are never leased: the gateway's
	// own, servers' and so on. Those of the other family are ignored.
	Exclude []netip.Prefix

	// Static gives identities an address of their own, inside the ranges or
	// outside. Nobody else gets it.
	Static map[string]netip.Addr

	// Keep is how long an address stays reserved for its identity after the
	// lease was released. After it, or with 0 at once, it may go to another
	// identity, but only when there is none that was never used; the one
	// released first goes first.
	Keep time.Duration

	// MaxOffline bounds how many released leases are remembered; 0 means 65536.
	// It is not below what Keep reserves in a pool of that size: a reservation
	// beyond the bound ends early.
	MaxOffline int

	// FixedOnly makes a pool without ranges and static addresses no error: it
	// leases by LeaseFixed alone.
	FixedOnly bool

	// Restore brings back what Export has saved. Addresses that the ranges no
	// longer have are forgotten.
	Restore *State
}

// Pool leases the addresses of one family. It is safe for concurrent use.
// All its operations are O(1), whatever the number of addresses and leases.
type Pool struct {
	mu       sync.Mutex
	cfg      Config
	bits     int // of the family, 0 if nothing says
	exclude  []netip.Prefix
	ranges   []Range // that are leased dynamically
	size     uint64
	static   map[netip.Addr]string // whose it is
	staticID map[string]netip.Addr

	// The first address that was never leased is at, in ranges[span].
	span int
	at   netip.Addr

	byAddr     map[netip.Addr]*entry
	byIdentity map[string]*entry // released entries of an identity: the one released last, first of a chain
	offline    ring              // released entries of all, the oldest first
	free       []netip.Addr      // addresses before at whose entry was forgotten, a queue
	isFree     map[netip.Addr]bool
	online     int
	holders    uint64
}

// entry is an address that an identity has or had.
type entry struct {
	addr     netip.Addr
	identity string
	holders  []uint64
	static   bool

	// Of a released entry:
	released       time.Time
	prev, next     *entry // in the ring
	newer, sibling *entry // of the same identity
}

// A Lease is one session's hold on an address.
type Lease struct {
	Identity string
	Addr     netip.Addr
	holder   uint64
}

// New returns a pool.
func New(cfg Config) (*Pool, error) {
	p := &Pool{cfg: cfg, static: map[netip.Addr]string{}, staticID: map[string]netip.Addr{}, byAddr: map[netip.Addr]*entry{}, byIdentity: map[string]*entry{}, isFree: map[netip.Addr]bool{}}
	p.offline.init()
	if p.cfg.MaxOffline <= 0 {
		p.cfg.MaxOffline = 1 << 16
	}
	sameFamily := func(a netip.Addr) bool {
		if p.bits == 0 {
			p.bits = a.BitLen()
		}
		return a.BitLen() == p.bits
	}
	for _, r := range cfg.Ranges {
		if err := r.valid(); err != nil {
			return nil, err
		}
		if !sameFamily(r.First) {
			return nil, fmt.Errorf("pool: Ranges: %v-%v is of another family than the rest; IPv4 and IPv6 need pools of their own", r.First, r.Last)
		}
	}
	p.ranges = merge(cfg.Ranges)
	for _, x := range cfg.Exclude {
		if !x.IsValid() {
			return nil, fmt.Errorf("pool: Exclude: invalid prefix")
		}
		x = x.Masked()
		p.exclude = append(p.exclude, x)
		p.ranges = without(p.ranges, Range{x.Addr(), lastOf(x)})
	}
	for id, a := range cfg.Static {
		switch {
		case id == "":
			return nil, fmt.Errorf("pool: Static: %v: %w", a, ErrNoIdentity)
		case !a.IsValid() || a.Is4In6() || a.Zone() != "":
			return nil, fmt.Errorf("pool: Static: %q: %v is not an IPv4 or IPv6 address", id, a)
		case !sameFamily(a):
			return nil, fmt.Errorf("pool: Static: %q: %v is of another family than the rest", id, a)
		case p.static[a] != "":
			return nil, fmt.Errorf("pool: Static: %v is given to %q and to %q", a, min(id, p.static[a]), max(id, p.static[a]))
		case slices.ContainsFunc(cfg.Exclude, func(x netip.Prefix) bool { return x.Contains(a) }):
			return nil, fmt.Errorf("pool: Static: %q: %v is excluded", id, a)
		}
		p.static[a], p.staticID[id] = id, a
		p.ranges = without(p.ranges, Range{a, a})
	}
	for _, r := range p.ranges {
		if n := r.size(); p.size+n < p.size {
			p.size = 1<<64 - 1
		} else {
			p.size += n
		}
	}
	if len(p.ranges) == 0 && len(p.static) == 0 && !cfg.FixedOnly {
		return nil, errors.New("pool: Ranges: no address is left to lease")
	}
	if len(p.ranges) > 0 {
		p.at = p.ranges[0].First
	}
	if cfg.Restore != nil {
		if err := p.restore(cfg.Restore); err != nil {
			return nil, err
		}
	}
	p.cfg.Ranges, p.cfg.Exclude, p.cfg.Static, p.cfg.Restore = nil, nil, nil, nil
	return p, nil
}

// Contains reports whether the pool leases the address, to whomever.
func (p *Pool) Contains(a netip.Addr) bool {
	return p.static[a] != "" || slices.ContainsFunc(p.ranges, func(r Range) bool { return r.contains(a) })
}

// Lease gives an identity an address. In this order: its static one; the one
// it wants, if that is its own (even while another session of the identity
// holds it: so a reauthenticated session keeps its address) or free; one it
// had before; one that was never used; the one that was released first. An
// address it wants but cannot have is no error, it gets another one. The zero
// want, and 0.0.0.0 or ::, is no wish.
//
// The error is [ErrExhausted] or [ErrNoIdentity].
func (p *Pool) Lease(identity string, want netip.Addr, now time.Time) (Lease, error) {
	if identity == "" {
		return Lease{}, ErrNoIdentity
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.choose(identity, want, now)
	if e == nil {
		return Lease{}, ErrExhausted
	}
	return p.hold(e), nil
}

// hold gives an entry one more holder.
func (p *Pool) hold(e *entry) Lease {
	if len(e.holders) == 0 {
		p.unrelease(e)
		p.online++
	}
	p.holders++
	e.holders = append(e.holders, p.holders)
	return Lease{e.identity, e.addr, p.holders}
}

func (p *Pool) choose(identity string, want netip.Addr, now time.Time) *entry {
	if a, ok := p.staticID[identity]; ok {
		if e := p.byAddr[a]; e != nil {
			return e
		}
		return p.enter(a, identity, true)
	}
	if want.IsValid() && !want.IsUnspecified() {
		if e := p.byAddr[want]; e != nil && e.identity == identity {
			return e
		}
		if p.dynamic(want) && p.takeFrom(want, now) {
			return p.enter(want, identity, false)
		}
	}
	if e := p.byIdentity[identity]; e != nil {
		return e
	}
	// Forgotten addresses first: so the memory a pool takes is bounded by the
	// most leases it had at one time.
	for len(p.free) > 0 {
		a := p.free[0]
		p.free = p.free[1:]
		delete(p.isFree, a)
		if p.byAddr[a] == nil {
			return p.enter(a, identity, false)
		}
	}
	for p.at.IsValid() {
		a := p.at
		if p.at != p.ranges[p.span].Last {
			p.at = p.at.Next()
		} else if p.span++; p.span < len(p.ranges) {
			p.at = p.ranges[p.span].First
		} else {
			p.at = netip.Addr{}
		}
		if p.byAddr[a] == nil {
			return p.enter(a, identity, false)
		}
	}
	for e := p.offline.oldest(); e != nil && p.over(e, now); e = p.offline.oldest() {
		p.forget(e)
		if !e.static {
			return p.enter(e.addr, identity, false)
		}
	}
	return nil
}

// dynamic reports whether a is one of the addresses anybody may get.
func (p *Pool) dynamic(a netip.Addr) bool {
	return slices.ContainsFunc(p.ranges, func(r Range) bool { return r.contains(a) })
}

// takeFrom makes a free, unless somebody has it or it is reserved.
func (p *Pool) takeFrom(a netip.Addr, now time.Time) bool {
	e := p.byAddr[a]
	if e == nil {
		return true
	}
	if len(e.holders) > 0 || !p.over(e, now) {
		return false
	}
	p.forget(e)
	return true
}

// over reports whether the reservation of a released entry has ended.
func (p *Pool) over(e *entry, now time.Time) bool {
	return p.cfg.Keep <= 0 || now.Sub(e.released) >= p.cfg.Keep
}

func (p *Pool) enter(a netip.Addr, identity string, static bool) *entry {
	e := &entry{addr: a, identity: identity, static: static}
	p.byAddr[a] = e
	return e
}

// release puts an entry that nobody holds any more among the released ones.
func (p *Pool) release(e *entry, at time.Time) {
	e.released = at
	p.offline.add(e)
	if e.sibling = p.byIdentity[e.identity]; e.sibling != nil {
		e.sibling.newer = e
	}
	p.byIdentity[e.identity] = e
	if p.offline.len <= p.cfg.MaxOffline {
		return
	}
	old := p.offline.oldest()
	p.forget(old)
	// Addresses that were never reached will be.
	if passed := !p.at.IsValid() || old.addr.Less(p.at); passed && !old.static && !p.isFree[old.addr] {
		p.isFree[old.addr] = true
		p.free = append(p.free, old.addr)
	}
}

// unrelease is the reverse; it does nothing with a new entry.
func (p *Pool) unrelease(e *entry) {
	if e.next == nil {
		return
	}
	p.offline.remove(e)
	switch {
	case e.newer != nil:
		e.newer.sibling = e.sibling
	case e.sibling != nil:
		p.byIdentity[e.identity] = e.sibling
	default:
		delete(p.byIdentity, e.identity)
	}
	if e.sibling != nil {
		e.sibling.newer = e.newer
	}
	e.newer, e.sibling = nil, nil
}

// forget removes a released entry.
func (p *Pool) forget(e *entry) {
	p.unrelease(e)
	delete(p.byAddr, e.addr)
}

// Release ends a lease. The identity keeps the address as far as
// Config.Keep says.
func (p *Pool) Release(l Lease, now time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.byAddr[l.Addr]
	if e == nil || e.identity != l.Identity {
		return ErrNotLeased
	}
	i := slices.Index(e.holders, l.holder)
	if i < 0 {
		return ErrNotLeased
	}
	if e.holders = slices.Delete(e.holders, i, i+1); len(e.holders) > 0 {
		return nil
	}
	e.holders = nil
	p.online--
	p.release(e, now)
	return nil
}

// Stats are the numbers of addresses.
type Stats struct {
	Size    uint64 // that can be leased to anybody, at most 1<<64-1
	Static  int    // that belong to one identity
	Online  int    // leased
	Offline int    // released, remembered for their identity
}

// Stats returns the numbers of now.
func (p *Pool) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return Stats{Size: p.size, Static: len(p.static), Online: p.online, Offline: p.offline.len}
}
