package ikev1

import (
	"fmt"
	"slices"

	"github.com/racoon3/racoon/dh"
	"github.com/racoon3/racoon/spd"
)

// maxPrivateGroups bounds a peer's, and what it may propose under one ISAKMP SA.
const maxPrivateGroups = 16

func (p *Peer) checkPrivateGroups() error {
	if len(p.PrivateGroups) > maxPrivateGroups {
		return fmt.Errorf("PrivateGroups has %d groups; the limit is %d", len(p.PrivateGroups), maxPrivateGroups)
	}
	for i, g := range p.PrivateGroups {
		if g == nil {
			return fmt.Errorf("PrivateGroups[%d] is nil; dh.NewPrivateGroup makes one", i)
		}
		for _, o := range p.PrivateGroups[:i] {
			if o.ID() == g.ID() || sameGroup(o, g) {
				return fmt.Errorf("PrivateGroups[%d], %v, is there twice: as %v", i, g, o)
			}
		}
	}
	return nil
}

// sameGroup compares prime and generator: a reload makes new objects.
func sameGroup(a, b *dh.PrivateGroup) bool {
	return a == b || a != nil && b != nil && a.Is(b.Prime(), b.Generator())
}

// privateGroup is the configured group of that number, or nil.
func (p *Peer) privateGroup(id dh.ID) *dh.PrivateGroup {
	for _, g := range p.PrivateGroups {
		if g.ID() == id {
			return g
		}
	}
	return nil
}

// agreedGroups are the private groups of an ISAKMP SA. They end with it, as RFC
// 2409 5.6 allows. A number is that of whoever has proposed the group, so there
// are two sets: both sides may use one number for different groups.
type agreedGroups struct {
	ours, theirs map[dh.ID]*dh.PrivateGroup
	underway     map[dh.ID]*groupProposal // of ours
}

// group returns what a number means in an exchange of phase 2 that this side
// has begun, or the peer; nil if that has not been agreed on.
func (sa *isakmpSA) group(id dh.ID, initiator bool) dh.Group {
	if g, ok := dh.ByID(id); ok {
		return g
	}
	if g := sa.groups.of(id, initiator); g != nil {
		return g
	}
	return nil
}

// of prefers the numbers of whoever begins the exchange that uses them.
func (a *agreedGroups) of(id dh.ID, initiator bool) *dh.PrivateGroup {
	if a == nil {
		return nil
	}
	first, second := a.theirs, a.ours
	if initiator {
		first, second = a.ours, a.theirs
	}
	if g := first[id]; g != nil {
		return g
	}
	return second[id]
}

// numbers are those that stand for a group in an exchange that the peer begins,
// in order.
func (a *agreedGroups) numbers(g *dh.PrivateGroup) (ids []uint16) {
	if a == nil || g == nil {
		return nil
	}
	for _, set := range []map[dh.ID]*dh.PrivateGroup{a.theirs, a.ours} {
		for id := range set {
			if sameGroup(a.of(id, false), g) && !slices.Contains(ids, uint16(id)) {
				ids = append(ids, uint16(id))
			}
		}
	}
	slices.Sort(ids)
	return ids
}

// agreedOf is what a responder accepts of its own proposals under an ISAKMP SA:
// private groups have the numbers that have been agreed on, and others are not
// there.
func (sa *isakmpSA) agreedOf(all []spd.Proposal) ([]spd.Proposal, error) {
	out := renumbered(all, func(id dh.ID) []uint16 { return sa.groups.numbers(sa.s.peer.privateGroup(id)) })
	if len(out) == 0 && len(all) > 0 {
		return nil, fmt.Errorf("%v: no New Group Mode has agreed on a private group under this ISAKMP SA", all)
	}
	return out, nil
}

// renumbered are proposals with other numbers, or none, for their private
// groups. What then has no group left is not there.
func renumbered(all []spd.Proposal, numbers func(id dh.ID) []uint16) (out []spd.Proposal) {
	if !hasPrivate(all) {
		return all
	}
	for _, q := range all {
		r, left := spd.Proposal{Protocol: q.Protocol}, false
		for _, t := range q.Transforms {
			if !isPrivate(t) {
				left = left || t.Type == spd.TransformKE
				r.Transforms = append(r.Transforms, t)
				continue
			}
			for _, n := range numbers(dh.ID(t.ID)) {
				left = true
				r.Transforms = append(r.Transforms, spd.Transform{Type: spd.TransformKE, ID: n})
			}
		}
		if left || !slices.ContainsFunc(q.Transforms, isPrivate) {
			out = append(out, r)
		}
	}
	return out
}

func hasPrivate(all []spd.Proposal) bool {
	return slices.ContainsFunc(all, func(p spd.Proposal) bool { return slices.ContainsFunc(p.Transforms, isPrivate) })
}

func isPrivate(t spd.Transform) bool {
	return t.Type == spd.TransformKE && dh.ID(t.ID).Private()
}

// withoutPrivate is what can be negotiated before there is an ISAKMP SA.
func withoutPrivate(all []spd.Proposal) []spd.Proposal {
	return renumbered(all, func(dh.ID) []uint16 { return nil })
}
