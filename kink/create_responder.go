package kink

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/racoon3/racoon/dh"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/internal/child"
	"github.com/racoon3/racoon/internal/core"
	"github.com/racoon3/racoon/internal/quickmode"
	"github.com/racoon3/racoon/kink/message"
	"github.com/racoon3/racoon/spd"
)

// maxCreations bounds the Child SAs of one CREATE.
const maxCreations = 16

// create serves CREATE (RFC 4430 3.2, 6.3): one Child SA for each KINK_ISAKMP
// payload. The answer leaves when all of them are installed or refused.
func (v *served) create(now time.Time, s *session, peer *Peer) {
	e, r := v.ep, v.request
	if port := r.path.Remote.Port(); port != peer.port() {
		err := fmt.Errorf("%w: the command came from port %d, and not from %d", ErrNAT, port, peer.port())
		v.refuseAll(now, s, isakmp.NotifyPayloadMalformed, err)
		return
	}
	if s != nil && s.Ending {
		v.refuseAll(now, s, isakmp.NotifyNoProposalChosen, errors.New("the association is being deleted"))
		return
	}
	if s == nil {
		if limit := e.Limits.Sessions; limit > 0 && len(e.sessions) >= limit {
			e.Count.Limited++
			v.refuseAll(now, nil, isakmp.NotifyNoProposalChosen, fmt.Errorf("limit of %d sessions is reached", limit))
			return
		}
		s = e.newSession(now, peer, r.from.Client, r.path, false)
		s.epoch.learn(now, r.epoch, r.from.Stamp)
	}
	v.session = s
	s.serving = append(s.serving, v)
	s.authorize(now, false, func(now time.Time, err error) {
		if err != nil {
			v.done()
			v.refuseAll(now, s, isakmp.NotifyAuthenticationFailed, err)
			return
		}
		v.createAll(now, s)
	})
}

// refuseAll refuses everything in a CREATE.
func (v *served) refuseAll(now time.Time, s *session, t isakmp.NotifyType, err error) {
	e, r := v.ep, v.request
	refused := &RefusedError{Command: message.Create, Type: t, Err: err}
	text := ""
	if errors.Is(err, ErrNAT) { // which the peer cannot see; why else it is refused is our own affair
		text = err.Error()
	}
	v.answer(now, false, notify(spd.ProtoESP, nil, t, text))
	if s == nil || !s.Up {
		if s == nil {
			e.Count.Failed++
			e.Emit(ike.SessionFailed{EventHeader: ike.EventHeader{Time: now, Path: r.path}, Err: &PeerRefused{Principal: r.from.Client, Err: refused}})
			return
		}
		s.sweep(now, ike.DownFailed, refused)
		return
	}
	s.Emit(ike.ChildFailed{EventHeader: s.EventHeader(now), Err: refused})
}

func (v *served) createAll(now time.Time, s *session) {
	var wanted []*message.ISAKMP
	for p := range v.request.payloads.ISAKMPs() {
		wanted = append(wanted, p)
	}
	if len(wanted) == 0 || len(wanted) > maxCreations {
		v.done()
		v.refuseAll(now, s, isakmp.NotifyPayloadMalformed, fmt.Errorf("%d KINK_ISAKMP payloads; 1 to %d are possible", len(wanted), maxCreations))
		return
	}
	answers := make([]message.Payload, len(wanted))
	left := len(wanted)
	var failure error
	ackReq := false
	for i, p := range wanted {
		c := &creation{s: s, key: v.request.from.Key, expires: v.request.from.EndTime}
		v.creations = append(v.creations, c)
		c.serve(now, p, func(now time.Time, answer message.Payload, ack bool, err error) {
			answers[i] = answer
			ackReq = ackReq || ack
			if err == nil {
				v.made = append(v.made, c)
			} else if c.give(now); failure == nil {
				failure = err
			}
			if left--; left > 0 {
				return
			}
			v.done()
			v.created(now, answers, ackReq, failure)
		})
	}
}

// done takes a CREATE off the list of those under way.
func (v *served) done() {
	s := v.session
	s.serving = slices.DeleteFunc(s.serving, func(o *served) bool { return o == v })
}

// abandon: the session has ended while the CREATE was worked on.
func (v *served) abandon(now time.Time) {
	v.done()
	for _, c := range v.creations {
		c.give(now)
	}
	v.answer(now, false, notify(spd.ProtoESP, nil, isakmp.NotifyNoProposalChosen, ""))
}

// created answers when all is decided.
func (v *served) created(now time.Time, answers []message.Payload, ackReq bool, failure error) {
	s := v.session
	if failure != nil && s.Up {
		s.Emit(ike.ChildFailed{EventHeader: s.EventHeader(now), Err: failure})
	}
	if len(v.made) > 0 {
		s.up(now)
	}
	if ackReq && len(v.made) > 0 {
		v.waits = true
		s.unacked = append(s.unacked, v)
		v.answer(now, true, answers...)
		return
	}
	v.answer(now, false, answers...)
	for _, c := range v.made {
		c.settled(now)
	}
	s.sweep(now, ike.DownFailed, failure)
}

// confirmed: the peer has its side of the SAs, or has not said so.
func (v *served) confirmed(now time.Time, err error) {
	s := v.session
	for _, c := range v.made {
		switch {
		case s.Dead:
		case c.ended:
			if err != nil && c.sa.State < child.Deleting { // it was presumed to be there
				s.tellDelete(now, deletion([]*child.SA{c.sa}), func(time.Time, error) {})
				s.Children.Remove(now, c.sa, ike.DownFailed, err, false)
			}
		case err == nil:
			s.Children.Activate(now, c.sa)
			c.settled(now)
		default:
			// The initiator may have its side all the same.
			s.tellDelete(now, deletion([]*child.SA{c.sa}), func(time.Time, error) {})
			c.give(now)
			s.Emit(ike.ChildFailed{EventHeader: s.EventHeader(now), Name: c.cfg.Name, Err: err})
		}
	}
	s.sweep(now, ike.DownFailed, err)
}

// presume: the peer has deleted what the Child SA is to replace. Most likely it has
// got the successor, and the ACK was lost, so that is used. But it may have wanted
// neither: the ACK is waited for all the same.
func (s *session) presume(now time.Time, old *child.SA) {
	for _, v := range slices.Clone(s.unacked) {
		for _, c := range v.made {
			if c.old == old && !c.ended {
				s.Children.Activate(now, c.sa)
				c.settled(now)
			}
		}
	}
}

// serve negotiates one Child SA. done gets the answer's payload, and whether the
// outbound SA waits for an ACK.
func (c *creation) serve(now time.Time, p *message.ISAKMP, done func(now time.Time, answer message.Payload, ack bool, err error)) {
	refuse := func(now time.Time, t isakmp.NotifyType, data []byte, err error) {
		done(now, refusal(p, t, data), false, &RefusedError{Command: message.Create, Type: t, Err: err})
	}
	ps, err := p.Payloads()
	if err == nil {
		err = ps.Require(isakmp.PayloadSA, isakmp.PayloadNonce)
	}
	if err != nil {
		answer, t := unreadable(err)
		done(now, answer, false, &RefusedError{Command: message.Create, Type: t, Err: err})
		return
	}
	s := c.s
	if ps.Count(isakmp.PayloadSA) != 1 {
		refuse(now, isakmp.NotifyPayloadMalformed, nil, fmt.Errorf("%d SA payloads; one is possible", ps.Count(isakmp.PayloadSA)))
		return
	}
	c.ni = slices.Clone(ps.Nonce().Data)
	t, err := c.choose(ps)
	if err != nil {
		refuse(now, t, nil, err)
		return
	}
	if err := c.misread(ps.SA()); err != nil {
		refuse(now, isakmp.NotifyNoProposalChosen, nil, err)
		return
	}
	if err := c.translated(); err != nil {
		refuse(now, isakmp.NotifyPayloadMalformed, []byte(err.Error()), err)
		return
	}
	for _, part := range c.chosen.Parts {
		if s.ep.Owner(spd.SAID{Direction: spd.Out, Protocol: part.Proposal.Protocol, SPI: part.SPI, Dst: s.RemoteAddr()}) != 0 || s.wants(part, c) {
			refuse(now, isakmp.NotifyInvalidSPI, nil, fmt.Errorf("SPI %08x is in use already", uint32(part.SPI)))
			return
		}
	}
	c.group = c.chosen.Group
	switch {
	case ps.KE() != nil && c.group == dh.None:
		refuse(now, isakmp.NotifyInvalidPayloadType, []byte{byte(isakmp.PayloadKE)}, errors.New("a KE payload, and no group that is configured"))
		return
	case ps.KE() == nil && c.group != dh.None:
		refuse(now, isakmp.NotifyPayloadMalformed, nil, fmt.Errorf("group %v is chosen, and there is no KE payload", c.group))
		return
	}
	if c.old = s.sameTraffic(c.cfg.Name, c.local, c.remote); c.old != nil {
		s.confirm(now, func(o *creation) bool { return o.sa == c.old }) // its ACK was lost, or the peer has given it up
	}
	limit := s.ep.Limits.Children
	if c.old != nil {
		limit *= 2 // while it is replaced
	}
	if s.Children.Len()+s.making() > limit {
		s.ep.Count.Limited++
		refuse(now, isakmp.NotifyNoProposalChosen, nil, fmt.Errorf("limit of %d Child SAs is reached", limit))
		return
	}
	// A KE or another choice than the first changes the keys that the initiator
	// expects; so does a nonce of ours (RFC 4430 3.2). kinkd leaves the inbound SA of
	// its first choice as it is, whatever nonce comes.
	ack := c.group != dh.None || s.peer.ContributeNonce && !s.peer.Racoon2 || !c.optimistic(ps.SA())
	if ack {
		if c.nr, err = s.ep.newNonce(); err != nil {
			refuse(now, isakmp.NotifyNoProposalChosen, nil, err)
			return
		}
	}
	install := func(now time.Time) {
		c.reserve(c.chosen.Protocols(), func(now time.Time, err error) {
			if err == nil && s.Dead {
				err = errGone
			}
			if err != nil {
				refuse(now, isakmp.NotifyNoProposalChosen, nil, err)
				return
			}
			c.add(now, &c.chosen, c.chosen.PeerSPIs()[c.chosen.Proposal.Protocol])
			c.spis = nil
			if outer := c.chosen.Parts[len(c.chosen.Parts)-1].Proposal.Protocol; outer != c.chosen.Proposal.Protocol {
				s.AddOuter(c.sa, ike.ChildSPIs{In: c.own[outer], Out: c.chosen.PeerSPIs()[outer]})
			}
			in, out := c.bundles(&c.chosen)
			s.Children.Install(now, c.sa, in, out, ack, func(now time.Time, err error) {
				if err != nil {
					c.sa = nil
					refuse(now, isakmp.NotifyNoProposalChosen, nil, fmt.Errorf("installing the Child SA: %w", err))
					return
				}
				answer, err := c.payload(c.answerSA(ps.SA()), c.nr)
				if err != nil {
					refuse(now, isakmp.NotifyNoProposalChosen, nil, err)
					return
				}
				done(now, answer, ack, nil)
			})
		})
	}
	c.narrow(now, func(now time.Time, err error) {
		switch {
		case err != nil:
			refuse(now, isakmp.NotifyNoProposalChosen, nil, err)
		case c.group == dh.None:
			install(now)
		default:
			s.RespondTo(c.group, ps.KE().Data, func(now time.Time, k core.KeyExchange, err error) {
				if err != nil {
					refuse(now, isakmp.NotifyPayloadMalformed, nil, fmt.Errorf("key exchange: %w", err))
					return
				}
				c.keyShare = k
				install(now)
			})
		}
	})
}

// translated reports a NAT: in transport mode the selectors are the two hosts, and
// they are not where the command came from and went to.
func (c *creation) translated() error {
	if c.chosen.Mode != spd.ModeTransport {
		return nil
	}
	for _, h := range []struct {
		said spd.TrafficSelector
		seen netip.Addr
	}{{c.remote, c.s.RemoteAddr()}, {c.local, c.s.LocalAddr()}} {
		if h.said.First == h.said.Last && h.said.First != h.seen {
			return fmt.Errorf("%w: the peer speaks of %v, and the command has %v", ErrNAT, h.said.First, h.seen)
		}
	}
	return nil
}

// unreadable is the answer to Quick Mode payloads that cannot be read: a
// KINK_ERROR for another version or DOI, else a notification of RFC 4430 5.5.
func unreadable(err error) (message.Payload, isakmp.NotifyType) {
	if e, ok := errors.AsType[*message.ParseError](err); ok {
		if code := e.Code(); code == message.BadQMVers || code == message.InvDOI {
			return &message.Error{Code: code}, isakmp.NotifyPayloadMalformed
		}
	}
	if e, ok := errors.AsType[*isakmp.ParseError](err); ok && e.Notify() == isakmp.NotifyInvalidPayloadType {
		return notify(0, nil, isakmp.NotifyInvalidPayloadType, string([]byte{byte(e.Payload)})), isakmp.NotifyInvalidPayloadType
	}
	return notify(0, nil, isakmp.NotifyPayloadMalformed, ""), isakmp.NotifyPayloadMalformed
}

// wants reports whether another creation that is being served is to have the same
// SPI of the peer.
func (s *session) wants(part quickmode.Part, but *creation) bool {
	for _, v := range s.serving {
		for _, c := range v.creations {
			if c != but && !c.ended && slices.ContainsFunc(c.chosen.Parts, func(p quickmode.Part) bool {
				return p.SPI == part.SPI && p.Proposal.Protocol == part.Proposal.Protocol
			}) {
				return true
			}
		}
	}
	return false
}

// refusal is the answer for one KINK_ISAKMP payload that is refused.
func refusal(p *message.ISAKMP, t isakmp.NotifyType, data []byte) message.Payload {
	protocol, spi := spd.ProtoESP, []byte(nil)
	if ps, err := p.Payloads(); err == nil && ps.SA() != nil && len(ps.SA().Proposals) > 0 {
		q := &ps.SA().Proposals[0]
		protocol, spi = q.Protocol, q.SPI
	}
	return notify(protocol, spi, t, string(data))
}

// choose finds the configured Child that a request fits: the selectors exactly,
// else within its own, and the algorithms. Without identification payloads, which
// are optional, it is the algorithms alone: the selectors are those of the
// configuration, as racoon2 has it. The error says why none fits.
func (c *creation) choose(ps isakmp.Payloads) (isakmp.NotifyType, error) {
	s := c.s
	idci, idcr := ps.ClientIDs()
	c.unnamed = idci == nil
	var local, remote spd.TrafficSelector
	if (idci == nil) != (idcr == nil) {
		return isakmp.NotifyPayloadMalformed, errors.New("one ID payload, where both or none have to be")
	}
	if idci != nil {
		var err error
		if remote, err = idci.TrafficSelector(); err != nil {
			return isakmp.NotifyPayloadMalformed, fmt.Errorf("IDci %v: %w", idci, err)
		}
		if local, err = idcr.TrafficSelector(); err != nil {
			return isakmp.NotifyPayloadMalformed, fmt.Errorf("IDcr %v: %w", idcr, err)
		}
	}
	var failure error
	found, exact := false, false
	for _, cfg := range s.peer.Children {
		l, r, same, ok := s.fits(cfg, idci == nil, local, remote)
		if !ok {
			if failure == nil {
				ownL, ownR := s.OfferedSelectors(cfg)
				failure = fmt.Errorf("offered %v === %v, Child %q has %v === %v: no common traffic", local, remote, cfg.Name, ownL, ownR)
			}
			continue
		}
		if found && (exact || !same) {
			continue
		}
		policy := s.policyOf(cfg)
		policy.OptionalKE = quickmode.VoluntaryGroups
		chosen, err := policy.Choose(ps.SA())
		if err != nil {
			failure = fmt.Errorf("Child %q: %w", cfg.Name, err)
			continue
		}
		c.cfg, c.policy, c.chosen, c.local, c.remote = cfg, policy, chosen, l, r
		found, exact = true, same
	}
	if !found {
		if failure == nil {
			failure = fmt.Errorf("peer %q has no Child configured", s.peer.Name)
		}
		return isakmp.NotifyNoProposalChosen, failure
	}
	return 0, nil
}

// fits reports whether offered selectors are a Child's, and whether they are
// exactly its own. An answer cannot have narrower ones.
func (s *session) fits(cfg *ike.ChildConfig, any bool, local, remote spd.TrafficSelector) (l, r spd.TrafficSelector, exact, ok bool) {
	pairs := s.pairs(cfg)
	if any {
		if len(pairs) == 0 {
			return local, remote, false, false
		}
		return pairs[0].Local, pairs[0].Remote, true, true
	}
	if slices.Contains(pairs, spd.Selector{Local: local, Remote: remote}) {
		return local, remote, true, true
	}
	ownL, ownR := s.OfferedSelectors(cfg)
	return local, remote, false, spd.Covers(ownL, local) && spd.Covers(ownR, remote)
}

// narrow asks the program about the selectors. It may only agree.
func (c *creation) narrow(now time.Time, next func(now time.Time, err error)) {
	s, ask := c.s, c.s.ep.cfg.Narrow
	if ask == nil || c.old != nil {
		next(now, nil)
		return
	}
	local, remote := []spd.TrafficSelector{c.local}, []spd.TrafficSelector{c.remote}
	r := ike.NarrowRequest{Session: s.ID, Peer: s.peer.Name, Child: c.cfg.Name, LocalID: s.LocalID, RemoteID: s.RemoteID, Mode: c.chosen.Mode,
		OfferedLocal: local, OfferedRemote: remote, Local: local, Remote: remote}
	s.Job(ike.JobNarrow, 0, func(ctx context.Context) (any, error) {
		l, r, err := ask(ctx, r)
		if err == nil && (!slices.Equal(l, local) || !slices.Equal(r, remote)) {
			err = fmt.Errorf("callback answered %v === %v; KINK has to take %v === %v as they are or refuse them", l, r, local, remote)
		}
		return nil, err
	}, func(now time.Time, _ any, err error) { next(now, err) }, nil)
}

// optimistic reports whether what was chosen is what the initiator has offered
// first: for which it has its inbound SA already.
func (c *creation) optimistic(sa *isakmp.SA) bool {
	return c.chosen.First(sa)
}

// answerSA is the SA payload of the answer. A shorter lifetime is said by the
// attributes (RFC 4430 3.2).
func (c *creation) answerSA(sa *isakmp.SA) *isakmp.SA {
	answer := c.chosen.Answer(sa, c.own)
	if c.chosen.Claims() && c.policy.Check != ike.CheckObey {
		c.chosen.ShortenLife(answer)
	}
	return answer
}
