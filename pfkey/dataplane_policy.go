package pfkey

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/racoon3/racoon/spd"
)

// policies is the SPD as far as it is ours. It is guarded by policyMu.
type policies struct {
	set     spd.PolicySet
	keys    map[kernelKey]*kernelPolicy
	byID    map[uint32]*kernelPolicy
	byReqID map[uint32]map[*kernelPolicy]bool
	serial  uint64

	// order is the kernel's order, where that is the order of installation, and
	// last of all that were put into it the one to be met last: what is to be met
	// after it needs nothing moved.
	order map[Dir][]*kernelPolicy
	last  map[Dir]*claimed
}

// kernelPolicy is a policy in the kernel and those of key management that want
// it: the best of them is what is there.
type kernelPolicy struct {
	key    kernelKey
	want   []spd.Policy
	serial uint64
	there  bool
	entry  PolicyEntry  // as it is in the kernel
	policy spd.Policy   // the best, which entry is of
	under  *PolicyEntry // somebody else's, to be put back
}

func (s *policies) init() {
	s.keys, s.byID, s.byReqID = map[kernelKey]*kernelPolicy{}, map[uint32]*kernelPolicy{}, map[uint32]map[*kernelPolicy]bool{}
	s.order, s.last = map[Dir][]*kernelPolicy{}, map[Dir]*claimed{}
}

// best is the policy that is to be in the kernel.
func (kp *kernelPolicy) best() *spd.Policy {
	b := &kp.want[0]
	for i := range kp.want[1:] {
		if before(&kp.want[i+1], b) {
			b = &kp.want[i+1]
		}
	}
	return b
}

// with returns a policy of a request ID that is in the kernel, nil if there is
// none.
func (s *policies) with(reqID uint32, ok func(*kernelPolicy) bool) *kernelPolicy {
	for kp := range s.byReqID[reqID] {
		if kp.there && ok(kp) {
			return kp
		}
	}
	return nil
}

// SetPolicies implements [spd.DataPlane]. A policy that somebody else has put
// into the kernel with the same selector and direction makes room, and is put
// back when the own one goes.
func (p *DataPlane) SetPolicies(ctx context.Context, owner spd.Owner, list []spd.Policy) error {
	for i := range list {
		if err := p.caps.CheckPolicy(&list[i]); err != nil {
			return err
		}
	}
	p.policyMu.Lock()
	defer p.policyMu.Unlock()
	if err := p.lock(ctx); err != nil {
		return err
	}
	p.mu.Unlock()
	change, err := p.policies.set.Set(owner, list)
	if err != nil {
		return err
	}
	if err := p.apply(ctx, &change); err != nil {
		_, _ = p.policies.set.Set(owner, change.Previous)
		return err
	}
	refreshed := map[uint32]bool{0: true}
	var errs error
	for i := range list {
		if id := list[i].ReqID; !refreshed[id] {
			refreshed[id] = true
			errs = errors.Join(errs, p.refreshPoliciesLocked(ctx, id))
		}
	}
	if errs == nil {
		return nil
	}
	undo, cancel := cleanup(ctx)
	defer cancel()
	if back, err := p.policies.set.Set(owner, change.Previous); err == nil {
		errs = errors.Join(errs, p.apply(undo, &back))
	}
	return errs
}

// apply carries a change out, all of it or nothing: what is new first.
func (p *DataPlane) apply(ctx context.Context, c *spd.PolicyChange) error {
	adding, err := p.expand(c.Add)
	if err != nil {
		return err
	}
	removing, err := p.expand(c.Remove)
	if err != nil {
		return err
	}
	for _, x := range adding {
		if err = p.claim(ctx, x); err != nil {
			break
		}
		x.done = true
	}
	if err == nil {
		for _, x := range removing {
			if err = p.unclaim(ctx, x); err != nil {
				break
			}
			x.done = true
		}
	}
	if err == nil {
		return nil
	}
	undo, cancel := cleanup(ctx)
	defer cancel()
	for _, x := range removing {
		if x.done {
			err = errors.Join(err, p.claim(undo, x))
		}
	}
	for _, x := range adding {
		if x.done {
			err = errors.Join(err, p.unclaim(undo, x))
		}
	}
	return err
}

// claimed is one kernel policy that one policy of key management wants.
type claimed struct {
	key    kernelKey
	policy spd.Policy
	done   bool
}

func (p *DataPlane) expand(list []spd.Policy) (r []*claimed, err error) {
	for i := range list {
		keys, err := p.d.keys(&list[i])
		if err != nil {
			return nil, err
		}
		for _, k := range keys {
			r = append(r, &claimed{key: k, policy: list[i]})
		}
	}
	if !p.d.priority {
		// Behind one another they need not be moved.
		slices.SortStableFunc(r, func(a, b *claimed) int { return comparePrecedence(&a.key, &a.policy, &b.key, &b.policy) })
	}
	return r, nil
}

func comparePrecedence(ak *kernelKey, a *spd.Policy, bk *kernelKey, b *spd.Policy) int {
	return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(bk.specificity(), ak.specificity()))
}

// claim adds a policy to those that want a kernel policy.
func (p *DataPlane) claim(ctx context.Context, x *claimed) error {
	s := &p.policies
	kp := s.keys[x.key]
	if kp == nil {
		s.serial++
		kp = &kernelPolicy{key: x.key, serial: s.serial}
		s.keys[x.key] = kp
	}
	p.mu.Lock()
	_, err := p.reqs.take(x.policy.ReqID)
	p.mu.Unlock()
	was := kp.there
	if err == nil {
		kp.want = append(kp.want, x.policy)
		if err = p.put(ctx, kp); err == nil {
			return nil
		}
		p.drop(kp, &x.policy)
	}
	undo, cancel := cleanup(ctx)
	defer cancel()
	switch {
	case len(kp.want) > 0:
		if kp.there && err != nil {
			err = errors.Join(err, p.put(undo, kp))
		}
	case kp.there && !was:
		// It was added, and something behind it could not be moved.
		if derr := p.takeAway(undo, kp); derr != nil {
			err = errors.Join(err, translate(derr))
		}
		fallthrough
	default:
		s.index(kp, false)
		delete(s.keys, kp.key)
	}
	return err
}

// drop takes a policy from those that want a kernel policy.
func (p *DataPlane) drop(kp *kernelPolicy, sp *spd.Policy) {
	i := slices.Index(kp.want, *sp)
	if i < 0 {
		return
	}
	kp.want = slices.Delete(kp.want, i, i+1)
	p.mu.Lock()
	p.reqs.give(sp.ReqID)
	p.mu.Unlock()
}

// unclaim takes a policy from those that want a kernel policy, and the kernel
// policy away with the last.
func (p *DataPlane) unclaim(ctx context.Context, x *claimed) error {
	s := &p.policies
	kp := s.keys[x.key]
	if kp == nil {
		return nil
	}
	if len(kp.want) > 1 {
		p.drop(kp, &x.policy)
		err := p.put(ctx, kp)
		if err != nil {
			p.mu.Lock()
			_, _ = p.reqs.take(x.policy.ReqID)
			p.mu.Unlock()
			kp.want = append(kp.want, x.policy)
		}
		return err
	}
	if err := p.takeAway(ctx, kp); err != nil {
		return translatePolicy(err, &x.policy)
	}
	p.drop(kp, &x.policy)
	s.index(kp, false)
	delete(s.keys, kp.key)
	return nil
}

// notThere reports whether a deletion failed because the policy is not in the
// kernel, where the error does not say so: NetBSD and macOS answer EINVAL.
func (p *DataPlane) notThere(ctx context.Context, err error, kp *kernelPolicy) bool {
	if !errors.Is(err, EINVAL) {
		return false
	}
	_, err = p.c.SPDGet(ctx, kp.key.dir, kp.entry.Policy.ID)
	return missing(err)
}

// index keeps the indexes of a kernel policy that is there, or no longer.
func (s *policies) index(kp *kernelPolicy, there bool) {
	if kp.there {
		if s.byID[kp.entry.Policy.ID] == kp {
			delete(s.byID, kp.entry.Policy.ID)
		}
		id := kp.policy.ReqID
		delete(s.byReqID[id], kp)
		if len(s.byReqID[id]) == 0 {
			delete(s.byReqID, id)
		}
		if i := slices.Index(s.order[kp.key.dir], kp); i >= 0 {
			s.order[kp.key.dir] = slices.Delete(s.order[kp.key.dir], i, i+1)
		}
	}
	kp.there = there
}

// put makes the kernel have the best of the policies that want a kernel policy.
func (p *DataPlane) put(ctx context.Context, kp *kernelPolicy) error {
	sp := kp.best()
	p.mu.Lock()
	reqID := p.reqs.kernel(sp.ReqID)
	p.mu.Unlock()
	e, err := p.policyEntry(&kp.key, sp, reqID)
	if err != nil {
		return err
	}
	if kp.there && samePolicy(&e, &kp.entry) {
		p.policies.note(kp, sp, &kp.entry, p.d.priority)
		return nil
	}
	if err := p.write(ctx, kp, &e, sp); err != nil {
		return err
	}
	if p.d.priority {
		return nil
	}
	return p.moveBehind(ctx, kp)
}

func samePolicy(a, b *PolicyEntry) bool {
	return a.Policy.Type == b.Policy.Type && a.Policy.Priority == b.Policy.Priority && slices.Equal(a.Policy.Requests, b.Policy.Requests)
}

// write adds a policy to the kernel, or replaces it in one step.
func (p *DataPlane) write(ctx context.Context, kp *kernelPolicy, e *PolicyEntry, sp *spd.Policy) error {
	e.Policy.ID = 0
	var id uint32
	var err error
	if kp.there {
		id, err = p.c.SPDUpdate(ctx, e)
	} else {
		id, err = p.c.SPDAdd(ctx, e)
		if errors.Is(err, EEXIST) {
			id, err = p.displace(ctx, kp, e)
		} else if err == nil {
			p.forgetDisplaced(&kp.key) // of an earlier life, gone since
		}
	}
	if err != nil {
		if !kp.there && errors.Is(err, ErrNoAnswer) {
			undo, cancel := cleanup(ctx)
			defer cancel()
			// It may be there.
			if kp.under != nil {
				_, _ = p.c.SPDUpdate(undo, kp.under)
			} else {
				_ = p.c.SPDDelete(undo, e)
			}
		}
		return translatePolicy(err, sp)
	}
	e.Policy.ID = id
	p.policies.note(kp, sp, e, p.d.priority)
	return nil
}

// note remembers what is in the kernel now.
func (s *policies) note(kp *kernelPolicy, sp *spd.Policy, e *PolicyEntry, priority bool) {
	inPlace := kp.there && e == &kp.entry
	entry, policy := *e, *sp
	if !inPlace {
		s.index(kp, true)
	} else if kp.policy.ReqID != policy.ReqID {
		delete(s.byReqID[kp.policy.ReqID], kp)
	}
	kp.entry, kp.policy = entry, policy
	s.byID[entry.Policy.ID] = kp
	if s.byReqID[policy.ReqID] == nil {
		s.byReqID[policy.ReqID] = map[*kernelPolicy]bool{}
	}
	s.byReqID[policy.ReqID][kp] = true
	if !priority && !inPlace {
		s.order[kp.key.dir] = append(s.order[kp.key.dir], kp)
	}
}

// moveBehind restores the order of precedence after kp was put at the end of a
// list without priorities: policies that overlap with it and come later are put
// behind it, and so on. A policy is never away meanwhile.
func (p *DataPlane) moveBehind(ctx context.Context, kp *kernelPolicy) error {
	later := func(a, b *kernelPolicy) int {
		return cmp.Or(comparePrecedence(&a.key, &a.policy, &b.key, &b.policy), cmp.Compare(a.serial, b.serial))
	}
	dir := kp.key.dir
	if last := p.policies.last[dir]; last == nil || comparePrecedence(&kp.key, &kp.policy, &last.key, &last.policy) >= 0 && kp.serial == p.policies.serial {
		p.policies.last[dir] = &claimed{key: kp.key, policy: kp.policy}
		return nil
	}
	var behind []*kernelPolicy
	for _, o := range p.policies.order[kp.key.dir] {
		if o != kp && later(kp, o) < 0 {
			behind = append(behind, o)
		}
	}
	slices.SortFunc(behind, later)
	moved := []*kernelPolicy{kp}
	for _, o := range behind {
		if !slices.ContainsFunc(moved, func(m *kernelPolicy) bool { return m.key.overlaps(&o.key) }) {
			continue
		}
		e := o.entry
		if err := p.write(ctx, o, &e, &o.policy); err != nil {
			return err
		}
		moved = append(moved, o)
	}
	return nil
}

func translatePolicy(err error, sp *spd.Policy) error {
	if errors.Is(err, EINVAL) {
		return fmt.Errorf("%w: the kernel refuses %v: %w", spd.ErrUnsupported, sp, err)
	}
	return translate(err)
}

// refreshPolicies makes the policies of a request ID fit its bundles, as far as
// that can be done; the next change of them tries again.
func (p *DataPlane) refreshPolicies(ctx context.Context, reqID uint32) {
	p.policyMu.Lock()
	defer p.policyMu.Unlock()
	_ = p.refreshPoliciesLocked(ctx, reqID)
}

func (p *DataPlane) refreshPoliciesLocked(ctx context.Context, reqID uint32) error {
	if reqID == 0 {
		return nil
	}
	list := make([]*kernelPolicy, 0, len(p.policies.byReqID[reqID]))
	for kp := range p.policies.byReqID[reqID] {
		list = append(list, kp)
	}
	slices.SortFunc(list, func(a, b *kernelPolicy) int { return cmp.Compare(a.serial, b.serial) })
	var errs error
	for _, kp := range list {
		errs = errors.Join(errs, p.put(ctx, kp))
	}
	return errs
}

// removePolicies removes all that are ours.
func (p *DataPlane) removePolicies(ctx context.Context) error {
	p.policyMu.Lock()
	defer p.policyMu.Unlock()
	var errs error
	for _, kp := range p.policies.keys {
		if !kp.there {
			continue
		}
		if err := p.takeAway(ctx, kp); err != nil && !errors.Is(err, EINVAL) {
			errs = errors.Join(errs, err)
			if ctx.Err() != nil || errors.Is(err, ErrClosed) {
				break
			}
		}
	}
	p.policies = policies{}
	p.policies.init()
	return errs
}
