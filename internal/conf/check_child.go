package conf

import (
	"slices"
	"strings"

	"github.com/racoon3/racoon/spd"
)

func (k *checker) child(p *Peer, c *Child) {
	local, lok, ldyn := k.selectors(c, "local", c.Local)
	remote, rok, rdyn := k.selectors(c, "remote", c.Remote)
	if lok && rok && !ldyn && !rdyn && !fit(local, remote) {
		k.bad(c, "remote", "write networks of the same address family and protocol on both sides", "has nothing that fits one of local in address family and protocol")
	}
	if proto := protocols[c.Protocol]; proto != 0 {
		k.proposals(c, "proposals", proto, c.Proposals)
	}
	k.proposals(c, "outer-ah", spd.ProtoAH, c.OuterAH)
	switch {
	case len(c.OuterAH) > 0 && c.Protocol == "ah":
		k.bad(c, "outer-ah", "remove it, or write protocol = \"esp\"", "is AH around ESP, but protocol is \"ah\"")
	case len(c.OuterAH) > 0 && p.Protocol == "ike" && !p.speaks("ikev1"):
		k.bad(c, "outer-ah", `write versions = ["ikev1"]`, "cannot be negotiated by IKEv2")
	}
	if c.Mode == "transport" {
		k.transport(c, "local", local)
		k.transport(c, "remote", remote)
		if c.TFCPadding != 0 {
			k.bad(c, "tfc-padding", "remove it, or write mode = \"tunnel\"", "is for tunnel mode")
		}
		if p.Pool != "" {
			k.bad(c, "mode", "write mode = \"tunnel\", or remove pool", "is \"transport\", but clients with addresses from a pool need a tunnel")
		}
	}
	k.limits(c)
	if start := c.Start; start == "trap" {
		switch {
		case ldyn || rdyn:
			k.bad(c, pick(k.sources.isSet(c, "start"), "start", pick(ldyn, "local", "remote")), "write addresses into local and remote, or start = \"always\"", "has to name addresses for start = \"trap\": nothing else tells which packets to wait for")
		case c.NoPolicies:
			k.bad(c, "no-policies", "remove one of them", "leaves no policy that start = \"trap\" could wait with")
		}
	}
	if c.Interface != "" {
		k.refers(c, "interface", -1, "interface", c.Interface, names(k.Interfaces))
		if c.InterfaceID != 0 {
			k.bad(c, "interface-id", "remove one of them", "is there beside interface, which has a number of its own")
		}
	}
	for _, o := range []struct {
		key string
		set bool
	}{{"interface-id", c.InterfaceID != 0}, {"mark-in", c.MarkIn.Mask != 0}, {"mark-out", c.MarkOut.Mask != 0}, {"output-mark", c.OutputMark.Mask != 0}, {"offload", c.Offload != ""}} {
		if o.set && k.written(c, o.key) && k.DataPlane.Kind != "auto" && k.DataPlane.Kind != "xfrm" {
			k.bad(c, o.key, `write kind = "xfrm" in [dataplane], or remove it`, "needs the data plane xfrm, but that is %q", k.DataPlane.Kind)
		}
	}
	for _, o := range []struct {
		key string
		n   int
	}{{"mtu", c.MTU}, {"fragment", c.Fragment}} {
		if o.n != 0 && o.n < 68 {
			k.bad(c, o.key, "use 68 or more, or 0", "is %d, which is less than an IP packet may have to be", o.n)
		}
	}
}

// selectors parses one side. It reports whether all are right, and whether the
// side's own address is among them.
func (k *checker) selectors(c *Child, key string, all []string) (out []spd.TrafficSelector, ok, dynamic bool) {
	if len(all) > spd.MaxSelectors {
		k.bad(c, key, "join networks, or use several Child SAs", "has %d selectors; a message can carry %d", len(all), spd.MaxSelectors)
		return nil, false, false
	}
	ok = true
	for i, s := range all {
		if s == "dynamic" {
			dynamic = true
			continue
		}
		ts, err := spd.ParseTrafficSelector(s)
		if err != nil {
			k.badItem(c, key, i, selectorHint(s), "is not a traffic selector: %s", strings.TrimPrefix(err.Error(), spd.ErrSelector.Error()+" "))
			ok = false
			continue
		}
		out = append(out, ts)
	}
	return out, ok, dynamic || len(all) == 0
}

func selectorHint(s string) string {
	if validHost(s) && !isAddressLike(s) {
		return `names are for [policy.NAME]; write addresses here, or "dynamic" for the host itself`
	}
	return `write one such as "10.1.0.0/16", "192.0.2.7[tcp/443]" or "dynamic"`
}

func fit(local, remote []spd.TrafficSelector) bool {
	return slices.ContainsFunc(local, func(l spd.TrafficSelector) bool {
		return slices.ContainsFunc(remote, func(r spd.TrafficSelector) bool { return (spd.Selector{Local: l, Remote: r}).Valid() == nil })
	})
}

// transport mode has the hosts themselves on both sides.
func (k *checker) transport(c *Child, key string, all []spd.TrafficSelector) {
	for i, ts := range all {
		if ts.First != ts.Last {
			k.badItem(c, key, i, `write "dynamic" or one address, or mode = "tunnel"`, "is more than one address, but transport mode is between two hosts")
			return
		}
	}
}

// limits that contradict each other.
func (k *checker) limits(c *Child) {
	if c.Rekey > 0 && c.Lifetime > 0 && c.Lifetime <= c.Rekey {
		k.bad(c, pick(k.sources.isSet(c, "lifetime"), "lifetime", "rekey"), "make lifetime longer than rekey, or leave it out", "makes the Child SA end (%v) before it gets new keys (%v)", c.Lifetime, c.Rekey)
	}
	for _, l := range []struct {
		soft, hard       string
		softVal, hardVal uint64
	}{{"rekey-bytes", "lifetime-bytes", uint64(c.RekeyBytes), uint64(c.LifetimeBytes)}, {"rekey-packets", "lifetime-packets", c.RekeyPackets, c.LifetimePackets}} {
		if l.softVal != 0 && l.hardVal != 0 && l.hardVal <= l.softVal {
			k.bad(c, l.hard, "make "+l.hard+" larger than "+l.soft+", or leave it out", "makes the Child SA end before it gets new keys")
		}
	}
}
