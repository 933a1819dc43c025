package conf

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/racoon3/racoon/spd"
)

func sortedKeys[T any](m map[string]T) []string { return slices.Sorted(maps.Keys(m)) }

func (k *checker) policy(p *Policy) {
	if p.Action == "" {
		k.bad(p, "action", `write action = "protect", "bypass" or "discard"`, "is missing")
	}
	local, remote := k.policySelectors(p, "local", p.Local), k.policySelectors(p, "remote", p.Remote)
	if local != nil && remote != nil && !fit(local, remote) {
		k.bad(p, "remote", "write networks of the same address family and protocol on both sides", "has nothing that fits one of local in address family and protocol")
	}
	if p.Action != "protect" {
		for _, key := range []string{"peer", "child", "mode", "bundle", "local-address", "remote-address", "reqid", "level"} {
			if p.Action != "" && k.sources.isSet(p, key) {
				k.bad(p, key, `write action = "protect", or remove it`, "has no effect with action = %q", p.Action)
			}
		}
		k.policyInterface(p)
		return
	}
	if p.Peer != "" {
		for _, key := range []string{"mode", "bundle", "local-address", "remote-address", "reqid"} {
			if k.sources.isSet(p, key) {
				k.bad(p, key, "remove it, or remove peer", "is that of the Child SA of peer")
			}
		}
		k.policyPeer(p)
		k.policyInterface(p)
		return
	}
	if p.Child != "" {
		k.bad(p, "child", "write peer = \"...\"", "has no effect without peer")
	}
	order := []string{"ipcomp", "esp", "ah"}
	for i, b := range p.Bundle {
		if i > 0 && slices.Index(order, b) < slices.Index(order, p.Bundle[i-1]) {
			k.badItem(p, "bundle", i, `write them as in ["ipcomp", "esp", "ah"]`, "has %q inside %q", p.Bundle[i-1], b)
		}
	}
	if len(p.Bundle) == 0 {
		k.bad(p, "bundle", `write bundle = ["esp"]`, "is empty: nothing would protect the traffic")
	}
	if p.ReqID != 0 && p.Level == "require" {
		k.bad(p, "reqid", `write level = "unique", or remove it`, "has no effect with level = \"require\", which takes any SA between the addresses")
	}
	var ends [2]netip.Addr
	for i, a := range []struct{ key, text string }{{"local-address", p.LocalAddress}, {"remote-address", p.RemoteAddress}} {
		switch {
		case a.text != "":
			ends[i], _ = k.address(p, a.key, -1, a.text)
			if p.Mode == "transport" {
				k.bad(p, a.key, "remove it, or write mode = \"tunnel\"", "is the end of a tunnel, but mode is \"transport\"")
			}
		case p.Mode == "tunnel":
			k.bad(p, a.key, "write the outer address of the tunnel, or peer = \"...\", or mode = \"transport\"", "is missing: a tunnel has two ends")
		}
	}
	if ends[0].IsValid() && ends[1].IsValid() && ends[0].Is4() != ends[1].Is4() {
		k.bad(p, "remote-address", "use an address of the same family", "is %v, which is not of the family of local-address, %v", ends[1], ends[0])
	}
	k.policyInterface(p)
}

func (k *checker) policyInterface(p *Policy) {
	if p.Interface != "" {
		k.refers(p, "interface", -1, "interface", p.Interface, names(k.Interfaces))
	}
}

func (k *checker) policyPeer(p *Policy) {
	if !k.refers(p, "peer", -1, "peer", p.Peer, names(k.Peers)) {
		return
	}
	peer := k.Peer(p.Peer)
	switch {
	case p.Child == "" && len(peer.Children) > 1:
		k.bad(p, "child", "write one of "+list(quoteAll(names(peer.Children))), "is missing, and peer %q has several", p.Peer)
		return
	case p.Child != "" && !k.refers(p, "child", -1, joinKey("peer", p.Peer, "child"), p.Child, names(peer.Children)):
		return
	}
	if c := peer.childOf(p); c.Mode == "tunnel" && (!isAddress(peer.Remote) || !isAddress(peer.LocalAddress)) {
		k.bad(p, "peer", "write addresses into remote and local-address of [peer."+quoteKey(p.Peer)+"]", "names a peer whose addresses are not known beforehand; a tunnel has two ends")
	}
}

// childOf returns the Child SA that a policy names.
func (p *Peer) childOf(o *Policy) *Child {
	if o.Child == "" {
		return p.Children[0]
	}
	return named(p.Children, o.Child)
}

func isAddress(s string) bool { _, err := netip.ParseAddr(s); return err == nil }

// policySelectors checks one side; nil if it has an error, or names whose
// addresses nobody knows.
func (k *checker) policySelectors(p *Policy, key string, all []string) (out []spd.TrafficSelector) {
	if len(all) == 0 {
		k.bad(p, key, `write "any" for everything`, "is empty")
		return nil
	}
	open := false
	for i, s := range all {
		sels, name, err := ParseSelector(s)
		switch {
		case err != nil:
			k.badItem(p, key, i, `write one such as "10.1.0.0/16", "192.0.2.7[tcp/443]", "www.example.org[tcp/443]" or "any"`, "is %q, which is neither a traffic selector nor a name", clip(s))
			return nil
		case name != "":
			open = true
		}
		out = append(out, sels...)
	}
	if open {
		return nil
	}
	return out
}

func (k *checker) spmd() {
	s := &k.Spmd
	k.socket(s, "socket", s.Socket, "mode", s.Mode)
	n := &s.Names
	if n.MinTTL > n.MaxTTL {
		k.bad(n, pick(k.sources.isSet(n, "min-ttl"), "min-ttl", "max-ttl"), "make min-ttl less than max-ttl", "makes the shortest time (%v) longer than the longest (%v)", n.MinTTL, n.MaxTTL)
	}
	for _, name := range sortedKeys(n.Static) {
		if !validHost(name) {
			k.bad(n, "static", `write one such as "www.example.org"`, "has %q, which is not a host name", clip(name))
		}
		for _, a := range n.Static[name] {
			if _, err := netip.ParseAddr(a); err != nil {
				k.bad(n, "static", `write one such as "192.0.2.80"`, "has %q for %q, which is not an IP address", clip(a), clip(name))
			}
		}
	}
	d := &s.DNS
	for i, l := range d.Listen {
		k.addrPort(d, "listen", i, l, false)
		if slices.Contains(d.Upstream, l) {
			k.badItem(d, "listen", i, "remove it from upstream", "is %s, which would ask itself", l)
		}
	}
	for i, u := range d.Upstream {
		k.addrPort(d, "upstream", i, u, false)
	}
	switch {
	case len(d.Listen) > 0 && len(d.Upstream) == 0:
		k.bad(d, "upstream", `write upstream = ["192.0.2.53"]`, "is missing: the forwarder has nobody to ask")
	case len(d.Listen) == 0 && len(d.Upstream) > 0:
		k.bad(d, "upstream", `write listen = ["127.0.0.1:53"]`, "has no effect without listen")
	}
	if n.Resolve || len(d.Listen) > 0 {
		return
	}
	for _, p := range k.Policies {
		for _, side := range []struct {
			key  string
			list []string
		}{{"local", p.Local}, {"remote", p.Remote}} {
			for i, sel := range side.list {
				if _, name, err := ParseSelector(sel); err == nil && name != "" && n.Static[name] == nil && n.HostsFile == "" {
					k.badItem(p, side.key, i, "write resolve = true in [spmd.names], or listen in [spmd.dns]", "is a name, but nothing finds its addresses")
				}
			}
		}
	}
}
