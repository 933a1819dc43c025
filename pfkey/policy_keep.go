package pfkey

import (
	"context"
	"errors"
	"slices"

	"github.com/racoon3/racoon/spd"
)

var _ spd.PolicyKeeper = (*DataPlane)(nil)

// AdoptPolicies implements [spd.PolicyKeeper]. A policy of the kernel is one's
// own if its key, type, request IDs and, where there is one, priority are.
// Addresses and the shape of bundles depend on SAs that are gone, and are set
// as they would be without them. Of request IDs above [MaxReqID] the kernel's
// number is another in each life, and is not compared.
func (p *DataPlane) AdoptPolicies(ctx context.Context, owner spd.Owner, list []spd.Policy) ([]spd.Policy, error) {
	p.policyMu.Lock()
	defer p.policyMu.Unlock()
	if err := p.lock(ctx); err != nil {
		return nil, err
	}
	p.mu.Unlock()
	s := &p.policies
	if len(s.set.Get(owner)) > 0 {
		return nil, errors.New("pfkey: the owner has policies already")
	}
	order, there, err := p.dumpPolicies(ctx)
	if err != nil {
		return nil, err
	}
	var adopted []spd.Policy
	wanted := map[kernelKey][]spd.Policy{}
	ours := map[kernelKey]bool{}
	for i := range list {
		keys, err := p.d.keys(&list[i])
		if err != nil {
			continue // it was never installed by this data plane
		}
		found := false
		for j := range keys {
			if e := there[keys[j]]; e != nil && p.isOurs(e, &keys[j], &list[i]) {
				found, ours[keys[j]] = true, true
			}
		}
		if !found || slices.Contains(adopted, list[i]) {
			continue
		}
		adopted = append(adopted, list[i])
		for _, k := range keys {
			wanted[k] = append(wanted[k], list[i])
		}
	}
	under, err := p.loadDisplaced()
	if err != nil {
		return nil, err
	}
	change, err := s.set.Set(owner, adopted)
	if err != nil {
		return nil, err
	}
	add := map[spd.Policy]bool{}
	for _, sp := range change.Add {
		add[sp] = true
	}
	// What is there comes first, in the kernel's order, then what is missing.
	var done []*claimed
	claim := func(k kernelKey, e *PolicyEntry) error {
		for _, sp := range wanted[k] {
			if !add[sp] {
				continue
			}
			if e != nil && s.keys[k] == nil {
				p.found(k, e, &sp)
				s.keys[k].under = under[placeOf(&k)]
			}
			x := &claimed{key: k, policy: sp}
			if err := p.claim(ctx, x); err != nil {
				return err
			}
			done = append(done, x)
		}
		delete(wanted, k)
		return nil
	}
	for _, k := range order {
		if ours[k] && err == nil {
			err = claim(k, there[k])
		}
	}
	for i := range adopted {
		keys, _ := p.d.keys(&adopted[i])
		for _, k := range keys {
			if wanted[k] != nil && err == nil {
				err = claim(k, nil)
			}
		}
	}
	if err != nil {
		for _, x := range done {
			p.leave(x)
		}
		_, _ = s.set.Set(owner, nil)
		return nil, err
	}
	return adopted, nil
}

// dumpPolicies returns the kernel's policies by their keys, and these in the
// kernel's order.
func (p *DataPlane) dumpPolicies(ctx context.Context) (order []kernelKey, there map[kernelKey]*PolicyEntry, err error) {
	for tries := 0; ; tries++ {
		order, there, err = nil, map[kernelKey]*PolicyEntry{}, nil
		for e, derr := range p.c.SPDDump(ctx) {
			if err = derr; err != nil {
				break
			}
			if !e.Src.IsValid() || !e.Dst.IsValid() {
				continue
			}
			c := *e
			c.Policy.Requests = slices.Clone(e.Policy.Requests)
			k := kernelKey{dir: e.Policy.Dir, src: e.Src.Masked(), dst: e.Dst.Masked(), sport: e.SrcPort, dport: e.DstPort, proto: e.Proto}
			if k.dir < DirIn || k.dir > DirForward {
				continue // a socket's
			}
			order = append(order, k)
			there[k] = &c
		}
		if !errors.Is(err, ErrIncomplete) || tries == 3 {
			return order, there, err
		}
	}
}

// isOurs reports whether a policy of the kernel is what this data plane makes
// of a policy.
func (p *DataPlane) isOurs(e *PolicyEntry, k *kernelKey, sp *spd.Policy) bool {
	switch sp.Action {
	case spd.ActionDiscard:
		if e.Policy.Type != PolicyDiscard {
			return false
		}
	case spd.ActionBypass:
		if e.Policy.Type != PolicyNone {
			return false
		}
	default:
		if e.Policy.Type != PolicyIPsec || len(e.Policy.Requests) == 0 {
			return false
		}
		for _, r := range e.Policy.Requests {
			// Of a request that is not unique some kernels forget the ID.
			if sp.ReqID <= MaxReqID && r.ReqID != sp.ReqID && (r.ReqID != 0 || r.Level == LevelUnique) {
				return false
			}
		}
	}
	return !p.d.priority || e.Policy.Priority == k.kernelPriority(sp)
}

// found notes a policy that is in the kernel, before it is claimed.
func (p *DataPlane) found(k kernelKey, e *PolicyEntry, sp *spd.Policy) {
	s := &p.policies
	s.serial++
	kp := &kernelPolicy{key: k, serial: s.serial}
	s.keys[k] = kp
	entry := *e
	s.note(kp, sp, &entry, p.d.priority)
	if last := s.last[k.dir]; !p.d.priority && (last == nil || comparePrecedence(&k, sp, &last.key, &last.policy) >= 0) {
		s.last[k.dir] = &claimed{key: k, policy: *sp}
	}
}

// leave takes a claim back, and leaves in the kernel what is there.
func (p *DataPlane) leave(x *claimed) {
	s := &p.policies
	kp := s.keys[x.key]
	if kp == nil {
		return
	}
	p.drop(kp, &x.policy)
	if len(kp.want) == 0 {
		s.index(kp, false)
		delete(s.keys, kp.key)
	}
}

// AbandonPolicies implements [spd.PolicyKeeper].
func (p *DataPlane) AbandonPolicies(ctx context.Context, owner spd.Owner) error {
	p.policyMu.Lock()
	defer p.policyMu.Unlock()
	if err := p.lock(ctx); err != nil {
		return err
	}
	p.mu.Unlock()
	change, err := p.policies.set.Set(owner, nil)
	if err != nil {
		return err
	}
	gone, err := p.expand(change.Remove)
	if err != nil {
		return err
	}
	var errs error
	for _, x := range gone {
		p.leave(x)
		if kp := p.policies.keys[x.key]; kp != nil {
			errs = errors.Join(errs, p.put(ctx, kp))
		}
	}
	return errs
}

// InstalledPolicies implements [spd.PolicyKeeper]. Of several policies that
// share a place in the kernel it lists the one that counts.
func (p *DataPlane) InstalledPolicies(ctx context.Context) ([]spd.InstalledPolicy, error) {
	p.policyMu.Lock()
	defer p.policyMu.Unlock()
	if err := p.lock(ctx); err != nil {
		return nil, err
	}
	p.mu.Unlock()
	order, there, err := p.dumpPolicies(ctx)
	if err != nil {
		return nil, err
	}
	var r []spd.InstalledPolicy
	for _, k := range order {
		kp := p.policies.keys[k]
		if kp == nil || !kp.there {
			continue
		}
		d := spd.In
		switch k.dir {
		case DirOut:
			d = spd.Out
		case DirForward:
			d = spd.Forward
		}
		r = append(r, spd.InstalledPolicy{Policy: kp.policy, Direction: d, ID: there[k].Policy.ID})
	}
	return r, nil
}
