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
	// family.
	Static map[string][]string
	// Keep is how long an address stays reserved for its identity after its
	// session has ended.
	Keep time.Duration

	DNS     []netip.Addr
	NBNS    []netip.Addr   // WINS, IPv4
	Subnets []netip.Prefix // what is reached through the gateway
	Domains []string       // names to resolve through DNS (RFC 8598)
}

// A Pool leases inner addresses to clients: put it into Peer.Assign of one
// peer or several. An identity has the same address again as long as it is
// free.
type Pool struct {
	cfg    PoolConfig
	v4, v6 *pool.Pool

	mu     sync.Mutex
	leases map[poolLease]pool.Lease
}

var _ ike.AddressAssigner = (*Pool)(nil)

type poolLease struct {
	session ike.SessionID
	addr    netip.Addr
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
	p := &Pool{cfg: cfg, leases: make(map[poolLease]pool.Lease)}
	for _, f := range []struct {
		cfg pool.Config
		out **pool.Pool
	}{{c4, &p.v4}, {c6, &p.v6}} {
		f.cfg.Keep = cfg.Keep
		if len(f.cfg.Ranges)+len(f.cfg.Static) == 0 {
			continue
		}
		var err error
		if *f.out, err = pool.New(f.cfg); err != nil {
			return nil, configError("PoolConfig.Addresses", "%w", err)
		}
	}
	if p.v4 == nil && p.v6 == nil {
		return nil, configError("PoolConfig.Addresses", "is empty; name at least one prefix or range")
	}
	return p, nil
}

// Assign implements [ike.AddressAssigner]. A client that asks for both
// families gets what there is.
func (p *Pool) Assign(_ context.Context, r ike.AddressRequest) (*ike.NetworkConfig, error) {
	out := &ike.NetworkConfig{DNS: p.cfg.DNS, NBNS: p.cfg.NBNS, Subnets: p.cfg.Subnets, Domains: p.cfg.Domains}
	who := r.RemoteID.String()
	if r.User != "" {
		who = r.User
	}
	var errs []error
	for _, f := range []struct {
		asked bool
		from  *pool.Pool
		is4   bool
	}{{r.IPv4, p.v4, true}, {r.IPv6, p.v6, false}} {
		if !f.asked || f.from == nil {
			continue
		}
		var want netip.Addr
		for _, a := range r.Want {
			if a.Is4() == f.is4 {
				want = a
			}
		}
		l, err := f.from.Lease(who, want, clock())
		if err != nil {
			errs = append(errs, err)
			continue
		}
		p.mu.Lock()
		p.leases[poolLease{r.Session, l.Addr}] = l
		p.mu.Unlock()
		out.Addresses = append(out.Addresses, hostPrefix(l.Addr))
	}
	if len(out.Addresses) == 0 {
		if len(errs) == 0 {
			errs = append(errs, errors.New("the pool has no addresses of the families that were asked for"))
		}
		return nil, errors.Join(errs...)
	}
	return out, nil
}

// Release implements [ike.AddressAssigner].
func (p *Pool) Release(_ context.Context, r ike.AddressRequest, assigned *ike.NetworkConfig) {
	if assigned == nil {
		return
	}
	for _, n := range assigned.Addresses {
		key := poolLease{r.Session, n.Addr()}
		p.mu.Lock()
		l, ok := p.leases[key]
		delete(p.leases, key)
		p.mu.Unlock()
		from := p.v6
		if n.Addr().Is4() {
			from = p.v4
		}
		if ok {
			from.Release(l, clock())
		}
	}
}

// PoolStats are the numbers of a pool's addresses.
type PoolStats struct {
	Size    uint64 // that can be leased to anybody, both families, at most 1<<64-1
	Leased  int
	Offline int // remembered for their identities
}

// Stats returns the numbers of now.
func (p *Pool) Stats() (s PoolStats) {
	for _, f := range []*pool.Pool{p.v4, p.v6} {
		if f == nil {
			continue
		}
		n := f.Stats()
		if s.Size += n.Size; s.Size < n.Size {
			s.Size = 1<<64 - 1
		}
		s.Leased += n.Online
		s.Offline += n.Offline
	}
	return s
}
