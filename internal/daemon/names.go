package daemon

import (
	"context"
	"net"
	"slices"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/spd/names"
)

// nameCache has the addresses of the peers that speak KINK and are called by name:
// a packet's address finds its peer at once, and names are known for a while when
// no name server answers. Other names are looked up anew for each attempt.
type nameCache struct {
	cache      *names.Cache
	registered []string
}

// followNames puts the cache before the Manager's resolver, and keeps it up to date
// until the end.
func (d *daemon) followNames(ctx context.Context, cfg *racoon.Config) {
	if cfg.KINK.Kerberos == nil {
		return
	}
	system, _ := cfg.Resolver.(*net.Resolver)
	resolver := names.SystemResolver{Resolver: system}
	d.names.cache = names.NewCache(names.CacheConfig{})
	d.names.register(cfg)
	cfg.Resolver = names.Directory{Cache: d.names.cache, Resolver: resolver}
	ctx, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = d.names.cache.Follow(ctx, resolver) // ends with the daemon
	}()
	d.atEnd(func() error { stop(); <-done; return nil })
}

// register has the cache follow the names of a configuration, and no others.
func (n *nameCache) register(cfg *racoon.Config) {
	if n.cache == nil {
		return
	}
	before := n.registered
	n.registered = nil
	for i := range cfg.Peers {
		p := &cfg.Peers[i]
		host, _, err := net.SplitHostPort(p.Remote)
		if err != nil {
			host = p.Remote
		}
		if !slices.Contains(p.Versions, racoon.KINK) || host == "" || net.ParseIP(host) != nil {
			continue
		}
		if _, err := n.cache.Register(host); err == nil { // else it is looked up anew each time
			n.registered = append(n.registered, host)
		}
	}
	for _, host := range before {
		_ = n.cache.Deregister(host) // it was registered
	}
}
