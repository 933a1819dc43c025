package ikev1

import (
	"errors"
	"fmt"
	"time"

	"github.com/racoon3/racoon/dh"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/internal/secret"
	"github.com/racoon3/racoon/spd"
)

// New Group Mode (RFC 2409 5.6), under an established ISAKMP SA:
//
//	HDR*, HASH(1), SA  ->
//	                   <-  HDR*, HASH(2), SA
//
// It gives a number to a private group, which later exchanges then name. Whether
// a group is sound cannot be told in any reasonable time: its prime may have
// been chosen so that its owner can break it. So the parameters on the wire are
// only compared with those of the configuration, and nothing is ever computed
// with them. Everything else is refused, by a Notification in place of the SA.

var errPrivateGroup = errors.New("private groups are accepted only if they are configured for the peer")

// groupProposal is the initiator's side.
type groupProposal struct {
	group   *dh.PrivateGroup
	waiting []func(now time.Time, err error)
}

func (*groupProposal) hash(x *exchange, covered []byte) secret.Bytes { return x.messageHash(covered) }

// agreeOn proposes a configured group under the SA, unless that has been done,
// and tells when the peer has agreed.
func (sa *isakmpSA) agreeOn(now time.Time, g *dh.PrivateGroup, done func(now time.Time, err error)) {
	if sa.groups == nil {
		sa.groups = &agreedGroups{}
	}
	if f := sa.groups.underway[g.ID()]; f != nil {
		f.waiting = append(f.waiting, done)
		return
	}
	f := &groupProposal{group: g, waiting: []func(now time.Time, err error){done}}
	x, err := sa.newExchange(isakmp.ExchangeNewGroupMode, f)
	if err != nil {
		done(now, err)
		return
	}
	if sa.groups.underway == nil {
		sa.groups.underway = make(map[dh.ID]*groupProposal)
	}
	sa.groups.underway[g.ID()] = f
	x.send(now, x.messageHash, groupSA(g))
}

// groupSA is the proposal of a group: one transform with its characteristics.
func groupSA(g *dh.PrivateGroup) *isakmp.SA {
	return &isakmp.SA{DOI: isakmp.DOIIPsec, Situation: isakmp.SituationIdentityOnly, Proposals: []isakmp.Proposal{{Num: 1, Protocol: spd.ProtoIKE,
		Transforms: []isakmp.Transform{{Num: 1, ID: isakmp.KeyIKE, Attributes: []isakmp.Attribute{
			isakmp.Basic(isakmp.Phase1Group, uint16(g.ID())),
			isakmp.Basic(isakmp.Phase1GroupType, isakmp.GroupMODP),
			isakmp.Variable(isakmp.Phase1GroupPrime, g.Prime()),
			isakmp.Variable(isakmp.Phase1GroupGeneratorOne, g.Generator()),
		}}}}}}
}

// receive takes the answer, which must be what was proposed.
func (f *groupProposal) receive(now time.Time, x *exchange, m *inbound) {
	x.finish(now)
	f.end(now, x, f.check(x, m))
}

func (f *groupProposal) check(x *exchange, m *inbound) error {
	if n := m.ErrorNotify(); n != nil && m.SA() == nil {
		return &NotifyError{Exchange: x.kind, Type: n.Type, Text: notifyText(n), Detail: f.text()}
	}
	if m.SA() == nil || m.Count(isakmp.PayloadSA) != 1 {
		return protocolError(x.kind, "answer has %d SA payloads", m.Count(isakmp.PayloadSA))
	}
	sa := m.SA()
	if len(sa.Proposals) != 1 || len(sa.Proposals[0].Transforms) != 1 {
		return protocolError(x.kind, "responder did not choose one transform: %v", sa)
	}
	o, bad := parseGroup(&sa.Proposals[0].Transforms[0])
	if bad != nil || sa.Proposals[0].Protocol != spd.ProtoIKE || o.id != f.group.ID() || !f.group.Is(o.prime, o.generator) {
		return protocolError(x.kind, "responder answered with %v; %v was proposed", o, f.group)
	}
	return nil
}

func (f *groupProposal) text() string { return fmt.Sprintf("we proposed %v", f.group) }

func (f *groupProposal) abort(now time.Time, x *exchange, err error) {
	f.end(now, x, err)
	if _, silent := err.(*TimeoutError); silent {
		x.sa.s.unanswered(now, x.sa)
	}
}

// end tells those who wait.
func (f *groupProposal) end(now time.Time, x *exchange, err error) {
	groups := x.sa.groups
	delete(groups.underway, f.group.ID())
	if err == nil {
		if groups.ours == nil {
			groups.ours = make(map[dh.ID]*dh.PrivateGroup)
		}
		groups.ours[f.group.ID()] = f.group
	}
	waiting := f.waiting
	f.waiting = nil
	for _, done := range waiting {
		done(now, err)
	}
}

// awaitsGroup has a Quick Mode wait until its private group has been agreed on.
func (q *quickMode) awaitsGroup(now time.Time, sa *isakmpSA) bool {
	s := q.s
	g := s.peer.privateGroup(q.group)
	if g == nil || sameGroup(sa.groups.of(q.group, true), g) {
		return false
	}
	sa.agreeOn(now, g, func(now time.Time, err error) {
		switch {
		case q.ended:
		case err != nil && (sa.state == stateDead || sa.leaving):
			q.again(now, err)
		case err != nil:
			q.failed(now, fmt.Errorf("private group: %w", err))
		case q.overtaken(now):
			q.give(now, errReplaced)
		default:
			q.start(now, sa)
		}
	})
	return true
}

// groupAnswer is the responder's side.
type groupAnswer struct{}

func (*groupAnswer) hash(x *exchange, covered []byte) secret.Bytes { return x.messageHash(covered) }

func (*groupAnswer) abort(time.Time, *exchange, error) {}

// receive answers with the first group on offer that is configured.
func (*groupAnswer) receive(now time.Time, x *exchange, m *inbound) {
	sa := x.sa
	chosen, t, err := sa.chooseGroup(m)
	if err != nil {
		sa.s.Warn(now, &RefusedError{Exchange: x.kind, Type: t, Err: err})
		x.reply(now, x.messageHash, sa.notify(t, nil))
		return
	}
	x.reply(now, x.messageHash, chosen)
}

// maxGroupsExamined bounds the transforms of an offer that are looked at.
const maxGroupsExamined = 32

// chooseGroup compares an offer with the configuration. The error, told with the
// notification that says as much, has what was offered and what is wanted.
func (sa *isakmpSA) chooseGroup(m *inbound) (*isakmp.SA, isakmp.NotifyType, error) {
	offer := m.SA()
	switch {
	case offer == nil || m.Count(isakmp.PayloadSA) != 1:
		return nil, isakmp.NotifyNoProposalChosen, fmt.Errorf("%d SA payloads; there has to be one", m.Count(isakmp.PayloadSA))
	case offer.DOI != isakmp.DOIIPsec:
		return nil, isakmp.NotifyDOINotSupported, fmt.Errorf("DOI %v", offer.DOI)
	case offer.Situation != isakmp.SituationIdentityOnly:
		return nil, isakmp.NotifySituationNotSupported, errors.New("situation other than SIT_IDENTITY_ONLY")
	}
	fail := &ike.NegotiationError{Proposal: -1, Transform: -1}
	refusal, examined := isakmp.NotifyNoProposalChosen, 0
	for i := range offer.Proposals {
		q := &offer.Proposals[i]
		for j := range q.Transforms {
			if examined++; q.Protocol != spd.ProtoIKE || examined > maxGroupsExamined {
				continue
			}
			refusal = isakmp.NotifyAttributesNotSupported
			o, bad := parseGroup(&q.Transforms[j])
			if bad == nil {
				if bad = sa.takeGroup(o); bad == nil {
					answer := *q
					answer.Transforms = q.Transforms[j : j+1]
					return &isakmp.SA{DOI: offer.DOI, Situation: offer.Situation, Proposals: []isakmp.Proposal{answer}}, 0, nil
				}
			}
			if fail.Transform < 0 {
				fail.Proposal, fail.Transform, fail.Mismatches = int(q.Num), int(q.Transforms[j].Num), []ike.Mismatch{*bad}
			}
			if len(fail.Offered) < maxPrivateGroups {
				fail.Offered = append(fail.Offered, o.String())
			}
		}
	}
	for _, g := range sa.s.peer.PrivateGroups {
		fail.Wanted = append(fail.Wanted, g.String())
	}
	return nil, refusal, fmt.Errorf("%w: %w", errPrivateGroup, fail)
}

// takeGroup agrees on a group, if it may be.
func (sa *isakmpSA) takeGroup(o offeredGroup) *ike.Mismatch {
	for _, g := range sa.s.peer.PrivateGroups {
		if !g.Is(o.prime, o.generator) {
			continue
		}
		if sa.groups == nil {
			sa.groups = &agreedGroups{}
		}
		theirs := sa.groups.theirs
		switch known := theirs[o.id]; {
		case known != nil && !sameGroup(known, g):
			m := mismatch(isakmp.Phase1Group.String(), fmt.Sprintf("%d again, for another group", o.id), "a new number")
			return &m
		case known == nil && len(theirs) >= maxPrivateGroups:
			sa.ep.Count.Limited++
			m := mismatch(isakmp.Phase1Group.String(), fmt.Sprintf("one more than %d numbers", maxPrivateGroups), "one of those")
			return &m
		}
		if theirs == nil {
			sa.groups.theirs = make(map[dh.ID]*dh.PrivateGroup)
		}
		sa.groups.theirs[o.id] = g
		sa.grouped()
		return nil
	}
	m := mismatch("Group", o.String(), "a group that is configured for the peer")
	return &m
}

// offeredGroup is a group as on the wire: to be compared, and nothing else.
type offeredGroup struct {
	id               dh.ID
	kind             isakmp.GroupType
	prime, generator []byte
}

func (o offeredGroup) String() string {
	return fmt.Sprintf("%v (%v, prime of %d octets %.8x..., generator %.8x)", o.id, o.kind, len(o.prime), o.prime, o.generator)
}

// parseGroup reads a transform of New Group Mode (RFC 2409 appendix A). Only
// MODP groups have a form here, in all attributes that they need and no others.
func parseGroup(t *isakmp.Transform) (o offeredGroup, bad *ike.Mismatch) {
	refuse := func(name isakmp.Phase1Attribute, offered, wanted string) {
		if bad == nil {
			m := mismatch(name.String(), offered, wanted)
			bad = &m
		}
	}
	if t.ID != isakmp.KeyIKE {
		m := mismatch("Transform-ID", fmt.Sprint(t.ID), "KEY_IKE")
		bad = &m
	}
	var seen [isakmp.Phase1GroupGeneratorOne + 1]bool
	for i := range t.Attributes {
		a := &t.Attributes[i]
		name := isakmp.Phase1Attribute(a.Type)
		if name < isakmp.Phase1Group || name > isakmp.Phase1GroupGeneratorOne {
			refuse(name, "the attribute", "none, of a MODP group")
			continue
		}
		if seen[name] {
			refuse(name, "twice", "once")
			continue
		}
		seen[name] = true
		switch v, ok := a.Uint(); name {
		case isakmp.Phase1Group:
			if !ok || v < uint64(dh.FirstPrivate) || v > 0xffff {
				refuse(name, fmt.Sprint(v), fmt.Sprintf("a private number, from %d to 65535", dh.FirstPrivate))
			}
			o.id = dh.ID(v)
		case isakmp.Phase1GroupType:
			if o.kind = isakmp.GroupType(v); !ok || v != uint64(isakmp.GroupMODP) {
				refuse(name, o.kind.String(), isakmp.GroupMODP.String())
			}
		case isakmp.Phase1GroupPrime:
			o.prime = attributeOctets(a)
		case isakmp.Phase1GroupGeneratorOne:
			o.generator = attributeOctets(a)
		}
	}
	for name := isakmp.Phase1Group; int(name) < len(seen); name++ {
		if !seen[name] {
			refuse(name, "none", "one")
		}
	}
	return o, bad
}

// attributeOctets is the value of an attribute that may have either form.
func attributeOctets(a *isakmp.Attribute) []byte {
	if a.Basic {
		return []byte{byte(a.Value >> 8), byte(a.Value)}
	}
	return a.Data
}
