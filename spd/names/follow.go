package names

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"
)

// How many names Follow asks for at once, and for how long it waits.
const (
	maxAsking  = 8
	askTimeout = 15 * time.Second
)

// Follow keeps the registered names up to date until ctx ends: it asks the
// resolver for each when most of the time of its addresses is over, and while
// that fails again and again, ever more seldom. It drops what is over too.
// Without a resolver it does that alone.
func (c *Cache) Follow(ctx context.Context, r Resolver) error {
	var asking sync.WaitGroup
	defer asking.Wait()
	room := make(chan struct{}, maxAsking)
	timer := time.NewTimer(0)
	defer timer.Stop()
	done := make(chan struct{}, 1)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
		case <-c.wake:
		case <-done:
		}
		next := c.Expire()
		if r != nil {
			due, later := c.due()
			for _, name := range due {
				select {
				case room <- struct{}{}:
				case <-ctx.Done():
					return ctx.Err()
				}
				asking.Go(func() {
					c.ask(ctx, r, name)
					<-room
					select {
					case done <- struct{}{}:
					default:
					}
				})
			}
			if next.IsZero() || !later.IsZero() && later.Before(next) {
				next = later
			}
		}
		if next.IsZero() {
			timer.Stop()
			continue
		}
		timer.Reset(max(next.Sub(c.cfg.Now()), time.Millisecond))
	}
}

// due returns the names to ask for now, and when the next one is.
func (c *Cache) due() (due []string, later time.Time) {
	now := c.cfg.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.names {
		switch {
		case e.registered == 0 || e.asking:
		case !now.Before(e.refresh):
			e.asking = true
			due = append(due, e.name)
		case later.IsZero() || e.refresh.Before(later):
			later = e.refresh
		}
	}
	return due, later
}

func (c *Cache) ask(ctx context.Context, r Resolver, name string) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	answers, err := r.LookupAddrs(ctx, name)
	cancel()
	now := c.cfg.Now()
	c.mu.Lock()
	e := c.names[name]
	if e == nil {
		c.mu.Unlock()
		return // deregistered meanwhile
	}
	e.asking = false
	changed := false
	if err != nil && !errors.Is(err, ErrNoName) {
		e.failures++
		e.refresh = now.Add(min(c.cfg.MinTTL<<min(e.failures-1, 16), c.cfg.MaxTTL))
	} else {
		e.failures = 0
		ttl := c.cfg.MaxTTL
		if err != nil {
			answers, ttl = nil, max(c.cfg.MinTTL, time.Minute)
		}
		for _, a := range answers {
			ttl = min(ttl, max(a.TTL, c.cfg.MinTTL))
		}
		e.refresh = now.Add(ttl - ttl/10)
		changed = c.learn(name, answers, now)
	}
	c.mu.Unlock()
	c.tell(changed, name)
}

// A Directory is a cache with a resolver for what is not in it.
type Directory struct {
	Cache    *Cache
	Resolver Resolver // nil: there is nobody to ask
}

// Addrs returns the addresses of a name; ErrNoName if it has none.
func (d Directory) Addrs(ctx context.Context, name string) ([]netip.Addr, error) {
	if r := d.Cache.Addrs(name); len(r) > 0 {
		return r, nil
	}
	answers, err := d.ask(ctx, name)
	var r []netip.Addr
	for _, a := range answers {
		r = append(r, a.Addr)
	}
	return r, err
}

func (d Directory) ask(ctx context.Context, name string) ([]Answer, error) {
	name = Canonical(name)
	if name == "" {
		return nil, ErrName
	}
	if d.Resolver == nil {
		return nil, ErrNoName
	}
	answers, err := d.Resolver.LookupAddrs(ctx, name)
	if err == nil {
		d.Cache.Learn(name, answers)
	}
	return answers, err
}

// maxClaims is how many of the names that an address claims are looked at.
const maxClaims = 8

// Names returns the names of an address, the best first; ErrNoName if it has
// none. A name from the DNS that is not in the cache counts only if the name
// has that address (RFC 1912 2.1): anybody can write anything into the reverse
// zone of his own addresses.
func (d Directory) Names(ctx context.Context, addr netip.Addr) ([]string, error) {
	addr = addr.WithZone("").Unmap()
	if r := d.Cache.Names(addr); len(r) > 0 {
		return r, nil
	}
	if d.Resolver == nil {
		return nil, ErrNoName
	}
	claims, err := d.Resolver.LookupNames(ctx, addr)
	if err != nil {
		return nil, err
	}
	var r []string
	err = ErrNoName
	for _, name := range claims[:min(len(claims), maxClaims)] {
		answers, aerr := d.ask(ctx, name)
		if aerr != nil && !errors.Is(aerr, ErrNoName) && !errors.Is(aerr, ErrName) {
			err = aerr
		}
		for _, a := range answers {
			if a.Addr == addr {
				r = append(r, Canonical(name))
				break
			}
		}
	}
	if r == nil {
		return nil, err
	}
	return r, nil
}
