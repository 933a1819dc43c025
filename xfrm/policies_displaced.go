package xfrm

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"

	"github.com/racoon3/racoon/spd"
)

// The kernel has one policy for a selector, direction, mark and interface ID. If
// it is somebody else's, this data plane's own takes its place for a while, and
// it is put back in one step when the own one goes. Nothing that somebody else
// has put there meanwhile is touched.

// displace puts a policy in the place of somebody else's, which is remembered
// first.
func (p *DataPlane) displace(ctx context.Context, s *slot, want *Policy) error {
	under, err := p.client.Policy(ctx, s.key)
	if isErrno(err, ENOENT) { // it has gone meanwhile
		return p.client.AddPolicy(ctx, want)
	}
	if err != nil {
		return err
	}
	under.Index, under.Usage = 0, Usage{}
	if d := p.cfg.Displaced; d != nil {
		content, err := json.Marshal(under)
		if err == nil {
			err = d.Put(placeOf(&s.key), content)
		}
		if err != nil {
			return fmt.Errorf("xfrm: remembering a policy of somebody else: %w", err)
		}
	}
	p.log.Info("xfrm: in the place of a policy that is there, until this one goes", "policy", s.key.Selector.String(), "dir", s.key.Dir.String())
	s.under = under
	return p.client.SetPolicy(ctx, want)
}

// takeAway makes a slot as it was before it was this data plane's: empty, or with
// what somebody else had there. What is not this data plane's any more stays.
func (p *DataPlane) takeAway(ctx context.Context, s *slot) error {
	if !s.unknown {
		now, err := p.client.Policy(ctx, s.key)
		switch {
		case isErrno(err, ENOENT):
			p.putBack(s)
			return nil
		case err != nil:
			return err
		case !s.content.isIn(now):
			p.log.Info("xfrm: a policy that somebody else has changed stays", "policy", s.key.Selector.String(), "dir", s.key.Dir.String())
			p.putBack(s)
			return nil
		}
	}
	var err error
	if s.under != nil {
		err = p.client.SetPolicy(ctx, s.under)
	} else {
		err = unless(ENOENT, p.client.DeletePolicy(ctx, s.key))
	}
	if err != nil {
		return err
	}
	p.putBack(s)
	return nil
}

// putBack forgets what was displaced.
func (p *DataPlane) putBack(s *slot) {
	if s.under != nil {
		s.under = nil
		p.forgetDisplaced(&s.key)
	}
}

// forgetDisplaced forgets what was displaced in a place. That the store still
// remembers it is told and no more.
func (p *DataPlane) forgetDisplaced(k *PolicyKey) {
	if d := p.cfg.Displaced; d != nil {
		if err := d.Remove(placeOf(k)); err != nil {
			p.log.Error("xfrm: a displaced policy is still remembered", "err", err)
		}
	}
}

// isIn reports whether a policy of the kernel can be this content. Addresses are
// not compared: the kernel moves them itself (MIGRATE).
func (c *content) isIn(pol *Policy) bool {
	if pol.Action != c.action || pol.Priority != c.priority || len(pol.Templates) != c.links {
		return false
	}
	for i := range pol.Templates {
		t, o := &pol.Templates[i], c.at(i)
		if t.Proto != o.proto || t.Mode != o.mode || t.ReqID != o.reqID {
			return false
		}
	}
	return true
}

// placeOf is a slot's name in a store.
func placeOf(k *PolicyKey) string {
	b, _ := json.Marshal(k) // of such fields it does not fail
	return string(b)
}

// loadDisplaced takes up what an earlier life has displaced.
func (p *DataPlane) loadDisplaced() (map[string]*Policy, error) {
	if p.cfg.Displaced == nil {
		return nil, nil
	}
	stored, err := p.cfg.Displaced.Load()
	if err != nil {
		return nil, fmt.Errorf("xfrm: policies of somebody else that were displaced: %w", err)
	}
	under := make(map[string]*Policy, len(stored))
	for place, content := range stored {
		pol := new(Policy)
		if err := json.Unmarshal(content, pol); err != nil {
			return nil, fmt.Errorf("xfrm: a policy of somebody else that was displaced: %w", err)
		}
		under[place] = pol
	}
	return under, nil
}

var _ spd.PolicyObserver = (*DataPlane)(nil)

// ForeignPolicies implements [spd.PolicyObserver].
func (p *DataPlane) ForeignPolicies(ctx context.Context) ([]spd.InstalledPolicy, error) {
	if err := p.lockPolicies(ctx); err != nil {
		return nil, err
	}
	defer p.unlockPolicies()
	type found struct {
		priority, index uint32
		spd.Policy
	}
	var all []found
	for k, err := range p.client.Policies(ctx) {
		if err != nil {
			return nil, err
		}
		if k.Dir > DirForward || k.Type != PolicyMain {
			continue
		}
		if s := p.policies.slots[plainKey(k)]; s != nil && s.has && s.content.isIn(k) {
			continue
		}
		all = append(all, found{k.Priority, k.Index, foreignPolicy(k)})
	}
	slices.SortStableFunc(all, func(a, b found) int {
		return cmp.Or(cmp.Compare(a.priority, b.priority), cmp.Compare(a.index, b.index))
	})
	list := make([]spd.InstalledPolicy, len(all))
	for i := range all {
		list[i] = spd.InstalledPolicy{Policy: all[i].Policy, Direction: all[i].Direction, ID: all[i].index}
	}
	return list, nil
}

// foreignPolicy describes a policy that somebody else has set.
func foreignPolicy(k *Policy) spd.Policy {
	dir := [...]spd.Direction{DirIn: spd.In, DirOut: spd.Out, DirForward: spd.Forward}[min(k.Dir, DirForward)]
	pol := spd.Policy{Direction: dir, Selector: unselect(k.Dir, &k.Selector), Action: spd.ActionProtect, Priority: k.Priority,
		Mark: spd.Mark(k.Mark), InterfaceID: k.InterfaceID}
	n := len(k.Templates)
	switch {
	case k.Action == ActionBlock:
		pol.Action = spd.ActionDiscard
		return pol
	case n == 0:
		pol.Action = spd.ActionBypass
		return pol
	}
	t := &k.Templates[n-1]
	pol.ReqID, pol.Mode, pol.Protocol = t.ReqID, spd.ModeTransport, protocolOf(t.Proto)
	if first := &k.Templates[0]; first.Mode == ModeTunnel {
		pol.Mode, pol.Local, pol.Remote = spd.ModeTunnel, first.Src, first.Dst
		if dir != spd.Out {
			pol.Local, pol.Remote = pol.Remote, pol.Local
		}
		for _, a := range []*netip.Addr{&pol.Local, &pol.Remote} {
			if a.IsValid() && a.IsUnspecified() {
				*a = netip.Addr{}
			}
		}
	}
	for i := range min(n-1, len(pol.Inner)) {
		pol.Inner[i] = protocolOf(k.Templates[i].Proto)
	}
	for i := range k.Templates {
		pol.OptionalInbound = pol.OptionalInbound || k.Templates[i].Optional && k.Templates[i].Proto != ProtoIPComp
	}
	return pol
}

func protocolOf(proto uint8) spd.Protocol {
	switch proto {
	case ProtoAH:
		return spd.ProtoAH
	case ProtoIPComp:
		return spd.ProtoIPComp
	}
	return spd.ProtoESP
}

// AcquireReqID implements [spd.PolicyObserver].
func (p *DataPlane) AcquireReqID(id spd.AcquireID) (reqID uint32, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := p.acquires.byID[id]
	if w == nil {
		return 0, false
	}
	return w.reqID, true
}

// TakeUpAcquires makes events of the packets that the kernel has asked for SAs
// for before this data plane was there. It does not ask for them again as long
// as [Config.AcquireExpires].
func (p *DataPlane) TakeUpAcquires(ctx context.Context) { p.resynchronize(ctx) }
