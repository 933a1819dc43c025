package ikev1

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/internal/quickmode"
	"github.com/racoon3/racoon/spd"
)

// maxOffer bounds the SA payload, which is kept until phase 1 is through, in
// octets. 200 transforms fit.
const maxOffer = 8192

// firstMessage takes a message that begins phase 1. Until a valid one has been
// accepted, nothing is kept and at most one datagram answers.
func (e *Endpoint) firstMessage(now time.Time, path ike.Path, h isakmp.Header, b []byte) {
	mode, ok := modeOf(h.Exchange)
	if !ok || h.MessageID != 0 || h.Encrypted() || h.Flags != 0 {
		e.Count.Unexpected++
		return
	}
	full := !e.Admits(path.Remote)
	if full && !e.mayMakeRoom(path, mode) {
		return
	}
	m, err := openClear(h, b)
	if err == nil {
		err = m.Require(mode.firstPayloads()...)
	}
	if err == nil {
		err = m.Only(phase1Payloads...)
	}
	if err != nil || len(m.chain.Body(isakmp.PayloadSA)) > maxOffer || m.SA().DOI != isakmp.DOIIPsec || m.Count(isakmp.PayloadSA) != 1 || m.Count(isakmp.PayloadID) > 1 {
		e.Count.Malformed++
		return
	}
	possible, policy, why := e.possible(path, mode)
	renewed, groups := e.renewable(path)
	refuse := func(t isakmp.NotifyType, err error) {
		e.refuseClear(path, h, t)
		e.Count.Failed++
		e.Emit(ike.SessionFailed{EventHeader: ike.EventHeader{Time: now, Path: path}, Err: &RefusedError{Exchange: h.Exchange, Type: t, Err: err}})
	}
	if len(possible) == 0 {
		refuse(isakmp.NotifyNoProposalChosen, why)
		return
	}
	if limit := e.Limits.CookieThreshold; mode == AggressiveMode && limit >= 0 && e.Load.HalfOpen() >= limit {
		e.Count.Limited++
		return
	}
	if mode != MainMode && !e.affords(now, path.Remote) {
		return
	}
	if mode == MainMode {
		policy.gssapi = gssapiOnly(m.Payloads)
		if i := slices.IndexFunc(possible, func(p *Peer) bool { return p.Name == renewed }); i >= 0 {
			policy.proposals = slices.Concat(policy.proposals, groups.in(possible[i]))
		}
		chosen, err := policy.choose(m.SA())
		if err != nil {
			refuse(choiceRefusal(err), err)
			return
		}
		if full {
			e.makeRoom(now)
		}
		e.acceptFirst(now, path, h, b, m, mode, accepted{peers: possible, policy: policy, chosen: chosen, groups: groups})
		return
	}
	a, t, err := e.chooseNamed(path, mode, possible, groups, m)
	if err != nil {
		refuse(t, err)
		return
	}
	e.acceptFirst(now, path, h, b, m, mode, a)
}

// chooseNamed chooses the peer and the proposal where the initiator says at
// once who it is: the first peer with that identity that allows any of what is
// offered. In Aggressive Mode the public value has to be one of the group.
func (e *Endpoint) chooseNamed(path ike.Path, mode Mode, possible []*Peer, groups privateGroups, m *inbound) (a accepted, t isakmp.NotifyType, err error) {
	id := identityOf(m.ID())
	if err = id.Validate(); err != nil {
		return a, isakmp.NotifyInvalidIDInformation, err
	}
	var first error
	gssapi := gssapiOnly(m.Payloads)
	fitting := e.byIdentity(path, possible, id)
	for i, q := range fitting {
		a.groups, a.policy = groups, q.policyWith(false, groups)
		a.policy.gssapi = gssapi
		if a.chosen, err = a.policy.choose(m.SA()); err == nil {
			a.peers, a.why = []*Peer{q}, e.whyPeer(path, fitting, i)
			break
		}
		if first == nil {
			first = fmt.Errorf("%v is peer %q: %w", id, q.Name, err)
		}
	}
	switch {
	case a.peers == nil && first != nil:
		return a, choiceRefusal(first), first
	case a.peers == nil:
		return a, isakmp.NotifyInvalidIDInformation, e.unknownIdentity(path, id, mode)
	}
	if g := (&phase1{groups: groups}).group(a.chosen.group); mode == AggressiveMode && (g == nil || len(m.KE().Data) != g.InitiatorSize()) {
		err = fmt.Errorf("KE payload of %d octets for %v", len(m.KE().Data), a.chosen.group)
		return a, isakmp.NotifyInvalidKeyInformation, err
	}
	return a, 0, nil
}

// choiceRefusal is the notification for an offer that nothing was chosen of.
func choiceRefusal(err error) isakmp.NotifyType {
	if errors.Is(err, quickmode.ErrSituation) {
		return isakmp.NotifySituationNotSupported
	}
	return isakmp.NotifyNoProposalChosen
}

// firstPayloads are what the first message of a mode must have.
func (m Mode) firstPayloads() []isakmp.PayloadType {
	switch m {
	case AggressiveMode:
		return []isakmp.PayloadType{isakmp.PayloadSA, isakmp.PayloadKE, isakmp.PayloadNonce, isakmp.PayloadID}
	case BaseMode:
		return []isakmp.PayloadType{isakmp.PayloadSA, isakmp.PayloadNonce, isakmp.PayloadID}
	}
	return []isakmp.PayloadType{isakmp.PayloadSA}
}

// possible are the peers that may use a mode from an address, and what any of
// them allows.
func (e *Endpoint) possible(path ike.Path, mode Mode) ([]*Peer, phase1Policy, error) {
	all, any := e.peers.index.Candidates(path)
	if len(all) == 0 {
		return nil, phase1Policy{}, fmt.Errorf("no peer is configured for %v on %v", path.Remote, path.Local)
	}
	var c called
	if any {
		c = e.peers.any[mode]
	} else {
		c = calledBy(all, mode)
	}
	if len(c.peers) == 0 {
		return nil, phase1Policy{}, fmt.Errorf("none of the %d peers possible at %v accepts %v", len(all), path.Remote, mode)
	}
	return c.peers, c.policy, nil
}

// called is what may be called in a mode: the peers that accept it, and what any
// of them allows.
type called struct {
	peers  []*Peer
	policy phase1Policy
}

func calledBy(all []*Peer, mode Mode) (c called) {
	for _, p := range all {
		if p.accepts(mode) && len(p.policy(false).methods) > 0 {
			c.peers = append(c.peers, p)
		}
	}
	if len(c.peers) > 0 {
		c.policy = unionPolicy(c.peers)
	}
	return c
}

// unionPolicy is what any of several peers allows: each proposal and method of
// any. The peer that it turns out to be must allow what was chosen. The lifetime
// is then its own matter too.
func unionPolicy(peers []*Peer) phase1Policy {
	out := peers[0].policy(false)
	if len(peers) == 1 {
		return out
	}
	out.proposals, out.check = slices.Clone(out.proposals), ike.CheckObey
	out.methods = slices.Clone(out.methods)
	for _, p := range peers[1:] {
		q := p.policy(false)
		for _, m := range q.methods {
			if !slices.Contains(out.methods, m) {
				out.methods = append(out.methods, m)
			}
		}
		for _, pr := range q.proposals {
			if !slices.ContainsFunc(out.proposals, func(o spd.Proposal) bool { return o.Equal(pr) }) {
				out.proposals = append(out.proposals, pr)
			}
		}
	}
	return out
}

// refuseClear answers a first message with a notification in clear that leaves
// no state behind.
func (e *Endpoint) refuseClear(path ike.Path, h isakmp.Header, t isakmp.NotifyType) {
	h.Exchange, h.Flags = isakmp.ExchangeInformational, 0
	b := isakmp.NewBuilder(make([]byte, 0, 64), h)
	b.Add(&isakmp.Notify{DOI: isakmp.DOIIPsec, Protocol: spd.ProtoIKE, Type: t})
	if m, err := b.Finish(); err == nil {
		e.Transmit(path, m)
	}
}

// accepted is what a first message is answered with.
type accepted struct {
	peers  []*Peer // that it may be from: in the modes that say it, one
	why    string  // that one
	policy phase1Policy
	chosen selectedPhase1
	groups privateGroups // that may have been chosen
}

// acceptFirst makes a half-open SA and answers.
func (e *Endpoint) acceptFirst(now time.Time, path ike.Path, h isakmp.Header, b []byte, m *inbound, mode Mode, a accepted) {
	s := e.newSession(nil, path, false)
	s.Timing, s.why = a.peers[0].times(), a.why
	sa, err := e.newSA(s, mode, false)
	if err != nil {
		s.fail(now, ike.DownFailed, err)
		return
	}
	sa.remote, sa.negotiated = h.CookieI, a.chosen
	sa.p1 = &phase1{policy: a.policy, groups: a.groups, possible: a.peers, step: 1, busy: true, seen: sha256.Sum256(b), asked: len(b)}
	sa.p1.hashed.sai = m.keep(isakmp.PayloadSA)
	sa.first, sa.halfOpen = initKey{h.CookieI, path.Remote}, true
	e.initial[sa.first] = sa
	sa.begun = now
	e.OpenHalf(path.Remote)
	e.SetTimer(&sa.hard, now.Add(s.Timing.HalfOpen))
	if mode == MainMode {
		e.waiting.enter(sa, e.HalfOpen())
	}
	if mode != MainMode {
		s.RemoteID = identityOf(m.ID())
		s.setPeer(a.peers[0])
	}
	sa.announced(m.Payloads)
	sa.noteCertRequests(m.Payloads)
	sa.trace(now, false, h, m.body, h.NextPayload)
	answer := a.chosen.answer(m.SA())
	switch mode {
	case MainMode:
		sa.answerMain(now, answer)
	case AggressiveMode:
		sa.answerAggressive(now, answer, m)
	default:
		sa.answerBase(now, answer, m)
	}
}
