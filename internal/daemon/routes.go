package daemon

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/conf"
	"github.com/racoon3/racoon/internal/route"
	"github.com/racoon3/racoon/spd"
)

// tunnelRoutes are the routes into a TUN device. Those that the configuration
// says stand from the start, so that nothing passes beside the tunnel while it
// is down; those that were negotiated beyond stand while their Child SA does.
type tunnelRoutes struct {
	log     *slog.Logger
	device  string
	enabled bool
	marked  bool
	changes *route.Changes // of the device as a whole

	mu       sync.Mutex
	static   map[netip.Prefix]*route.Changes
	children map[ike.ChildID][]netip.Prefix
	dynamic  map[netip.Prefix]*route.Changes
	sessions map[ike.SessionID][]netip.Prefix // own addresses, given by the gateway
}

// configure makes the routes that a configuration says, and takes back those
// that it does not say any more.
func (t *tunnelRoutes) configure(cfg *conf.Config) {
	if !t.enabled {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	want := make(map[netip.Prefix]netip.Addr)
	for _, p := range cfg.Peers {
		for _, c := range p.Children {
			if c.Mode != "tunnel" {
				continue
			}
			src := ownAddresses(prefixesOf(c.Local))
			for _, r := range prefixesOf(c.Remote) {
				if r.Bits() > 0 { // else where to, is known when the session is up
					want[r] = src[r.Addr().Is4()]
				}
			}
		}
		if pool := cfg.Pool(p.Pool); pool != nil {
			for _, r := range prefixesOf(pool.Addresses) {
				want[r] = netip.Addr{}
			}
		}
	}
	if t.static == nil {
		t.static = make(map[netip.Prefix]*route.Changes)
	}
	for p, c := range t.static {
		if _, still := want[p]; !still {
			t.undo(c)
			delete(t.static, p)
		}
	}
	for p, src := range want {
		if t.static[p] == nil {
			t.static[p] = t.add(route.Route{Dst: p, Link: t.device, Src: src})
		}
	}
}

// add makes a route. One that is there already is somebody else's will.
func (t *tunnelRoutes) add(r route.Route) *route.Changes {
	c, err := route.New()
	if err == nil {
		err = c.AddRoute(r)
	}
	switch {
	case errors.Is(err, os.ErrExist):
		t.log.Warn("there is a route already, which is left alone", "route", r.String())
	case err != nil:
		t.log.Error("a route cannot be made", "route", r.String(), "err", err)
	}
	return c
}

func (t *tunnelRoutes) undo(c *route.Changes) {
	if c == nil {
		return
	}
	if err := c.Undo(); err != nil {
		t.log.Warn("a route is left", "err", err)
	}
}

// follow makes addresses and routes as sessions come and go, until the channel
// is closed.
func (t *tunnelRoutes) follow(m *racoon.Manager, events <-chan ike.Event) {
	for ev := range events {
		switch ev := ev.(type) {
		case ike.SessionUp:
			if ev.Info.Config != nil && t.isClient(m, ev.Session) {
				t.setAddresses(ev.Session, ev.Info.Config.Addresses)
			}
		case ike.AddressAssigned:
			if ev.Config != nil && t.isClient(m, ev.Session) {
				t.setAddresses(ev.Session, ev.Config.Addresses)
			}
		case ike.SessionDown:
			t.setAddresses(ev.Session, nil)
		case ike.ChildUp:
			t.childUp(&ev.Child, ev.Path.Remote.Addr())
		case ike.ChildDown:
			t.childDown(ev.Child.ID)
		case racoon.EventsLost:
			t.log.Warn("routes may not be as they should: events were lost", "count", ev.Count)
		}
	}
}

// isClient: the addresses of the session are this side's.
func (t *tunnelRoutes) isClient(m *racoon.Manager, id ike.SessionID) bool {
	s := m.Session(id)
	return s != nil && s.Info().Initiator
}

// setAddresses gives the device the addresses of a session.
func (t *tunnelRoutes) setAddresses(id ike.SessionID, given []netip.Prefix) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.sessions == nil {
		t.sessions = make(map[ike.SessionID][]netip.Prefix)
	}
	var list []netip.Prefix
	for _, a := range given {
		list = append(list, netip.PrefixFrom(a.Addr(), a.Addr().BitLen()))
	}
	before := t.sessions[id]
	if t.sessions[id] = list; len(list) == 0 {
		delete(t.sessions, id)
	}
	for _, a := range list {
		if err := t.changes.AddAddress(t.device, a); err != nil {
			t.log.Error("the address cannot be set", "address", a, "err", err)
		}
	}
	for _, a := range before {
		if t.uses(a) {
			continue
		}
		if err := t.changes.RemoveAddress(t.device, a); err != nil {
			t.log.Warn("an address is left", "address", a, "err", err)
		}
	}
}

// uses reports whether a session has the address. t.mu is held.
func (t *tunnelRoutes) uses(a netip.Prefix) bool {
	for _, list := range t.sessions {
		if slices.Contains(list, a) {
			return true
		}
	}
	return false
}

// childUp makes routes to what a Child SA protects and the configuration did
// not say.
func (t *tunnelRoutes) childUp(c *ike.ChildInfo, peer netip.Addr) {
	if !t.enabled || c.Mode != spd.ModeTunnel {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	var local []netip.Prefix
	for _, ts := range c.LocalTS {
		local = slices.AppendSeq(local, ts.Prefixes())
	}
	src := ownAddresses(local)
	for _, ts := range c.RemoteTS {
		for p := range ts.Prefixes() {
			if p.IsSingleIP() && p.Addr() == peer || t.covered(p) {
				continue
			}
			if t.children == nil {
				t.children, t.dynamic = make(map[ike.ChildID][]netip.Prefix), make(map[netip.Prefix]*route.Changes)
			}
			t.children[c.ID] = append(t.children[c.ID], p)
			if t.dynamic[p] == nil {
				t.dynamic[p] = t.lead(p, src, peer)
			}
		}
	}
}

// covered: a route of the configuration leads there.
func (t *tunnelRoutes) covered(p netip.Prefix) bool {
	for s := range t.static {
		if s.Bits() <= p.Bits() && s.Contains(p.Addr()) {
			return true
		}
	}
	return false
}

// lead makes a route, or for all addresses a tunnel around which IKE and ESP
// find their way.
func (t *tunnelRoutes) lead(p netip.Prefix, src map[bool]netip.Addr, peer netip.Addr) *route.Changes {
	if p.Bits() > 0 {
		return t.add(route.Route{Dst: p, Link: t.device, Src: src[p.Addr().Is4()]})
	}
	c, err := route.New()
	if err == nil {
		tunnel := route.Tunnel{Link: t.device, Prefixes: []netip.Prefix{p}, Outer: peer, Marked: t.marked}
		for _, list := range t.sessions {
			for _, a := range list {
				tunnel.Addresses = append(tunnel.Addresses, a.Addr())
			}
		}
		err = c.AddTunnel(tunnel)
	}
	if err != nil {
		t.log.Error("the routes for all addresses cannot be made", "err", err)
	}
	return c
}

// childDown takes back routes that no Child SA needs any more.
func (t *tunnelRoutes) childDown(id ike.ChildID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	gone := t.children[id]
	delete(t.children, id)
	for _, p := range gone {
		used := false
		for _, list := range t.children {
			used = used || slices.Contains(list, p)
		}
		if !used {
			t.undo(t.dynamic[p])
			delete(t.dynamic, p)
		}
	}
}

func (t *tunnelRoutes) close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range t.dynamic {
		t.undo(c)
	}
	for _, c := range t.static {
		t.undo(c)
	}
	t.dynamic, t.static = nil, nil
	return t.changes.Undo()
}

// prefixesOf returns the prefixes of selectors and ranges; "dynamic" has none.
func prefixesOf(selectors []string) (list []netip.Prefix) {
	for _, s := range selectors {
		if ts, err := spd.ParseTrafficSelector(s); err == nil {
			list = slices.AppendSeq(list, ts.Prefixes())
		}
	}
	return list
}

// ownAddresses returns this host's addresses in networks, one of IPv4 and one
// of IPv6: what it sends from when it speaks for them. Where the networks are
// all addresses the choice is the system's.
func ownAddresses(networks []netip.Prefix) map[bool]netip.Addr {
	own := make(map[bool]netip.Addr)
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return own
	}
	for _, a := range addrs {
		n, ok := a.(*net.IPNet)
		if !ok {
			continue
		}
		ip, _ := netip.AddrFromSlice(n.IP)
		ip = ip.Unmap()
		in := slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Bits() > 0 && n.Contains(ip) })
		if in && ip.IsGlobalUnicast() && !own[ip.Is4()].IsValid() {
			own[ip.Is4()] = ip
		}
	}
	return own
}
