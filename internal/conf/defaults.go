package conf

import (
	"net"
	"net/netip"
	"strings"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/spd"
)

// isSet reports whether a key of the struct that v points to is written
// somewhere.
func (s sources) isSet(v any, key string) bool { return s[v].table.get(key) != nil }

// computeDefaults fills in what depends on other keys.
func (c *Config) computeDefaults(host Host) {
	d := &c.Daemon
	if !c.sources.isSet(d, "listen-natt") {
		for _, l := range d.Listen {
			host, port := splitSocket(l)
			if port != "4500" {
				d.ListenNATT = append(d.ListenNATT, joinSocket(host, "4500"))
			}
		}
	}
	for i := range d.Listen {
		d.Listen[i] = withPort(d.Listen[i], "500")
	}
	for i := range d.ListenNATT {
		d.ListenNATT[i] = withPort(d.ListenNATT[i], "4500")
	}
	for i := range c.Kink.Listen {
		c.Kink.Listen[i] = withPort(c.Kink.Listen[i], "910")
	}
	for i := range c.Spmd.DNS.Listen {
		c.Spmd.DNS.Listen[i] = withPort(c.Spmd.DNS.Listen[i], "53")
	}
	for i := range c.Spmd.DNS.Upstream {
		c.Spmd.DNS.Upstream[i] = withPort(c.Spmd.DNS.Upstream[i], "53")
	}
	for _, p := range c.Peers {
		c.peerDefaults(p)
		if p.Protocol == "kink" && c.Kink.Principal == "" {
			if name, err := host.Hostname(); err == nil {
				c.Kink.Principal = "kink/" + name
			}
		}
	}
}

func (c *Config) peerDefaults(p *Peer) {
	if len(p.Proposals) == 0 && p.Protocol == "ike" {
		p.Proposals = proposalTexts(spd.DefaultIKEProposals())
	}
	if !c.sources.isSet(p, "require-address") {
		p.RequireAddress = p.Pool != ""
	}
	t := &p.Timing
	if !c.sources.isSet(t, "lifetime") && t.Rekey > 0 {
		t.Lifetime = Duration(ike.TenthMore(t.Rekey.D()))
	}
	if !c.sources.isSet(t, "delete-wait") {
		t.DeleteWait = t.RetransmitMax
	}
	if len(p.Children) == 0 {
		p.Children = []*Child{c.onlyChild(p)}
	}
	for _, ch := range p.Children {
		if len(ch.Proposals) == 0 {
			ch.Proposals = defaultChildProposals(ch.Protocol)
		}
		if ch.Start == "" {
			ch.Start = p.Start
		}
		if !c.sources.isSet(ch, "lifetime") && ch.Rekey > 0 {
			ch.Lifetime = Duration(ike.TenthMore(ch.Rekey.D()))
		}
		if ch.Interface == "" && ch.InterfaceID == 0 {
			ch.Interface = c.DataPlane.XFRM.Interface
		}
		x := &c.DataPlane.XFRM
		for _, m := range []struct {
			own     *Mark
			general Mark
		}{{&ch.MarkIn, x.MarkIn}, {&ch.MarkOut, x.MarkOut}, {&ch.OutputMark, x.OutputMark}} {
			if m.own.Mask == 0 {
				*m.own = m.general
			}
		}
		if ch.Offload == "" {
			ch.Offload = x.Offload
		}
	}
	if !c.sources.isSet(&p.Request, "ipv4") && !c.sources.isSet(&p.Request, "ipv6") {
		p.Request.IPv4, p.Request.IPv6 = families(p)
	}
}

// onlyChild is the Child SA of a peer that has none in the file: what
// [defaults.child] says of all.
func (c *Config) onlyChild(p *Peer) *Child {
	own := newTable(c.sources[p].table.place, implicit)
	if t := c.sources[&c.Defaults.Child].table; t != nil {
		own = overlay(t, own)
	}
	ch := &Child{Name: p.Name}
	var r report // the same as in [defaults.child]
	d := &decoder{report: &r, sources: c.sources}
	d.child(own, []string{"peer", p.Name, "child", p.Name}, ch)
	if p.RequestAddress && len(ch.Remote) == 0 {
		ch.Remote = []string{"0.0.0.0/0", "::/0"}
	}
	return ch
}

// families are those that a client asks addresses of.
func families(p *Peer) (ipv4, ipv6 bool) {
	for _, ch := range p.Children {
		for _, s := range ch.Remote {
			ts, err := spd.ParseTrafficSelector(s)
			ipv4 = ipv4 || s == "dynamic" || err == nil && ts.Is4()
			ipv6 = ipv6 || s == "dynamic" || err == nil && ts.Is6()
		}
		if len(ch.Remote) == 0 {
			return true, true
		}
	}
	return ipv4, ipv6
}

// defaultChildProposals are those of a data plane that has everything.
func defaultChildProposals(protocol string) []string {
	if protocol == "ah" {
		return proposalTexts(spd.DefaultAHProposals(spd.MemoryCapabilities()))
	}
	return proposalTexts(spd.DefaultESPProposals(spd.MemoryCapabilities()))
}

func proposalTexts(ps []spd.Proposal) []string {
	out := make([]string, len(ps))
	for i, p := range ps {
		out[i] = p.String()
	}
	return out
}

// splitSocket splits an address with or without a port.
func splitSocket(s string) (host, port string) {
	if a, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return a.String(), ""
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return s, ""
	}
	return host, port
}

func joinSocket(host, port string) string { return net.JoinHostPort(host, port) }

func withPort(s, port string) string {
	host, given := splitSocket(s)
	if given == "" {
		return joinSocket(host, port)
	}
	return joinSocket(host, given)
}
