package racoon

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/pool"
)

// PoolConfig says what a gateway gives to its clients.
type PoolConfig struct {
	// Addresses are the prefixes ("10.99.0.0/24", "2001:db8:99::/112") and
	// ranges ("10.99.0.10-10.99.0.99") to lease from, of one family or both.
	Addresses []string
	// Exclude are addresses and prefixes never to lease, such as the gateway's
	// own.
	Exclude []string
	// Static gives identities addresses of their own, by their written form:
	// {"alice@example.org": {"10.99.0.7"}}; an identity may have one of each
	// family. Somebody who has logged in as a user is known by that name.
	Static map[string][]string
	// Keep is how long an address stays reserved for its identity after its
	// session has ended.
	Keep time.Duration

	DNS     []netip.Addr
	NBNS    []netip.Addr   // WINS, IPv4
	Subnets []netip.Prefix // what is reached through the gateway
	Domains []string       // names to resolve through DNS (RFC 8598)

	// Options are what else clients are told: the Unity attributes of IKEv1, an
	// expiry, DHCP servers and so on. What the fields above say goes before
	// it, and its Addresses are empty.
	Options ike.NetworkConfig
}

// A Pool leases inner addresses to clients: put it into Peer.Assign of one
// peer or several. An identity has the same address again as long as it is
// free.
type Pool struct {
	options  ike.NetworkConfig
	families [2]poolFamily // IPv4 and IPv6

	mu     sync.Mutex
	leases map[poolLease]pool.Lease
}

type poolFamily struct {
	*pool.Pool
	open bool // there is something to lease, not only what users bring along
}

var _ ike.AddressAssigner = (*Pool)(nil)

// poolLease is what a lease is kept under: a session has one of a family.
type poolLease struct {
	session ike.SessionID
	family  int
}

// familyOf is the index into Pool.families.
func familyOf(a netip.Addr) int {
	if a.Is4() {
		return 0
	}
	return 1
}

// NewPool checks the configuration and returns a pool. Errors wrap [ErrConfig]
// and name the field.
func NewPool(cfg PoolConfig) (*Pool, error) {
	var c4, c6 pool.Config
	for i, s := range cfg.Addresses {
		r, err := pool.ParseRange(s)
		if err != nil {
			return nil, configError(fmt.Sprintf("PoolConfig.Addresses[%d]", i), "%w", err)
		}
		if r.First.Is4() {
			c4.Ranges = append(c4.Ranges, r)
		} else {
			c6.Ranges = append(c6.Ranges, r)
		}
	}
	for i, s := range cfg.Exclude {
		n, err := parsePrefix(s)
		if err != nil {
			return nil, configError(fmt.Sprintf("PoolConfig.Exclude[%d]", i), "%w", err)
		}
		c4.Exclude, c6.Exclude = append(c4.Exclude, n), append(c6.Exclude, n)
	}
	c4.Static, c6.Static = make(map[string]netip.Addr), make(map[string]netip.Addr)
	for name, addrs := range cfg.Static {
		field := fmt.Sprintf("PoolConfig.Static[%q]", name)
		id, err := ike.ParseIdentity(name)
		if err != nil {
			return nil, configError(field, "%w", err)
		}
		for _, s := range addrs {
			a, err := netip.ParseAddr(s)
			if err != nil {
				return nil, configError(field, "%q is not an IP address", s)
			}
			if a = a.Unmap(); a.Is4() {
				c4.Static[id.String()] = a
			} else {
				c6.Static[id.String()] = a
			}
		}
	}
	if len(cfg.Options.Addresses) > 0 {
		return nil, configError("PoolConfig.Options.Addresses", "must be empty; the addresses to lease are PoolConfig.Addresses")
	}
	p := &Pool{leases: make(map[poolLease]pool.Lease)}
	p.options = *cfg.Options.Override(&ike.NetworkConfig{DNS: cfg.DNS, NBNS: cfg.NBNS, Subnets: cfg.Subnets, Domains: cfg.Domains})
	for i, c := range [...]pool.Config{c4, c6} {
		f := &p.families[i]
		f.open = len(c.Ranges)+len(c.Static) > 0
		c.Keep, c.FixedOnly = cfg.Keep, !f.open
		var err error
		if f.Pool, err = pool.New(c); err != nil {
			return nil, configError("PoolConfig.Addresses", "%w", err)
		}
	}
	if !p.families[0].open && !p.families[1].open {
		return nil, configError("PoolConfig.Addresses", "is empty; name at least one prefix or range")
	}
	return p, nil
}

// Assign implements [ike.AddressAssigner]. A client that asks for both
// families gets what there is. A session that asks again keeps what it has. An
// address that the user's authentication names is leased, in the pool or
// outside, or the request fails.
func (p *Pool) Assign(_ context.Context, r ike.AddressRequest) (*ike.NetworkConfig, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := p.options
	var errs []error
	var fresh []int // families leased by this call
	for i, asked := range [...]bool{r.IPv4, r.IPv6} {
		if !asked {
			continue
		}
		_, had := p.leases[poolLease{r.Session, i}]
		l, err := p.lease(i, r)
		switch {
		case errors.Is(err, pool.ErrTaken): // a fixed one: nothing else will do
			for _, f := range fresh {
				p.drop(r.Session, f)
			}
			return nil, err
		case err != nil:
			errs = append(errs, err)
		case l.Addr.IsValid():
			out.Addresses = append(out.Addresses, hostPrefix(l.Addr))
			if !had {
				fresh = append(fresh, i)
			}
		}
	}
	if len(out.Addresses) == 0 {
		if len(errs) == 0 {
			errs = append(errs, errors.New("the pool has no addresses of the families that were asked for"))
		}
		return nil, errors.Join(errs...)
	}
	return &out, nil
}

// lease finds the address of one family; there is none, and no error, if the
// pool does not have that family.
func (p *Pool) lease(family int, r ike.AddressRequest) (l pool.Lease, err error) {
	from := p.families[family]
	who := r.RemoteID.String()
	if r.User != "" {
		who = r.User
	}
	of := func(addrs []netip.Addr) (found netip.Addr) {
		for _, a := range addrs {
			if a = a.Unmap(); a.IsValid() && familyOf(a) == family {
				found = a
			}
		}
		return found
	}
	fixed := of(r.Fixed)
	key := poolLease{r.Session, family}
	old, has := p.leases[key]
	if has && old.Identity == who && (!fixed.IsValid() || fixed == old.Addr) {
		return old, nil
	}
	switch {
	case fixed.IsValid():
		l, err = from.LeaseFixed(who, fixed, clock())
	case from.open:
		l, err = from.Lease(who, of(r.Want), clock())
	default:
		return pool.Lease{}, nil
	}
	if err != nil {
		return pool.Lease{}, err
	}
	if has { // who it is has changed
		p.drop(r.Session, family)
	}
	p.leases[key] = l
	return l, nil
}

// Release implements [ike.AddressAssigner].
func (p *Pool) Release(_ context.Context, r ike.AddressRequest, assigned *ike.NetworkConfig) {
	if assigned == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, n := range assigned.Addresses {
		family := familyOf(n.Addr())
		if p.leases[poolLease{r.Session, family}].Addr == n.Addr() {
			p.drop(r.Session, family)
		}
	}
}

// drop ends the lease of one family.
func (p *Pool) drop(session ike.SessionID, family int) {
	key := poolLease{session, family}
	_ = p.families[family].Release(p.leases[key], clock()) // it is ours
	delete(p.leases, key)
}

// PoolStats are the numbers of a pool's addresses.
type PoolStats struct {
	Size    uint64 // that can be leased to anybody, both families, at most 1<<64-1
	Leased  int
	Offline int // remembered for their identities
}

// Stats returns the numbers of now.
func (p *Pool) Stats() (s PoolStats) {
	for _, f := range p.families {
		n := f.Pool.Stats()
		if s.Size += n.Size; s.Size < n.Size {
			s.Size = 1<<64 - 1
		}
		s.Leased += n.Online
		s.Offline += n.Offline
	}
	return s
}
