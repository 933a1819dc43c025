package main

import (
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/racoon3/racoon/spd"
)

// A gateway has proved who it is, not that it means well. What it gives must
// not take this host's own networks away, nor fill its routing table.

// maxRoutes bounds the routes of one session. A gateway may split what it was
// asked for into ranges that need hundreds of prefixes each.
const maxRoutes = 256

// An ownNetwork is a network that this host is on.
type ownNetwork struct {
	link    string
	network netip.Prefix
}

// ownNetworks are those of all devices but the tunnel's.
func ownNetworks(tunnel string) (all []ownNetwork, err error) {
	links, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	for _, l := range links {
		if l.Name == tunnel || l.Flags&net.FlagUp == 0 {
			continue
		}
		addrs, err := l.Addrs()
		if err != nil {
			return nil, err
		}
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil {
				all = append(all, ownNetwork{l.Name, p.Masked()})
			}
		}
	}
	return all, nil
}

// checkAddress refuses an inner address that would stand for a host of an own
// network, or for the gateway itself.
func checkAddress(a, server netip.Addr, own []ownNetwork) error {
	if a == server.Unmap() {
		return fmt.Errorf("the gateway gives %v, which is its own outer address", a)
	}
	for _, o := range own {
		if o.network.Bits() > 0 && o.network.Contains(a) {
			return fmt.Errorf("the gateway gives %v, which lies in the network %v of %s here; it has to use other addresses", a, o.network, o.link)
		}
	}
	return nil
}

// splitInclude narrows selectors to the networks that the gateway has named. A
// client of Cisco's, as IKEv1 has it, negotiates everything and keeps to those
// (UNITY_SPLIT_INCLUDE): the gateway drops the rest. Of a family of which none
// is named everything is meant.
func splitInclude(selectors []spd.TrafficSelector, named []netip.Prefix) (out []spd.TrafficSelector) {
	for _, ts := range selectors {
		if !slices.ContainsFunc(named, func(p netip.Prefix) bool { return p.Addr().Is4() == ts.Is4() }) {
			out = append(out, ts)
		}
	}
	for _, p := range named {
		if ts := spd.FromPrefix(p); spd.Covers(selectors, ts) {
			out = append(out, ts)
		}
	}
	return out
}

// routesFor are the networks that selectors name, without those inside an own
// network: what is on this host's links stays there, unless it was asked for
// by name. refused are those.
func routesFor(selectors []spd.TrafficSelector, asked []netip.Prefix, own []ownNetwork) (routes, refused []netip.Prefix, err error) {
	for _, ts := range selectors {
		for p := range ts.Prefixes() {
			switch {
			case slices.Contains(routes, p) || slices.Contains(refused, p):
			case len(routes)+len(refused) == maxRoutes:
				return nil, nil, fmt.Errorf("the gateway's networks need more than %d routes, the first one is %v", maxRoutes, routes[0])
			case insideOwn(p, own) && !askedFor(p, asked):
				refused = append(refused, p)
			default:
				routes = append(routes, p)
			}
		}
	}
	return routes, refused, nil
}

func insideOwn(p netip.Prefix, own []ownNetwork) bool {
	return slices.ContainsFunc(own, func(o ownNetwork) bool {
		return o.network.Bits() <= p.Bits() && o.network.Contains(p.Addr())
	})
}

// askedFor: a network that contains it was named, and not just everything.
func askedFor(p netip.Prefix, asked []netip.Prefix) bool {
	return slices.ContainsFunc(asked, func(q netip.Prefix) bool {
		return q.Bits() > 0 && q.Bits() <= p.Bits() && q.Contains(p.Addr())
	})
}
