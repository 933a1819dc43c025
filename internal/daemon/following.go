package daemon

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"github.com/racoon3/racoon/spd"
)

// A followingPlane fits the SAs of key management to policies that are not its
// own: those of [policy.NAME], of spmd or of an administrator. An SA gets the
// ReqID of the policy that leads to it, else a policy that wants SAs of its own
// (level unique) would ask for them for ever.
//
// With others, the policies are another program's altogether (iked -spmd), as
// with racoon and racoon2. Then no traps are set, and a Child SA whose packets
// meet such policies has none of its own: they were there before it and stay
// after it, and nothing of them can be lost by accident. Only a Child SA that
// nobody has a policy for, such as that of a peer with a leased address, has its
// own for as long as it lives.
type followingPlane struct {
	spd.DataPlane
	observer spd.PolicyObserver  // nil: there are no others
	others   bool                // the policies belong to another program
	own      func() []spd.Policy // those of the configuration
	moved    *movedPolicies      // nil: others' policies stay where they are

	mu     sync.Mutex
	asked  map[spd.SAID]uint32      // by reserved SPIs: the ReqID that the acquire's policy wants
	lines  map[uint32]*followedLine // by key management's ReqIDs
	lineOf map[spd.SAID]followedSA
	led    map[spd.Owner]map[ledKey]bool // what others' policies lead
}

// ledKey is a policy of a Child SA, through all its rekeys.
type ledKey struct {
	direction spd.Direction
	selector  spd.Selector
}

// A followedLine is what SAs of one ReqID of key management have instead of it.
type followedLine struct {
	reqIDs [2]uint32 // by direction, spd.In and spd.Out; 0 for their own
	none   bool      // outbound SAs have none, as the policy that leads to them
	asked  uint32
	sas    int
	was    []spd.AddrPair // where its SAs have been, the last one last
}

// A followedSA is an SA, by what must lead to it: a policy for each pair of its
// traffic selectors. They have one pair of outer addresses.
type followedSA struct {
	line  uint32
	wants []spd.Policy
}

// maxPlaces bounds the former places of an SA that are kept in mind.
const maxPlaces = 8

// at notes where the SAs of a line are.
func (l *followedLine) at(p spd.AddrPair) {
	if n := len(l.was); n > 0 && l.was[n-1] == p {
		return
	}
	if l.was = append(l.was, p); len(l.was) > maxPlaces {
		l.was = l.was[1:]
	}
}

// maxAsked bounds the SPIs that are kept in mind with what was asked for. Those
// that have come to nothing are told by nobody.
const maxAsked = 1024

func newFollowingPlane(plane spd.DataPlane, observer spd.PolicyObserver, others bool, own func() []spd.Policy) *followingPlane {
	return &followingPlane{DataPlane: plane, observer: observer, others: others, own: own,
		asked: map[spd.SAID]uint32{}, lines: map[uint32]*followedLine{}, lineOf: map[spd.SAID]followedSA{}, led: map[spd.Owner]map[ledKey]bool{}}
}

// AllocSPI implements [spd.DataPlane].
func (p *followingPlane) AllocSPI(ctx context.Context, r spd.SPIRequest) (spd.SPI, error) {
	asked := uint32(0)
	if r.Acquire != 0 && p.observer != nil {
		asked, _ = p.observer.AcquireReqID(r.Acquire)
	}
	p.mu.Lock()
	l := p.lines[r.ReqID]
	own := r.ReqID
	switch {
	case asked != 0:
		r.ReqID = asked
	case l != nil && l.reqIDs[spd.In] != 0:
		r.ReqID = l.reqIDs[spd.In]
	}
	p.mu.Unlock()
	spi, err := p.DataPlane.AllocSPI(ctx, r)
	if err == nil && asked != 0 && asked != own {
		p.mu.Lock()
		defer p.mu.Unlock()
		if len(p.asked) >= maxAsked {
			clear(p.asked)
		}
		p.asked[spd.SAID{Direction: spd.In, Protocol: r.Protocol, SPI: spi, Dst: r.Local.Unmap(), Mark: r.Mark}] = asked
	}
	return spi, err
}

// ReleaseSPI implements [spd.DataPlane].
func (p *followingPlane) ReleaseSPI(ctx context.Context, id spd.SAID) error {
	p.mu.Lock()
	delete(p.asked, id)
	p.mu.Unlock()
	return p.DataPlane.ReleaseSPI(ctx, id)
}

// InstallInbound implements [spd.DataPlane].
func (p *followingPlane) InstallInbound(ctx context.Context, b *spd.Bundle) error {
	return p.install(ctx, spd.In, b, p.DataPlane.InstallInbound)
}

// InstallOutbound implements [spd.DataPlane].
func (p *followingPlane) InstallOutbound(ctx context.Context, b *spd.Bundle) error {
	return p.install(ctx, spd.Out, b, p.DataPlane.InstallOutbound)
}

func (p *followingPlane) install(ctx context.Context, d spd.Direction, b *spd.Bundle, install func(context.Context, *spd.Bundle) error) error {
	ids, wants := b.IDs(d), wantsOf(d, b)
	p.mu.Lock()
	l := p.lines[b.ReqID]
	if l == nil {
		l = &followedLine{}
		p.lines[b.ReqID] = l
	}
	for _, id := range ids {
		if asked, ok := p.asked[id]; ok {
			l.asked = asked
			delete(p.asked, id)
		}
		l.sas++
		p.lineOf[id] = followedSA{b.ReqID, wants}
	}
	asked, was := l.asked, slices.Clone(l.was)
	l.at(outerOf(wants))
	p.mu.Unlock()
	p.lead(ctx, b.ReqID, was, wants)
	policies, err := p.policies(ctx, asked)
	if err != nil {
		p.forget(ids)
		return err
	}
	p.mu.Lock()
	c := *b // with b's keys, which the data plane does not keep
	var led bool
	if l.reqIDs[d], led = choose(policies, wants, l.asked, l.reqIDs[d]); l.reqIDs[d] != 0 {
		c.ReqID = l.reqIDs[d]
	}
	if d == spd.Out {
		// A policy without a ReqID (level require) wants any SA. But what Linux finds
		// for an outbound packet is an SA without one only.
		if l.none = led && l.reqIDs[d] == 0; l.none {
			c.ReqID = 0
		}
	}
	p.mu.Unlock()
	if err = install(ctx, &c); err != nil {
		p.forget(ids)
	}
	return err
}

func (p *followingPlane) forget(ids []spd.SAID) {
	var ended []uint32
	p.mu.Lock()
	for _, id := range ids {
		sa, ok := p.lineOf[id]
		if !ok {
			continue
		}
		delete(p.lineOf, id)
		if l := p.lines[sa.line]; l != nil {
			if l.sas--; l.sas == 0 {
				delete(p.lines, sa.line)
				ended = append(ended, sa.line)
			}
		}
	}
	p.mu.Unlock()
	if p.moved != nil {
		for _, line := range ended {
			p.moved.release(line)
		}
	}
}

// Remove implements [spd.DataPlane].
func (p *followingPlane) Remove(ctx context.Context, id spd.SAID) (spd.Counters, error) {
	c, err := p.DataPlane.Remove(ctx, id)
	if err == nil || errors.Is(err, spd.ErrNotFound) {
		p.forget([]spd.SAID{id})
	}
	return c, err
}

// MovePeer implements [spd.DataPlane].
func (p *followingPlane) MovePeer(ctx context.Context, id spd.SAID, to spd.Endpoints) error {
	err := p.DataPlane.MovePeer(ctx, id, to)
	if err != nil {
		return err
	}
	next := id
	if next.Dst = to.Local.Addr(); id.Direction == spd.Out {
		next.Dst = to.Remote.Addr()
	}
	p.mu.Lock()
	sa, ok := p.lineOf[id]
	if !ok {
		p.mu.Unlock()
		return nil
	}
	delete(p.lineOf, id)
	var was []spd.AddrPair
	is := spd.AddrPair{Local: to.Local.Addr().Unmap(), Remote: to.Remote.Addr().Unmap()}
	before := outerOf(sa.wants)
	sa.wants = slices.Clone(sa.wants)
	for i := range sa.wants {
		sa.wants[i].Local, sa.wants[i].Remote = is.Local, is.Remote
	}
	p.lineOf[next] = sa
	if l := p.lines[sa.line]; l != nil {
		was = slices.Clone(l.was)
		l.at(is)
	}
	p.mu.Unlock()
	if before != is { // of a port policies know nothing
		p.lead(ctx, sa.line, was, sa.wants)
	}
	return nil
}

// lead has the policies that led to SAs of a line where they were lead to where
// they are now. Those of peers that stay are left where they are.
func (p *followingPlane) lead(ctx context.Context, line uint32, was []spd.AddrPair, wants []spd.Policy) {
	if p.moved == nil || len(wants) == 0 || wants[0].Mode != spd.ModeTunnel {
		return
	}
	is := outerOf(wants)
	if p.moved.none() && !slices.ContainsFunc(was, func(w spd.AddrPair) bool { return w != is }) {
		return
	}
	defer p.moved.use(line, is)
	theirs, err := p.observer.ForeignPolicies(ctx)
	if err != nil {
		p.moved.log.Warn("policies of others", "err", err)
		return
	}
	for i := range theirs {
		t := &theirs[i].Policy
		at := spd.AddrPair{Local: t.Local, Remote: t.Remote}
		if t.Mode != spd.ModeTunnel || fits(at, is) {
			continue
		}
		from := slices.ContainsFunc(was, func(w spd.AddrPair) bool { return fits(at, w) })
		to := is
		if !t.Local.IsValid() {
			to.Local = netip.Addr{}
		}
		if !t.Remote.IsValid() {
			to.Remote = netip.Addr{}
		}
		if !from && !p.moved.homeOf(at, to) || !slices.ContainsFunc(wants, func(w spd.Policy) bool { return leadsFrom(t, w) }) {
			continue
		}
		if p.leadsOthers(t, line) {
			p.moved.log.Warn("a peer has moved, but others are still where its policy leads to", "policy", *t, "to", to.Remote)
			continue
		}
		p.moved.move(ctx, theirs[i].ID, line, at, to, !from)
	}
}

// leadsFrom reports whether t would lead to the SA of want if that were at its
// ends.
func leadsFrom(t *spd.Policy, want spd.Policy) bool {
	want.Local, want.Remote = t.Local, t.Remote
	return leads(t, &want)
}

// leadsOthers reports whether a policy leads to SAs of other lines.
func (p *followingPlane) leadsOthers(t *spd.Policy, line uint32) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, sa := range p.lineOf {
		if sa.line != line && slices.ContainsFunc(sa.wants, func(w spd.Policy) bool { return leads(t, &w) }) {
			return true
		}
	}
	return false
}

// policies are those that may lead to an SA, the first ones first. Those of
// others are looked at where they are all that counts, or one of them has asked.
func (p *followingPlane) policies(ctx context.Context, asked uint32) (list []spd.Policy, err error) {
	if !p.others {
		list = p.own()
		if asked == 0 || slices.ContainsFunc(list, func(o spd.Policy) bool { return o.ReqID == asked }) {
			return list, nil
		}
	}
	if p.observer == nil {
		return list, nil
	}
	foreign, err := p.observer.ForeignPolicies(ctx)
	if err != nil {
		return nil, fmt.Errorf("policies of others: %w", err)
	}
	for i := range foreign {
		list = append(list, foreign[i].Policy)
	}
	return list, nil
}

// errOccupied says that a Child SA cannot have its policy.
var errOccupied = errors.New("a policy of another program is in the place of a Child SA's, and does not lead to it")

// SetPolicies implements [spd.DataPlane].
func (p *followingPlane) SetPolicies(ctx context.Context, owner spd.Owner, policies []spd.Policy) error {
	if len(policies) == 0 {
		p.mu.Lock()
		delete(p.led, owner)
		p.mu.Unlock()
		return p.DataPlane.SetPolicies(ctx, owner, nil)
	}
	var theirs []spd.Policy
	if p.others {
		var err error
		if theirs, err = p.policies(ctx, 0); err != nil {
			return err
		}
	}
	p.mu.Lock()
	before := p.led[owner]
	p.mu.Unlock()
	led := map[ledKey]bool{}
	set := make([]spd.Policy, 0, len(policies))
	for _, pol := range policies {
		if p.others {
			k := ledKey{pol.Direction, pol.Selector}
			if pol.Action == spd.ActionTrap {
				continue
			}
			// What others' policies have led once gets none of its own when those
			// have gone: whoever they belong to has decided that.
			if before[k] || slices.ContainsFunc(theirs, func(t spd.Policy) bool { return leads(&t, &pol) }) {
				led[k] = true
				continue
			}
			if i := slices.IndexFunc(theirs, func(t spd.Policy) bool {
				return t.Direction == pol.Direction && t.Selector == pol.Selector && t.Mark == pol.Mark && t.InterfaceID == pol.InterfaceID
			}); i >= 0 {
				return fmt.Errorf("%w: %w: %v is in the place of %v", spd.ErrPolicy, errOccupied, theirs[i], pol)
			}
		}
		set = append(set, p.fit(pol))
	}
	if err := p.DataPlane.SetPolicies(ctx, owner, set); err != nil {
		return err
	}
	if len(led) > 0 {
		p.mu.Lock()
		p.led[owner] = led
		p.mu.Unlock()
	}
	return nil
}

// fit gives a policy the ReqID of its SAs.
func (p *followingPlane) fit(pol spd.Policy) spd.Policy {
	p.mu.Lock()
	defer p.mu.Unlock()
	d := spd.In
	if pol.Direction == spd.Out {
		d = spd.Out
	}
	if l := p.lines[pol.ReqID]; l != nil && pol.ReqID != 0 {
		switch {
		case l.reqIDs[d] != 0:
			pol.ReqID = l.reqIDs[d]
		case l.none && d == spd.Out:
			pol.ReqID = 0
		}
	}
	return pol
}

// leads reports whether packets that have to meet want, the policy of a Child SA,
// find its SA by t.
func leads(t, want *spd.Policy) bool {
	outer := t.Mode == spd.ModeTransport ||
		(!t.Local.IsValid() || !want.Local.IsValid() || t.Local == want.Local) && (!t.Remote.IsValid() || !want.Remote.IsValid() || t.Remote == want.Remote)
	return t.Direction == want.Direction && (t.Action == spd.ActionProtect || t.Action == spd.ActionTrap) && t.Mode == want.Mode &&
		(t.Protocol == want.Protocol || slices.Contains(t.Inner[:], want.Protocol)) &&
		outer && t.Mark == want.Mark && t.InterfaceID == want.InterfaceID && t.Selector.Overlaps(want.Selector)
}

// wantsOf are the policies that would lead to a direction of a Child SA.
func wantsOf(d spd.Direction, b *spd.Bundle) (wants []spd.Policy) {
	want := spd.Policy{Direction: d, Action: spd.ActionProtect, Protocol: b.SAs[len(b.SAs)-1].Protocol, Mode: b.SAs[0].Mode, Local: b.Local.Addr().Unmap(), Remote: b.Remote.Addr().Unmap(),
		Mark: b.Options.MarkIn, InterfaceID: b.Options.InterfaceID}
	if d == spd.Out {
		want.Mark = b.Options.MarkOut
	}
	for _, l := range b.LocalTS {
		for _, r := range b.RemoteTS {
			if want.Selector = (spd.Selector{Local: l, Remote: r}); l.Is4() == r.Is4() {
				wants = append(wants, want)
			}
		}
	}
	return wants
}

// outerOf are the outer addresses of an SA.
func outerOf(wants []spd.Policy) spd.AddrPair {
	if len(wants) == 0 {
		return spd.AddrPair{}
	}
	return spd.AddrPair{Local: wants[0].Local, Remote: wants[0].Remote}
}

// choose returns the ReqID of the policy that leads to a direction of a Child
// SA, and whether there is one: that which was asked for, if it is one of them,
// or that of a predecessor, else that of the first that has all packets, else
// that of the first that has some.
func choose(policies, wants []spd.Policy, asked, before uint32) (reqID uint32, ok bool) {
	var ids []uint32
	all := -1
	for i := range policies {
		for j := range wants {
			if !leads(&policies[i], &wants[j]) {
				continue
			}
			if all < 0 && policies[i].Selector.Contains(wants[j].Selector) {
				all = len(ids)
			}
			ids = append(ids, policies[i].ReqID)
		}
	}
	switch {
	case asked != 0 && slices.Contains(ids, asked):
		return asked, true
	case before != 0 && slices.Contains(ids, before):
		return before, true
	case all >= 0:
		return ids[all], true
	case len(ids) > 0:
		return ids[0], true
	}
	return 0, false
}
