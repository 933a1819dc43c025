package racoon

import (
	"fmt"
	"slices"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/spd"
)

// childSAs: what is protected.
func (c *compiler) childSAs(cfg *Peer, p *peer) error {
	list := cfg.Children
	if len(list) == 0 {
		list = []Child{{Name: cfg.Name}}
		if cfg.RequestAddress || cfg.Request != nil {
			list[0].Remote = []string{"0.0.0.0/0", "::/0"}
		}
		p.cfg.Children = list
	}
	for i := range list {
		name := list[i].Name
		if name == "" {
			name = childName(cfg, i)
		}
		field := fmt.Sprintf("Children[%d] %q", i, name)
		if p.child(name) != nil {
			return configError(field+": Name", "is used by another Child of the peer too; names must differ")
		}
		pc, err := c.childSA(cfg, p, &list[i], name)
		if err != nil {
			return inField(field, err)
		}
		p.children = append(p.children, pc)
		p.v2.Children = append(p.v2.Children, pc.ChildConfig)
	}
	return nil
}

func (c *compiler) childSA(cfg *Peer, p *peer, in *Child, name string) (*peerChild, error) {
	out := &ike.ChildConfig{
		Name: name, Mode: in.Mode, IPComp: in.IPComp, ReplayWindow: in.ReplayWindow, Options: in.Options, ReqID: in.ReqID,
		Rekey: in.Rekey, Lifetime: in.Lifetime, Volume: in.Volume, Priority: in.Priority, NoPolicies: in.NoPolicies,
	}
	pc := &peerChild{ChildConfig: out, start: in.Start}
	if pc.start == StartDefault {
		pc.start = cfg.Start
	}
	if pc.start == StartDefault {
		pc.start = StartNone
	}
	err := checkTimes(namedTime{"Rekey", in.Rekey}, namedTime{"Lifetime", in.Lifetime})
	if err != nil {
		return nil, err
	}
	if err = in.Options.Valid(); err == nil {
		err = c.caps.CheckOptions(&in.Options)
	}
	if err != nil {
		return nil, inField("Options", err)
	}
	if err = in.Volume.Valid(); err != nil {
		return nil, inField("Volume", err)
	}
	if out.Local, out.LocalDynamic, err = parseSelectors(in.Local); err != nil {
		return nil, inField("Local", err)
	}
	if out.Remote, out.RemoteDynamic, err = parseSelectors(in.Remote); err != nil {
		return nil, inField("Remote", err)
	}
	if !out.LocalDynamic && !out.RemoteDynamic && !samePairs(out.Local, out.Remote) {
		return nil, configError("Remote", "no selector fits one of Local in address family and protocol")
	}
	switch {
	case in.Mode == spd.ModeTransport && !c.caps.Transport:
		return nil, configError("Mode", "data plane %q has no transport mode; use tunnel mode", c.caps.Name)
	case in.Mode == spd.ModeTunnel && !c.caps.Tunnel:
		return nil, configError("Mode", "data plane %q has no tunnel mode; use transport mode", c.caps.Name)
	case in.IPComp && len(c.caps.IPComp) == 0:
		return nil, configError("IPComp", "data plane %q has no IPComp; leave it false", c.caps.Name)
	case in.ReplayWindow < 0:
		return nil, configError("ReplayWindow", "%d is negative; use 0 for the data plane's default", in.ReplayWindow)
	case c.caps.MaxReplay > 0 && in.ReplayWindow > c.caps.MaxReplay:
		return nil, configError("ReplayWindow", "%d is more than data plane %q has, %d", in.ReplayWindow, c.caps.Name, c.caps.MaxReplay)
	case in.Rekey > 0 && in.Lifetime > 0 && in.Lifetime <= in.Rekey:
		return nil, configError("Lifetime", "%v is not longer than Rekey, %v; the SA would end before it is replaced", in.Lifetime, in.Rekey)
	case in.Mode > spd.ModeTransport:
		return nil, configError("Mode", "%d is unknown; use ModeTunnel or ModeTransport", in.Mode)
	case in.ReqID > maxConfiguredReqID:
		return nil, configError("ReqID", "%d is too large; use 1 to %d, or 0", in.ReqID, maxConfiguredReqID)
	}
	proto := in.Protocol
	switch {
	case proto == 0:
		proto = spd.ProtoESP
	case proto != spd.ProtoESP && proto != spd.ProtoAH:
		return nil, configError("Protocol", "%v is not negotiated for Child SAs; use spd.ProtoESP or spd.ProtoAH", proto)
	}
	if len(in.Proposals) > 0 {
		r := c.parseProposals(proto, in.Proposals)
		if r.err != nil {
			return nil, r.err
		}
		out.Proposals = r.proposals
		if r.note != "" {
			p.notes = append(p.notes, fmt.Sprintf("Child %q: %s", name, r.note))
		}
	} else {
		if proto == spd.ProtoAH {
			out.Proposals = spd.DefaultAHProposals(c.caps)
		} else {
			out.Proposals = spd.DefaultESPProposals(c.caps)
		}
		if len(out.Proposals) == 0 {
			return nil, configError("Proposals", "data plane %q has none of the default algorithms for %v; it has %s: name some", c.caps.Name, proto, listAlgorithms(c.caps, proto))
		}
	}
	if len(in.OuterAH) > 0 {
		r := c.parseProposals(spd.ProtoAH, in.OuterAH)
		switch {
		case r.err != nil:
			return nil, inField("OuterAH", r.err)
		case proto != spd.ProtoESP:
			return nil, configError("OuterAH", "is AH around ESP, but Protocol is %v", proto)
		case p.speaks(IKEv2):
			return nil, configError("OuterAH", "cannot be negotiated by IKEv2; set Versions to IKEv1 alone")
		}
		out.Outer = r.proposals
	}
	if out.Priority == 0 {
		out.Priority = priorityOf(out)
	}
	return pc, nil
}

// parseSelectors parses one side; an empty list is dynamic.
func parseSelectors(list []string) (sel []spd.TrafficSelector, dynamic bool, err error) {
	if len(list) == 0 {
		return nil, true, nil
	}
	if len(list) > spd.MaxSelectors {
		return nil, false, fmt.Errorf("%d selectors are more than a message can carry, %d", len(list), spd.MaxSelectors)
	}
	for i, s := range list {
		if s == "dynamic" {
			dynamic = true
			continue
		}
		ts, err := spd.ParseTrafficSelector(s)
		if err != nil {
			return nil, false, &ConfigError{Field: fmt.Sprintf("[%d]", i), Err: err}
		}
		sel = append(sel, ts)
	}
	return sel, dynamic, nil
}

func samePairs(local, remote []spd.TrafficSelector) bool {
	for _, l := range local {
		for _, r := range remote {
			if (spd.Selector{Local: l, Remote: r}).Valid() == nil {
				return true
			}
		}
	}
	return false
}

// priorityOf puts the policies of narrower selectors first. The numbers are
// even, so that a trap fits behind the policy it waits for and before those of
// the next wider selectors.
func priorityOf(c *ike.ChildConfig) uint32 {
	const base = 1000
	width := func(list []spd.TrafficSelector) (w uint32) {
		for _, ts := range list {
			bits := uint32(128)
			if p := ts.SmallestPrefix(); p.IsValid() {
				bits = uint32(p.Addr().BitLen() - p.Bits())
				if ts.Is4() {
					bits *= 4 // a /0 is as wide in either family
				}
			}
			bits *= 4
			if ts.Protocol == 0 {
				bits += 2
			}
			if ts.Ports == spd.AnyPort {
				bits++
			}
			w = max(w, bits)
		}
		return w
	}
	return base + 2*(width(c.Local)+width(c.Remote))
}

// trapPolicies are the policies that make packets of a Child wait for it.
func (p *peer) trapPolicies(names []string) []spd.Policy {
	var ps []spd.Policy
	for _, c := range p.children {
		if c.ReqID == 0 || c.LocalDynamic || c.RemoteDynamic || !slices.Contains(names, c.Name) {
			continue
		}
		proto := c.Proposals[0].Protocol
		for _, l := range c.Local {
			for _, r := range c.Remote {
				sel := spd.Selector{Local: l, Remote: r}
				if sel.Valid() != nil {
					continue
				}
				out := spd.Policy{Direction: spd.Out, Selector: sel, Action: spd.ActionTrap, Priority: c.Priority + 1,
					ReqID: c.ReqID, Protocol: proto, Mode: c.Mode, Local: p.local, Remote: p.addr}
				in := out
				in.Direction, in.Action = spd.In, spd.ActionProtect
				ps = append(ps, out, in)
			}
		}
	}
	return ps
}
