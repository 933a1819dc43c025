package xfrm

import (
	"context"
	"errors"
	"fmt"
	"maps"
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
	order    uint64      // of installation
	keys     []PolicyKey // until it claims its slots
	slots    []*slot
}

type slot struct {
	key     PolicyKey
	claims  []*policyEntry
	content content
	has     bool    // the kernel has it
	unknown bool    // nobody knows what the kernel has
	under   *Policy // somebody else's, to be put back
}

// content is what is in a slot but for its key.
type content struct {
	action   Action
	priority uint32
	links    int
	first    template
	more     *[maxLinks - 1]template // after the first, of the longest bundles
}

// at is the i-th template.
func (c *content) at(i int) *template {
	if i == 0 {
		return &c.first
	}
	return &c.more[i-1]
}

func (c *content) equal(o *content) bool {
	return c.action == o.action && c.priority == o.priority && c.links == o.links && c.first == o.first &&
		(c.links < 2 || *c.more == *o.more)
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
	slots map[*slot]int // claimed by policies of the ReqID, so many times
	shape []link        // of its bundles, if they have several transforms
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
		r = &reqState{slots: map[*slot]int{}, moved: map[movedKey]addrPair{}}
		p.reqs[id] = r
	}
	return r
}

// matching are the slots of a ReqID that match.
func (r *reqState) matching(match func(*slot) bool) []*slot {
	var slots []*slot
	for s := range r.slots {
		if match == nil || match(s) {
			slots = append(slots, s)
		}
	}
	return slots
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
	changed := map[*slot]bool{}
	for _, pol := range change.Add {
		p.policies.claim(byPolicy[pol], changed)
	}
	for _, pol := range change.Remove {
		e := p.policies.entries[pol]
		removed = append(removed, e)
		p.policies.unclaim(e, changed)
	}
	slots := slices.Collect(maps.Keys(changed))
	err = p.applySlots(ctx, slots)
	if err != nil {
		for _, e := range removed {
			p.policies.claimAt(e, changed)
		}
		for _, pol := range change.Add {
			p.policies.unclaim(p.policies.entries[pol], changed)
		}
		_, _ = p.policies.set.Set(owner, change.Previous)
	}
	p.policies.sweep(slots)
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
func (p *policies) claim(e *policyEntry, changed map[*slot]bool) {
	p.order++
	e.order = p.order
	p.claimAt(e, changed)
}

// claimAt is claim with the place that the policy had before.
func (p *policies) claimAt(e *policyEntry, changed map[*slot]bool) {
	p.entries[e.policy] = e
	r := p.req(e.policy.ReqID)
	for _, k := range e.keys {
		s := p.slots[k]
		if s == nil {
			s = &slot{key: k}
			p.slots[k] = s
		}
		e.slots = append(e.slots, s)
	}
	e.keys = nil
	for _, s := range e.slots {
		s.claims = append(s.claims, e)
		r.slots[s]++
		changed[s] = true
	}
}

func (p *policies) unclaim(e *policyEntry, changed map[*slot]bool) {
	delete(p.entries, e.policy)
	r := p.req(e.policy.ReqID)
	for _, s := range e.slots {
		s.claims = slices.DeleteFunc(s.claims, func(o *policyEntry) bool { return o == e })
		if r.slots[s]--; r.slots[s] == 0 {
			delete(r.slots, s)
		}
		changed[s] = true
	}
	if len(r.slots) == 0 {
		clear(r.moved)
		if r.shape == nil {
			delete(p.reqs, e.policy.ReqID)
		}
	}
}

// sweep drops the slots that nobody claims and the kernel does not have.
func (p *policies) sweep(slots []*slot) {
	for _, s := range slots {
		if len(s.claims) == 0 && !s.has && !s.unknown {
			delete(p.slots, s.key)
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
func (p *policies) want(s *slot) (c content, has bool) {
	e := s.best()
	if e == nil {
		return content{}, false
	}
	c = p.content(&s.key, e)
	if s.key.Dir == DirOut || c.links == 0 {
		return c, true
	}
	for _, o := range s.claims {
		if o.priority == e.priority {
			c.accept(p.content(&s.key, o))
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
		if c.at(i).proto != o.at(i).proto || c.at(i).mode != o.at(i).mode {
			return
		}
	}
	for i := range c.links {
		t, u := c.at(i), o.at(i)
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
func (p *policies) content(k *PolicyKey, e *policyEntry) content {
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
	mode := ModeTunnel
	if pol.Mode == spd.ModeTransport {
		mode = ModeTransport
	}
	links := linksOf(pol, mode)
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
	if c.links = min(len(links), maxLinks); c.links > 1 {
		c.more = new([maxLinks - 1]template)
	}
	for i, l := range links[:c.links] {
		t := template{family: family, proto: l.proto, mode: l.mode, reqID: pol.ReqID}
		if l.mode == ModeTunnel {
			t.src, t.dst = src, dst
		}
		// A packet that grows by compression comes without (RFC 3173 2.2).
		t.optional = !out && (pol.OptionalInbound || l.proto == ProtoIPComp)
		*c.at(i) = t
	}
	return c
}

// linksOf are the transforms that a policy names.
func linksOf(pol *spd.Policy, mode Mode) []link {
	links := make([]link, 0, maxLinks)
	for i, proto := range [...]spd.Protocol{pol.Inner[0], pol.Inner[1], pol.Protocol} {
		if proto != 0 || i == 2 {
			links = append(links, link{protocolNumber(proto), mode})
			mode = ModeTransport
		}
	}
	return links
}

// kernelPolicy is the kernel's form of a slot.
func kernelPolicy(k *PolicyKey, c *content) *Policy {
	pol := &Policy{Selector: k.Selector, Dir: k.Dir, Mark: k.Mark, InterfaceID: k.InterfaceID, Priority: c.priority, Action: c.action}
	for i := range c.links {
		t := c.at(i)
		pol.Templates = append(pol.Templates, Template{Src: t.src, Dst: t.dst, AnyFamily: t.family, Proto: t.proto, Mode: t.mode, ReqID: t.reqID, Optional: t.optional})
	}
	return pol
}

// A slotChange is one step of a change of policies.
type slotChange struct {
	slot *slot
	old  slot // before
}

// applySlots makes the kernel have what these slots want, all or nothing: first
// what is new or other, then what is not wanted any more. So a packet that both
// the old and the new policies protect is never without one.
func (p *DataPlane) applySlots(ctx context.Context, slots []*slot) error {
	// Outbound policies come last in both: packets leave when the answers
	// will be taken, and are the last to go in clear.
	slices.SortFunc(slots, func(a, b *slot) int { return dirOrder(a.key.Dir) - dirOrder(b.key.Dir) })
	var done []slotChange
	for _, remove := range [...]bool{false, true} {
		for _, s := range slots {
			want, has := p.policies.want(s)
			if has == remove || has == s.has && want.equal(&s.content) && !s.unknown {
				continue
			}
			old := *s
			err := p.setSlot(ctx, s, want, has)
			if err == nil {
				done = append(done, slotChange{s, old})
				continue
			}
			if errors.Is(err, ErrNoAnswer) {
				s.unknown = true
				done = append(done, slotChange{s, old})
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
		s := ch.slot
		if err := p.setSlot(ctx, s, ch.old.content, ch.old.has); err != nil {
			s.unknown = true // the next change tries again
			p.log.Error("xfrm: a policy could not be set back", "policy", s.key.Selector.String(), "dir", s.key.Dir.String(), "err", err)
		}
	}
}

// setSlot makes one policy of the kernel.
func (p *DataPlane) setSlot(ctx context.Context, s *slot, want content, has bool) error {
	var err error
	k := &s.key
	switch {
	case !has:
		err = p.takeAway(ctx, s)
	case s.has || s.unknown:
		err = p.client.SetPolicy(ctx, kernelPolicy(k, &want))
	default:
		err = p.client.AddPolicy(ctx, kernelPolicy(k, &want))
		if isErrno(err, EEXIST) {
			err = p.displace(ctx, s, kernelPolicy(k, &want))
		} else if err == nil {
			p.forgetDisplaced(k) // of an earlier life, gone since
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
				errs = append(errs, p.takeAway(ctx, s))
			}
		}
	}
	p.policies = policies{}
	p.policies.init()
	return errors.Join(errs...)
}
