package ikev1

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/racoon3/racoon/dh"
	"github.com/racoon3/racoon/ike"
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
	at           netip.AddrPort // where the peer was when it proposed one
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

// privateGroups are groups by the numbers that the initiator of a phase 1 has
// for them: those agreed on under the ISAKMP SA that it renews (RFC 2409 5.6).
type privateGroups map[dh.ID]*dh.PrivateGroup

// in are the proposals of a peer for phase 1 in which these groups can be used.
func (gs privateGroups) in(p *Peer) []spd.Proposal {
	return renumbered(p.Proposals, func(id dh.ID) (ids []uint16) {
		for n, g := range gs {
			if sameGroup(g, p.privateGroup(id)) {
				ids = append(ids, uint16(n))
			}
		}
		slices.Sort(ids)
		return ids
	})
}

// group returns the group of a phase 1, nil if there is none of that number.
func (p *phase1) group(id dh.ID) dh.Group {
	if g, ok := dh.ByID(id); ok {
		return g
	}
	if g := p.groups[id]; g != nil {
		return g
	}
	return nil
}

// agreeAhead proposes the private groups that a new ISAKMP SA may be made with
// under the one that it renews, which then goes on, agreed or not. It reports
// false if there is nothing to wait for.
func (s *session) agreeAhead(now time.Time) bool {
	sa := s.current
	if sa == nil || !s.Up || !hasPrivate(s.peer.Proposals) {
		return false
	}
	if s.preparing {
		return true
	}
	s.preparing = true
	var wanted []*dh.PrivateGroup
	for _, g := range spd.KEGroups(s.peer.Proposals) {
		if g := s.peer.privateGroup(dh.ID(g)); g != nil {
			wanted = append(wanted, g)
		}
	}
	agreed := make(privateGroups)
	var next func(now time.Time)
	next = func(now time.Time) {
		if len(wanted) > 0 && sa.state == stateEstablished && !sa.leaving {
			g := wanted[0]
			wanted = wanted[1:]
			// Asked each time, so that the peer knows where it is asked from.
			sa.agreeOn(now, g, func(now time.Time, err error) {
				if err == nil {
					agreed[g.ID()] = g
				} else if !s.Dead {
					s.Warn(now, fmt.Errorf("renewing the ISAKMP SA without a private group: %w", err))
				}
				next(now)
			})
			return
		}
		s.preparing = false
		if s.Dead {
			return
		}
		if err := s.renewWith(now, agreed); err != nil {
			s.ep.Emit(ike.RekeyFailed{EventHeader: s.EventHeader(now), Err: err})
			s.flunk(now, err)
		}
	}
	next(now)
	return true
}

// grouped remembers where a peer has agreed on private groups: the first message
// of phase 1 says nothing about who sends it but its address.
func (sa *isakmpSA) grouped() {
	sa.ungrouped()
	sa.groups.at = sa.s.Path.Remote
	sa.ep.grouped[sa.groups.at] = sa
}

// ungrouped forgets it.
func (sa *isakmpSA) ungrouped() {
	if sa.groups != nil && sa.ep.grouped[sa.groups.at] == sa {
		delete(sa.ep.grouped, sa.groups.at)
	}
}

// renewable are the groups that a phase 1 from an address may have because of the
// ISAKMP SA that it perhaps renews, and that one's peer.
func (e *Endpoint) renewable(path ike.Path) (string, privateGroups) {
	sa := e.grouped[path.Remote]
	if sa == nil || sa.state != stateEstablished || sa.leaving {
		return "", nil
	}
	gs := make(privateGroups)
	for _, set := range []map[dh.ID]*dh.PrivateGroup{sa.groups.ours, sa.groups.theirs} { // theirs prevail
		maps.Copy(gs, set)
	}
	return sa.s.peer.Name, gs
}
