package spmdaemon

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/racoon3/racoon/spd/names"
	"github.com/racoon3/racoon/spd/spmif"
)

func (d *Daemon) serverConfig() spmif.ServerConfig {
	cfg := spmif.ServerConfig{Policies: &d.clients, Names: (*nameService)(d), Stats: d.stats, Password: d.opt.Password, MaxClients: d.opt.MaxClients, Logger: d.log}
	if d.dns != nil {
		cfg.NameServers = nameServers{d.dns}
	}
	return cfg
}

func (d *Daemon) stats() spmif.Stats {
	c := d.cache.Stats()
	s := spmif.Stats{Addresses: uint64(c.Addrs), Names: uint64(c.Registered), Mappings: uint64(c.Mappings)}
	if f := d.dns; f != nil {
		st := f.Stats()
		s.Queries, s.Responses, s.ProxyQueries, s.ProxyResponses = st.Queries, st.Responses, st.Asked, st.Answered
		s.Expired, s.Duplicates = st.Expired, st.Duplicates
	}
	return s
}

// nameService is the daemon as [spmif.Names].
type nameService Daemon

// Register follows a name for the clients, beside those of the policies.
func (n *nameService) Register(name string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	before, err := n.cache.Register(name)
	if err != nil {
		return err
	}
	if before {
		_ = n.cache.Deregister(name)
		return spmif.ErrExists
	}
	n.byClients[names.Canonical(name)] = true
	return nil
}

// Deregister ends that; the names of policies stay.
func (n *nameService) Deregister(name string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	name = names.Canonical(name)
	if !n.byClients[name] {
		return spmif.ErrNotFound
	}
	delete(n.byClients, name)
	return n.cache.Deregister(name)
}

func (n *nameService) Registered() []string { return n.cache.Registered() }

// queryTimeout is how long a client waits for a name that has to be asked for.
const queryTimeout = 5 * time.Second

func (n *nameService) NamesOf(addr netip.Addr) []string {
	ctx, cancel := context.WithTimeout(context.Background(), queryTimeout)
	defer cancel()
	r, err := n.dir.Names(ctx, addr)
	if err != nil && !errors.Is(err, names.ErrNoName) {
		n.log.Debug("the names of an address cannot be found", "addr", addr, "err", err)
	}
	return r
}

// nameServers is a forwarder as [spmif.NameServers], which know no ports.
type nameServers struct{ f *names.Forwarder }

const dnsPort = 53

func (n nameServers) List() []netip.Addr {
	var r []netip.Addr
	for _, s := range n.f.NameServers() {
		if !slices.Contains(r, s.Addr()) {
			r = append(r, s.Addr())
		}
	}
	return r
}

func (n nameServers) find(a netip.Addr) (netip.AddrPort, bool) {
	for _, s := range n.f.NameServers() {
		if s.Addr() == a {
			return s, true
		}
	}
	return netip.AddrPort{}, false
}

func (n nameServers) Add(a netip.Addr) error {
	if _, is := n.find(a); is || n.f.AddNameServer(netip.AddrPortFrom(a, dnsPort)) {
		return spmif.ErrExists
	}
	return nil
}

func (n nameServers) Delete(a netip.Addr) error {
	s, is := n.find(a)
	if !is {
		return spmif.ErrNotFound
	}
	_, err := n.f.DeleteNameServer(s)
	return err
}

func (n nameServers) Use(a netip.Addr) error {
	if s, is := n.find(a); is && n.f.UseNameServer(s) {
		return nil
	}
	return spmif.ErrNotFound
}
