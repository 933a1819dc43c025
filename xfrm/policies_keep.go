package xfrm

import (
	"context"
	"errors"
	"net/netip"

	"github.com/racoon3/racoon/spd"
)

var _ spd.PolicyKeeper = (*DataPlane)(nil)

// AdoptPolicies implements [spd.PolicyKeeper]. A policy of the kernel is one's
// own if its key, action, priority and the ReqIDs of its templates are.
// Addresses and the shape of bundles depend on SAs that are gone, and are set
// as they would be without them.
func (p *DataPlane) AdoptPolicies(ctx context.Context, owner spd.Owner, list []spd.Policy) ([]spd.Policy, error) {
	if err := p.lockPolicies(ctx); err != nil {
		return nil, err
	}
	defer p.unlockPolicies()
	if len(p.policies.set.Get(owner)) > 0 {
		return nil, errors.New("xfrm: the owner has policies already")
	}
	there := map[PolicyKey]*Policy{}
	for k, err := range p.client.Policies(ctx) {
		if err != nil {
			return nil, err
		}
		there[plainKey(k)] = k
	}
	var adopted []spd.Policy
	entries := map[spd.Policy]*policyEntry{}
	found := map[PolicyKey]*Policy{}
	for i := range list {
		e, err := p.newEntry(&list[i])
		if err != nil {
			continue // it was never installed by this data plane
		}
		ours := false
		for _, k := range e.keys {
			if pol := there[k]; pol != nil && p.policies.isOurs(pol, &k, e) {
				ours, found[k] = true, pol
			}
		}
		if ours {
			adopted = append(adopted, list[i])
			entries[list[i]] = e
		}
	}
	under, err := p.loadDisplaced()
	if err != nil {
		return nil, err
	}
	change, err := p.policies.set.Set(owner, adopted)
	if err != nil {
		return nil, err
	}
	changed := map[*slot]bool{}
	for _, pol := range change.Add {
		p.policies.claim(entries[pol], changed)
	}
	slots := make([]*slot, 0, len(changed))
	for s := range changed {
		if pol := found[s.key]; pol != nil && !s.has {
			var plain bool
			s.content, plain = contentOf(pol)
			s.has, s.unknown, s.under = true, !plain, under[placeOf(&s.key)]
		}
		slots = append(slots, s)
	}
	if err := p.applySlots(ctx, slots); err != nil {
		for _, pol := range change.Add {
			p.policies.unclaim(p.policies.entries[pol], changed)
		}
		_, _ = p.policies.set.Set(owner, nil)
		p.policies.abandon(slots)
		return nil, err
	}
	return adopted, nil
}

// plainKey is the key of a policy as those of this data plane are.
func plainKey(p *Policy) PolicyKey {
	k := p.Key()
	k.Selector.Src, k.Selector.Dst = k.Selector.Src.Masked(), k.Selector.Dst.Masked()
	return k
}

// isOurs reports whether a policy of the kernel is what a policy of this data
// plane was in a slot.
func (p *policies) isOurs(pol *Policy, k *PolicyKey, e *policyEntry) bool {
	want := p.content(k, e)
	if pol.Action != want.action || pol.Priority != want.priority || len(pol.Templates) > 0 != (want.links > 0) {
		return false
	}
	for i := range pol.Templates {
		// An inbound policy that several share takes the SAs of any ReqID.
		if id := pol.Templates[i].ReqID; id != e.policy.ReqID && (id != 0 || k.Dir == DirOut) {
			return false
		}
	}
	return true
}

// contentOf is what the kernel has in a slot, and false if it has more than a
// content says.
func contentOf(pol *Policy) (c content, plain bool) {
	c = content{action: pol.Action, priority: pol.Priority, links: len(pol.Templates)}
	if c.links > maxLinks {
		return c, false
	}
	if c.links > 1 {
		c.more = new([maxLinks - 1]template)
	}
	plain = pol.Flags == 0 && pol.Share == 0
	specified := func(a netip.Addr) netip.Addr {
		if a.IsValid() && a.IsUnspecified() {
			return netip.Addr{}
		}
		return a
	}
	for i := range pol.Templates {
		t := &pol.Templates[i]
		family := familyOfAny(t.Dst, t.Src)
		if family == familyUnspec {
			family = t.AnyFamily
		}
		*c.at(i) = template{src: specified(t.Src), dst: specified(t.Dst), family: family, proto: t.Proto, mode: t.Mode, reqID: t.ReqID, optional: t.Optional}
		plain = plain && t.SPI == 0 && t.Share == 0 && t.Auth == 0 && t.Crypt == 0 && t.Comp == 0
	}
	return c, plain
}

// abandon forgets the slots that nobody claims. The kernel keeps what is in
// them.
func (p *policies) abandon(slots []*slot) {
	for _, s := range slots {
		if len(s.claims) == 0 {
			s.has, s.unknown, s.content, s.under = false, false, content{}, nil
		}
	}
	p.sweep(slots)
}

// AbandonPolicies implements [spd.PolicyKeeper].
func (p *DataPlane) AbandonPolicies(ctx context.Context, owner spd.Owner) error {
	if err := p.lockPolicies(ctx); err != nil {
		return err
	}
	defer p.unlockPolicies()
	change, err := p.policies.set.Set(owner, nil)
	if err != nil {
		return err
	}
	changed := map[*slot]bool{}
	for _, pol := range change.Remove {
		p.policies.unclaim(p.policies.entries[pol], changed)
	}
	var empty, rest []*slot
	for s := range changed {
		if len(s.claims) == 0 {
			empty = append(empty, s)
		} else {
			rest = append(rest, s)
		}
	}
	p.policies.abandon(empty)
	return p.applySlots(ctx, rest)
}

// InstalledPolicies implements [spd.PolicyKeeper]. Of several policies that
// share a place in the kernel it lists the one that counts.
func (p *DataPlane) InstalledPolicies(ctx context.Context) ([]spd.InstalledPolicy, error) {
	if err := p.lockPolicies(ctx); err != nil {
		return nil, err
	}
	defer p.unlockPolicies()
	var r []spd.InstalledPolicy
	for k, err := range p.client.Policies(ctx) {
		if err != nil {
			return nil, err
		}
		s := p.policies.slots[plainKey(k)]
		if s == nil || !s.has || len(s.claims) == 0 {
			continue
		}
		d := [...]spd.Direction{DirIn: spd.In, DirOut: spd.Out, DirForward: spd.Forward}[k.Dir]
		r = append(r, spd.InstalledPolicy{Policy: s.best().policy, Direction: d, ID: k.Index})
	}
	return r, nil
}
