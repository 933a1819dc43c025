package ikev1

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/racoon3/racoon/dh"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/internal/child"
	"github.com/racoon3/racoon/internal/core"
	"github.com/racoon3/racoon/internal/quickmode"
	"github.com/racoon3/racoon/internal/secret"
	"github.com/racoon3/racoon/spd"
)

// respond takes the first message of the peer's Quick Mode.
func (q *quickMode) respond(now time.Time, m *inbound) {
	s := q.s
	if err := m.Require(isakmp.PayloadSA, isakmp.PayloadNonce); err != nil {
		q.refuse(now, m, isakmp.NotifyInvalidPayloadType, err)
		return
	}
	switch {
	case m.Count(isakmp.PayloadSA) != 1:
		q.refuse(now, m, isakmp.NotifySituationNotSupported, fmt.Errorf("%d SA payloads; one is supported", m.Count(isakmp.PayloadSA)))
		return
	case m.SA().DOI != isakmp.DOIIPsec:
		q.refuse(now, m, isakmp.NotifyDOINotSupported, fmt.Errorf("DOI %v", m.SA().DOI))
		return
	}
	if m.header.Flags&isakmp.FlagCommit != 0 {
		// The initiator waits for CONNECTED. RFC 2408 3.1 has it come from the
		// side that sets the bit; in Quick Mode it can only come from this one.
		q.commit, q.x.flags = true, isakmp.FlagCommit
	}
	q.ni = slices.Clone(m.Nonce().Data)
	q.idci, q.idcr = m.ClientIDs()
	q.noteNATOAs(q.x.sa, m)
	if t, err := q.chooseChild(m); err != nil {
		q.refuse(now, m, t, err)
		return
	}
	q.group = q.chosen.Group
	if (m.KE() != nil) != (q.group != dh.None) {
		q.refuse(now, m, isakmp.NotifyInvalidKeyInformation, fmt.Errorf("KE payload: %v, group chosen: %v", m.KE() != nil, q.group))
		return
	}
	var err error
	if q.nr, err = s.ep.newNonce(); err != nil {
		q.refuse(now, m, isakmp.NotifyNoProposalChosen, err)
		return
	}
	q.replaces()
	limit := s.ep.Limits.Children
	if q.old != nil {
		limit *= 2 // while it is replaced
	}
	if s.Children.Len()+s.underway(q, func(*quickMode) bool { return true }) >= limit {
		s.ep.Count.Limited++
		q.refuse(now, m, isakmp.NotifyNoProposalChosen, fmt.Errorf("limit of %d Child SAs is reached", limit))
		return
	}
	q.narrow(now, m, func(now time.Time) { q.agree(now, m) })
}

// chooseChild finds the configured Child that the request fits: the selectors
// exactly, else within its own, and the algorithms. The error says why none
// does.
func (q *quickMode) chooseChild(m *inbound) (isakmp.NotifyType, error) {
	s, sa := q.s, q.x.sa
	local, remote, err := q.offeredSelectors()
	if err != nil {
		return isakmp.NotifyInvalidIDInformation, err
	}
	failType, failure := isakmp.NotifyInvalidIDInformation, error(nil)
	best, beside := fitsNot, ""
	for _, c := range s.peer.Children {
		f := s.fits(c, local, remote, sa)
		if f.how == fitsNot {
			if failure == nil {
				ownL, ownR := s.OfferedSelectors(c)
				failure = fmt.Errorf("offered %v === %v, Child %q has %v === %v: %w", local, remote, c.Name, ownL, ownR, errNoSelectors)
			}
			continue
		}
		if best >= f.how {
			beside = fmt.Sprintf(", earlier in the configuration than %q", c.Name)
			if best > f.how {
				beside = fmt.Sprintf(", better than %q's", c.Name)
			}
			continue
		}
		policy, chosen, err := s.chooseAs(sa, c, m.SA())
		if err != nil {
			failType, failure = isakmp.NotifyNoProposalChosen, fmt.Errorf("Child %q: %w", c.Name, err)
			continue
		}
		if best != fitsNot {
			beside = fmt.Sprintf(", better than %q's", q.cfg.Name)
		}
		q.cfg, q.policy, q.chosen, q.local, q.remote, q.served = c, policy, chosen, f.local, f.remote, f.served
		best = f.how
	}
	if best == fitsNot {
		if err := q.generate(m, local, remote); err != nil {
			return isakmp.NotifyInvalidIDInformation, err
		}
		best = fitsGenerated
	}
	if q.cfg != nil {
		q.why = best.String() + beside
		if q.cfg.RemoteDynamic && s.Leased != nil {
			q.why += ", of the client's leased address"
		}
		_, _, ol, or := s.natSelectors(q.cfg.Mode, local, remote)
		if !q.originalLocal.IsValid() { // by NAT-OA
			q.originalLocal = ol
		}
		if !q.originalRemote.IsValid() {
			q.originalRemote = or
		}
		return 0, nil
	}
	if failure == nil {
		failure = fmt.Errorf("peer %q has no Child configured for this", s.peer.Name)
	}
	return failType, failure
}

// chooseAs is the responder's choice for a Child.
func (s *session) chooseAs(sa *isakmpSA, c *ike.ChildConfig, offer *isakmp.SA) (policy quickmode.Policy, chosen quickmode.Selected, err error) {
	policy = s.policyOf(sa, c)
	policy.OptionalKE = quickmode.VoluntaryGroups
	if policy.Proposals, err = sa.agreedOf(policy.Proposals); err != nil {
		return policy, chosen, err
	}
	chosen, err = policy.Choose(offer)
	return policy, chosen, err
}

// replaces finds the Child SA that this one rekeys, if any: IKEv1 does not say
// so, but it is for the same traffic of the same Child.
func (q *quickMode) replaces() {
	if q.old = q.s.sameTraffic(q.cfg.Name, q.localTS(), q.remote); q.old != nil {
		q.reqID = q.old.Info.ReqID
	}
}

// sameTraffic is the Child SA for the same selectors of the same Child, the
// youngest, or nil.
func (s *session) sameTraffic(name string, local []spd.TrafficSelector, remote spd.TrafficSelector) *child.SA {
	for _, a := range slices.Backward(s.Children.All()) {
		if a.State < child.Replaced && a.State > child.Larval && a.Info.Name == name && slices.Equal(a.Info.LocalTS, local) && a.Info.RemoteTS[0] == remote {
			return a
		}
	}
	return nil
}

// narrow asks the program about the selectors. IKEv1 cannot answer with others,
// so it may only agree.
func (q *quickMode) narrow(now time.Time, m *inbound, next func(now time.Time)) {
	s := q.s
	ask := s.ep.cfg.Narrow
	if ask == nil || q.old != nil {
		next(now)
		return
	}
	local, remote := q.localTS(), []spd.TrafficSelector{q.remote}
	r := ike.NarrowRequest{Session: s.ID, Peer: s.peer.Name, Child: q.cfg.Name, LocalID: s.LocalID, RemoteID: s.RemoteID, Mode: q.chosen.Mode,
		OfferedLocal: []spd.TrafficSelector{q.local}, OfferedRemote: remote, Local: local, Remote: remote}
	s.Job(ike.JobNarrow, 0, func(ctx context.Context) (any, error) {
		l, r, err := ask(ctx, r)
		if err == nil && (!slices.Equal(l, local) || !slices.Equal(r, remote)) {
			err = fmt.Errorf("callback answered %v === %v; IKEv1 has to take %v === %v as they are or refuse them", l, r, local, remote)
		}
		return nil, err
	}, func(now time.Time, _ any, err error) {
		if err != nil {
			q.refuse(now, m, isakmp.NotifyInvalidIDInformation, err)
			return
		}
		next(now)
	}, nil)
}

// agree runs the slow steps: key exchange, SPIs, installation. The inbound SA
// stands before the answer leaves; the outbound one waits for the third
// message.
func (q *quickMode) agree(now time.Time, m *inbound) {
	install := func(now time.Time) {
		q.reserve(q.chosen.Protocols(), func(now time.Time, err error) {
			if err != nil {
				q.refuse(now, m, isakmp.NotifyNoProposalChosen, err)
				return
			}
			q.install(now, q.keyShare.Secret, true, func(now time.Time, err error) {
				if err != nil {
					q.refuse(now, m, isakmp.NotifyNoProposalChosen, err)
					return
				}
				q.answer(now, m)
			})
			q.keyShare.Secret.Wipe()
		})
	}
	if q.group == dh.None {
		install(now)
		return
	}
	q.s.RespondIn(q.x.sa.group(q.group, false), m.KE().Data, func(now time.Time, k core.KeyExchange, err error) {
		if err != nil {
			q.refuse(now, m, isakmp.NotifyInvalidKeyInformation, fmt.Errorf("key exchange: %w", err))
			return
		}
		q.keyShare = k
		if q.ended {
			k.Wipe()
			return
		}
		install(now)
	})
}

// answer sends the second message.
func (q *quickMode) answer(now time.Time, m *inbound) {
	x := q.x
	payloads := []isakmp.Payload{q.chosen.Answer(m.SA(), q.own), &isakmp.Nonce{Data: q.nr}}
	if q.group != dh.None {
		payloads = append(payloads, &isakmp.KE{Data: q.keyShare.Public})
	}
	if q.idci != nil {
		payloads = append(payloads, q.idci, q.idcr)
	}
	payloads = append(payloads, q.natOAs(x.sa)...)
	if q.chosen.Claims() && q.policy.Check == ike.CheckClaim {
		payloads = append(payloads, &isakmp.Notify{DOI: isakmp.DOIIPsec, Protocol: q.chosen.Proposal.Protocol,
			SPI: quickmode.AppendSPI(nil, q.own[q.chosen.Proposal.Protocol]), Type: isakmp.NotifyResponderLifetime,
			Data: isakmp.AppendAttributes(nil, isakmp.AppendLifetime(nil, spd.ProtoESP, q.chosen.Life.Wire())...)})
	}
	q.step = 3
	// As RFC 2409 5.5 says, with the initiator's nonce.
	x.send(now, func(covered []byte) secret.Bytes { return x.sa.keys.quickHash2(x.id, q.ni, covered) }, payloads...)
}

// confirmed takes the third message.
func (q *quickMode) confirmed(now time.Time, m *inbound) {
	x := q.x
	if q.sa == nil || q.sa.State == child.Gone {
		x.finish(now)
		return
	}
	if q.commit || m.header.Flags&isakmp.FlagCommit != 0 {
		protocol := q.chosen.Proposal.Protocol
		x.flags = isakmp.FlagCommit
		x.reply(now, x.messageHash, &isakmp.Notify{DOI: isakmp.DOIIPsec, Protocol: protocol, SPI: quickmode.AppendSPI(nil, q.own[protocol]), Type: isakmp.NotifyConnected})
	}
	q.prove(now)
}

// unconfirmed: the third message did not come, nor any packet. The peer may
// believe that the SA stands, and has to know that it does not.
func (q *quickMode) unconfirmed(now time.Time, x *exchange, err error) {
	x.sa.sendDeleteChild(now, q.sa)
	q.discard(now, err)
	q.failed(now, err)
}

// refuse answers with a notification.
func (q *quickMode) refuse(now time.Time, m *inbound, t isakmp.NotifyType, err error) {
	x := q.x
	var spi []byte
	protocol := spd.ProtoESP
	if sa := m.SA(); sa != nil && len(sa.Proposals) > 0 {
		spi, protocol = sa.Proposals[0].SPI, sa.Proposals[0].Protocol
	}
	x.finish(now)
	x.sa.sendInformational(now, &isakmp.Notify{DOI: isakmp.DOIIPsec, Protocol: protocol, SPI: spi, Type: t})
	q.failed(now, &RefusedError{Exchange: x.kind, Type: t, Err: err})
}
