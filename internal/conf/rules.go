package conf

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/racoon3/racoon/spd"
)

// ParseSelector reads a selector of a policy: a traffic selector, "any", or a
// host name, either with protocol and ports in brackets. For a name it is
// returned with the rest of the selector for addresses of IPv4 and IPv6, as
// selectors of any address.
func ParseSelector(s string) (sels []spd.TrafficSelector, name string, err error) {
	host, rest, bracket := strings.Cut(s, "[")
	if bracket {
		rest = "[" + rest
	}
	if host != "any" && (!validHost(host) || isAddressLike(host)) {
		ts, err := spd.ParseTrafficSelector(s)
		if err != nil {
			return nil, "", err
		}
		return []spd.TrafficSelector{ts}, "", nil
	}
	for _, any := range []string{"0.0.0.0/0", "::/0"} {
		ts, err := spd.ParseTrafficSelector(any + rest)
		if err != nil {
			return nil, "", err
		}
		sels = append(sels, ts)
	}
	if host == "any" {
		return sels, "", nil
	}
	return sels, strings.ToLower(strings.TrimSuffix(host, ".")), nil
}

var (
	directions = map[string]spd.RuleDirection{"both": spd.BothDirections, "in": spd.OnlyInbound, "out": spd.OnlyOutbound, "forward": spd.OnlyForward}
	levels     = map[string]spd.Level{"require": spd.LevelRequire, "use": spd.LevelUse, "unique": spd.LevelUnique}
	spdActions = map[string]spd.Action{"protect": spd.ActionProtect, "bypass": spd.ActionBypass, "discard": spd.ActionDiscard}
	transforms = map[string]spd.Protocol{"ipcomp": spd.ProtoIPComp, "esp": spd.ProtoESP, "ah": spd.ProtoAH}
)

// PolicyNames returns the host names that policies select by, each once.
func (c *Config) PolicyNames() []string {
	var all []string
	for _, p := range c.Policies {
		for _, s := range slices.Concat(p.Local, p.Remote) {
			if _, name, err := ParseSelector(s); err == nil && name != "" && !slices.Contains(all, name) {
				all = append(all, name)
			}
		}
	}
	return all
}

// Rules returns the rules of the policies that are to be installed. lookup
// finds the addresses that a name has now; nil knows none. A rule that needs a
// name without addresses is left out until there are some.
func (c *Config) Rules(lookup func(name string) []netip.Addr) []spd.Rule {
	var rules []spd.Rule
	for _, p := range c.Policies {
		if !p.Install {
			continue
		}
		if r := c.Rule(p, lookup); len(r.Local) > 0 && len(r.Remote) > 0 {
			rules = append(rules, r)
		}
	}
	return rules
}

// Rule returns the rule of one policy. A side of which only names without
// addresses are known is empty.
func (c *Config) Rule(p *Policy, lookup func(name string) []netip.Addr) spd.Rule {
	r := spd.Rule{
		Name: p.Name, Local: resolve(p.Local, lookup), Remote: resolve(p.Remote, lookup), Direction: directions[p.Direction],
		Action: spdActions[p.Action], Priority: p.Priority, Mark: spd.Mark(p.Mark),
	}
	if i := c.Interface(p.Interface); i != nil {
		r.InterfaceID = i.InterfaceID
	}
	if p.Action != "protect" {
		return r
	}
	r.Level, r.Mode, r.ReqID = levels[p.Level], spdModes[p.Mode], uint32(p.ReqID)
	local, remote, bundle := p.LocalAddress, p.RemoteAddress, p.Bundle
	if peer := c.Peer(p.Peer); peer != nil {
		ch := peer.childOf(p)
		r.Mode, r.ReqID = spdModes[ch.Mode], uint32(ch.ReqID)
		local, remote, bundle = peer.LocalAddress, peer.Remote, nil
		if ch.IPComp {
			bundle = append(bundle, "ipcomp")
		}
		bundle = append(bundle, ch.Protocol)
		if r.ReqID != 0 && p.Level == "require" {
			r.Level = spd.LevelUnique // the Child SA's own
		}
		if len(ch.OuterAH) > 0 {
			bundle = append(bundle, "ah")
		}
	}
	for _, b := range bundle {
		r.Protocols = append(r.Protocols, transforms[b])
	}
	if r.Mode == spd.ModeTunnel {
		r.LocalAddr, r.RemoteAddr = parseAddr(local), parseAddr(remote)
	}
	return r
}

func parseAddr(s string) netip.Addr {
	a, _ := netip.ParseAddr(s)
	return a.Unmap()
}

// resolve puts addresses in place of names.
func resolve(all []string, lookup func(name string) []netip.Addr) (out []spd.TrafficSelector) {
	for _, s := range all {
		sels, name, err := ParseSelector(s)
		switch {
		case err != nil: // checked
		case name == "":
			out = append(out, sels...)
		case lookup != nil:
			for _, a := range lookup(name) {
				ts := sels[0]
				ts.First = a.Unmap()
				ts.Last = ts.First
				out = append(out, ts)
			}
		}
	}
	return out
}
