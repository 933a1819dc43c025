package xfrm

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/racoon3/racoon/spd"
)

// policies are what this data plane has in the kernel's SPD. The kernel has one
// policy for a selector, direction, mark and interface ID: a slot. A slot can
// be claimed by several policies of package spd, such as the trap of a peer and
// the policy of its Child SA; the first of them in precedence is in the kernel.
type policies struct {
	set     spd.PolicySet
	entries map[spd.Policy]*policyEntry
	slots   map[PolicyKey]*slot
	reqs    map[uint32]*reqState
	order   uint64
}

type policyEntry struct {
	policy   spd.Policy
	priority uint32
	order    uint64 // of installation
	keys     []PolicyKey
}

type slot struct {
	claims  []*policyEntry
	content content
	has     bool // the kernel has it
	unknown bool // nobody knows what the kernel has
}

// content is what is in a slot but for its key. It is comparable.
type content struct {
	action    Action
	priority  uint32
	links     int
	templates [maxLinks]template
}

// maxLinks is the longest bundle: IPComp, ESP, AH.
const maxLinks = 3

type template struct {
	src, dst netip.Addr
	family   uint16
	proto    uint8
	mode     Mode
	reqID    uint32
	optional bool
}

// reqState is what the templates of a ReqID depend on besides its policies.
type reqState struct {
	slots map[PolicyKey]int // claimed by policies of the ReqID, so many times
	shape []link            // of its bundles, if they have several transforms
	moved map[movedKey]addrPair
}

// movedKey are the outer addresses of a policy that its SAs do not have any
// more: those that it is known by.
type movedKey struct {
	out  bool
	from addrPair
}

type addrPair struct{ local, remote netip.Addr }

func (p *policies) init() {
	p.entries, p.slots, p.reqs = map[spd.Policy]*policyEntry{}, map[PolicyKey]*slot{}, map[uint32]*reqState{}
}

func (p *policies) req(id uint32) *reqState {
	r := p.reqs[id]
	if r == nil {
		r = &reqState{slots: map[PolicyKey]int{}, moved: map[movedKey]addrPair{}}
		p.reqs[id] = r
	}
	return r
}

// slotKeys are the slots of a ReqID that match, in the order in which they are
// to be changed.
func (r *reqState) slotKeys(match func(PolicyKey) bool) []PolicyKey {
	var keys []PolicyKey
	for k := range r.slots {
		if match == nil || match(k) {
			keys = append(keys, k)
		}
	}
	return keys
}

func (p *DataPlane) lockPolicies(ctx context.Context) error {
	select {
	case p.policyLock <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	p.mu.Lock()
	err := p.ready(ctx)
	p.mu.Unlock()
	if err != nil {
		<-p.policyLock
	}
	return err
}

func (p *DataPlane) unlockPolicies() { <-p.policyLock }

// SetPolicies implements [spd.DataPlane]. An inbound policy becomes one for
// packets to this host and one for packets that it forwards, unless it is of
// transport mode. Where several inbound policies of different ReqIDs have the
// same selector, as during a takeover, packets of each of them are taken.
func (p *DataPlane) SetPolicies(ctx context.Context, owner spd.Owner, list []spd.Policy) error {
	entries := make([]*policyEntry, len(list))
	for i := range list {
		e, err := p.newEntry(&list[i])
		if err != nil {
			return fmt.Errorf("policies[%d]: %w", i, err)
		}
		entries[i] = e
	}
	if err := p.lockPolicies(ctx); err != nil {
		return err
	}
	defer p.unlockPolicies()
	change, err := p.policies.set.Set(owner, list)
	if err != nil {
		return err
	}
	byPolicy := make(map[spd.Policy]*policyEntry, len(entries))
	for _, e := range entries {
		byPolicy[e.policy] = e
	}
	var removed []*policyEntry
	changed := map[PolicyKey]bool{}
	for _, pol := range change.Add {
		p.policies.claim(byPolicy[pol], changed)
	}
	for _, pol := range change.Remove {
		e := p.policies.entries[pol]
		removed = append(removed, e)
		p.policies.unclaim(e, changed)
	}
	keys := make([]PolicyKey, 0, len(changed))
	for k := range changed {
		keys = append(keys, k)
	}
	err = p.applySlots(ctx, keys)
	if err != nil {
		for _, e := range removed {
			p.policies.claimAt(e, changed)
		}
		for _, pol := range change.Add {
			p.policies.unclaim(p.policies.entries[pol], changed)
		}
		_, _ = p.policies.set.Set(owner, change.Previous)
	}
	p.policies.sweep(keys)
	return err
}

// newEntry checks a policy and finds its slots.
func (p *DataPlane) newEntry(pol *spd.Policy) (*policyEntry, error) {
	if err := pol.Valid(); err != nil {
		return nil, err
	}
	if err := p.caps.CheckPolicy(pol); err != nil {
		return nil, err
	}
	protects := pol.Action == spd.ActionProtect || pol.Action == spd.ActionTrap
	tunnel := pol.Mode == spd.ModeTunnel
	switch {
	case pol.Priority > maxPriority:
		return nil, fmt.Errorf("%w: xfrm: Priority %d is above %d", spd.ErrUnsupported, pol.Priority, maxPriority)
	case protects && tunnel && pol.Direction == spd.Out && !pol.Remote.IsValid():
		return nil, fmt.Errorf("%w: Remote: an outbound policy of tunnel mode needs the other end's address", spd.ErrPolicy)
	case protects && pol.Local.IsValid() && pol.Remote.IsValid() && pol.Local.Is4() != pol.Remote.Is4():
		return nil, fmt.Errorf("%w: Local %v and Remote %v are of different families", spd.ErrPolicy, pol.Local, pol.Remote)
	}
	sels, err := selectors(pol.Direction, &pol.Selector, maxSelectors)
	if err != nil {
		return nil, err
	}
	dirs := []Direction{DirIn, DirForward}
	switch {
	case pol.Direction == spd.Out:
		dirs = []Direction{DirOut}
	case pol.Direction == spd.Forward:
		dirs = dirs[1:]
	case protects && !tunnel:
		dirs = dirs[:1] // such packets end here
	}
	e := &policyEntry{policy: *pol, priority: priorityOf(pol)}
	for _, dir := range dirs {
		for _, s := range sels {
			e.keys = append(e.keys, PolicyKey{Selector: s, Dir: dir, Mark: markOf(pol.Mark), InterfaceID: pol.InterfaceID})
		}
	}
	return e, nil
}

// claim adds a policy to its slots.
func (p *policies) claim(e *policyEntry, changed map[PolicyKey]bool) {
	p.order++
	e.order = p.order
	p.claimAt(e, changed)
}

// claimAt is claim with the place that the policy had before.
func (p *policies) claimAt(e *policyEntry, changed map[PolicyKey]bool) {
	p.entries[e.policy] = e
	r := p.req(e.policy.ReqID)
	for _, k := range e.keys {
		s := p.slots[k]
		if s == nil {
			s = &slot{}
			p.slots[k] = s
		}
		s.claims = append(s.claims, e)
		r.slots[k]++
		changed[k] = true
	}
}

func (p *policies) unclaim(e *policyEntry, changed map[PolicyKey]bool) {
	delete(p.entries, e.policy)
	r := p.req(e.policy.ReqID)
	for _, k := range e.keys {
		s := p.slots[k]
		s.claims = slices.DeleteFunc(s.claims, func(o *policyEntry) bool { return o == e })
		if r.slots[k]--; r.slots[k] == 0 {
			delete(r.slots, k)
		}
		changed[k] = true
	}
	if len(r.slots) == 0 {
		clear(r.moved)
		if r.shape == nil {
			delete(p.reqs, e.policy.ReqID)
		}
	}
}

// sweep drops the slots that nobody claims and the kernel does not have.
func (p *policies) sweep(keys []PolicyKey) {
	for _, k := range keys {
		if s := p.slots[k]; s != nil && len(s.claims) == 0 && !s.has && !s.unknown {
			delete(p.slots, k)
		}
	}
}

// best is the claim that counts.
func (s *slot) best() *policyEntry {
	var best *policyEntry
	for _, e := range s.claims {
		if best == nil || e.priority < best.priority || e.priority == best.priority && e.order < best.order {
			best = e
		}
	}
	return best
}

// want is what the kernel should have in a slot.
func (p *policies) want(k PolicyKey, s *slot) (c content, has bool) {
	e := s.best()
	if e == nil {
		return content{}, false
	}
	c = p.content(k, e)
	if k.Dir == DirOut || c.links == 0 {
		return c, true
	}
	for _, o := range s.claims {
		if o.priority == e.priority {
			c.accept(p.content(k, o))
		}
	}
	return c, true
}

// accept lets an inbound policy take what another one takes too, if they differ
// in the SAs alone.
func (c *content) accept(o content) {
	if o.action != c.action || o.links != c.links {
		return
	}
	for i := range c.links {
		if c.templates[i].proto != o.templates[i].proto || c.templates[i].mode != o.templates[i].mode {
			return
		}
	}
	for i := range c.links {
		t, u := &c.templates[i], &o.templates[i]
		if t.reqID != u.reqID {
			t.reqID = 0
		}
		if t.src != u.src {
			t.src = netip.Addr{}
		}
		if t.dst != u.dst {
			t.dst = netip.Addr{}
		}
		t.optional = t.optional || u.optional
	}
}

// content is what a policy looks like in a slot.
func (p *policies) content(k PolicyKey, e *policyEntry) content {
	pol := &e.policy
	c := content{priority: e.priority}
	switch pol.Action {
	case spd.ActionDiscard:
		c.action = ActionBlock
		return c
	case spd.ActionBypass:
		return c
	}
	out := k.Dir == DirOut
	addrs := addrPair{pol.Local, pol.Remote}
	proto := protocolNumber(pol.Protocol)
	mode := ModeTunnel
	if pol.Mode == spd.ModeTransport {
		mode = ModeTransport
	}
	links := []link{{proto, mode}}
	if r := p.reqs[pol.ReqID]; r != nil {
		if len(r.shape) > 0 && r.shape[0].mode == mode {
			links = r.shape
		}
		if to, ok := r.moved[movedKey{out, addrs}]; ok {
			addrs = to
		}
	}
	src, dst := addrs.remote, addrs.local
	if out {
		src, dst = dst, src
	}
	family := familyOfAny(dst, src, k.Selector.Dst.Addr())
	c.links = min(len(links), maxLinks)
	for i, l := range links[:c.links] {
		t := template{family: family, proto: l.proto, mode: l.mode, reqID: pol.ReqID}
		if l.mode == ModeTunnel {
			t.src, t.dst = src, dst
		}
		// A packet that grows by compression comes without (RFC 3173 2.2).
		t.optional = !out && (pol.OptionalInbound || l.proto == ProtoIPComp)
		c.templates[i] = t
	}
	return c
}

// kernelPolicy is the kernel's form of a slot.
func kernelPolicy(k PolicyKey, c *content) *Policy {
	pol := &Policy{Selector: k.Selector, Dir: k.Dir, Mark: k.Mark, InterfaceID: k.InterfaceID, Priority: c.priority, Action: c.action}
	for i := range c.links {
		t := &c.templates[i]
		pol.Templates = append(pol.Templates, Template{Src: t.src, Dst: t.dst, AnyFamily: t.family, Proto: t.proto, Mode: t.mode, ReqID: t.reqID, Optional: t.optional})
	}
	return pol
}

// A slotChange is one step of a change of policies.
type slotChange struct {
	key PolicyKey
	old slot // before
}

// applySlots makes the kernel have what these slots want, all or nothing: first
// what is new or other, then what is not wanted any more. So a packet that both
// the old and the new policies protect is never without one.
func (p *DataPlane) applySlots(ctx context.Context, keys []PolicyKey) error {
	// Outbound policies come last in both: packets leave when the answers
	// will be taken, and are the last to go in clear.
	slices.SortFunc(keys, func(a, b PolicyKey) int { return dirOrder(a.Dir) - dirOrder(b.Dir) })
	var done []slotChange
	for _, remove := range [...]bool{false, true} {
		for _, k := range keys {
			s := p.policies.slots[k]
			if s == nil {
				continue
			}
			want, has := p.policies.want(k, s)
			if has == remove || has == s.has && want == s.content && !s.unknown {
				continue
			}
			old := *s
			err := p.setSlot(ctx, k, s, want, has)
			if err == nil {
				done = append(done, slotChange{k, old})
				continue
			}
			if errors.Is(err, ErrNoAnswer) {
				s.unknown = true
				done = append(done, slotChange{k, old})
			}
			p.undoSlots(ctx, done)
			return err
		}
	}
	return nil
}

func dirOrder(d Direction) int {
	if d == DirOut {
		return 1
	}
	return 0
}

// undoSlots takes steps back, the last one first.
func (p *DataPlane) undoSlots(ctx context.Context, done []slotChange) {
	ctx, cancel := rollbackContext(ctx)
	defer cancel()
	for _, ch := range slices.Backward(done) {
		s := p.policies.slots[ch.key]
		if err := p.setSlot(ctx, ch.key, s, ch.old.content, ch.old.has); err != nil {
			s.unknown = true // the next change tries again
			p.log.Error("xfrm: a policy could not be set back", "policy", ch.key.Selector.String(), "dir", ch.key.Dir.String(), "err", err)
		}
	}
}

// setSlot makes one policy of the kernel.
func (p *DataPlane) setSlot(ctx context.Context, k PolicyKey, s *slot, want content, has bool) error {
	var err error
	switch {
	case !has:
		err = unless(ENOENT, p.client.DeletePolicy(ctx, k))
	case s.has || s.unknown:
		err = p.client.SetPolicy(ctx, kernelPolicy(k, &want))
	default:
		err = p.client.AddPolicy(ctx, kernelPolicy(k, &want))
		if isErrno(err, EEXIST) {
			p.log.Info("xfrm: taking over a policy that is there", "policy", k.Selector.String(), "dir", k.Dir.String())
			err = p.client.SetPolicy(ctx, kernelPolicy(k, &want))
		}
	}
	if err != nil {
		return err
	}
	s.content, s.has, s.unknown = want, has, false
	if !has {
		s.content = content{}
	}
	return nil
}

// removePolicies removes all of them, for Close.
func (p *DataPlane) removePolicies(ctx context.Context) error {
	var errs []error
	for _, dir := range []Direction{DirIn, DirForward, DirOut} {
		for k, s := range p.policies.slots {
			if k.Dir == dir && (s.has || s.unknown) {
				errs = append(errs, unless(ENOENT, p.client.DeletePolicy(ctx, k)))
			}
		}
	}
	p.policies = policies{}
	p.policies.init()
	return errors.Join(errs...)
}
