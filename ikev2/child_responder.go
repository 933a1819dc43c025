package ikev2

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/racoon3/racoon/dh"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev2/message"
	"github.com/racoon3/racoon/internal/child"
	"github.com/racoon3/racoon/internal/core"
	"github.com/racoon3/racoon/spd"
)

// childAnswer gets the payloads that answer a request for a Child SA, and the
// SA that was made, or nil if they refuse it.
type childAnswer func(now time.Time, payloads message.Payloads, made *child.SA)

// answerChild serves a request for a Child SA, in IKE_AUTH or in
// CREATE_CHILD_SA. Old is the SA to be replaced, or nil. The SA is installed
// before answer is called: a reply leaves only after its inbound SA stands,
// and a failed installation changes the reply.
func (sa *ikeSA) answerChild(now time.Time, m *message.Message, old *child.SA, answer childAnswer) {
	s := sa.s
	x := &childExchange{s: s, old: old}
	exchange := m.Header.Exchange
	inAuth := exchange == message.ExchangeIKEAuth
	refuse := func(now time.Time, t message.NotifyType, data []byte, err error) {
		if x.cfg != nil {
			s.Children.Release(x.requests, x.spis)
			x.spis = nil
		}
		if t != message.NotifyInvalidKEPayload { // only a detour
			sa.childRefused(now, exchange, t, err)
		}
		answer(now, message.Payloads{&message.Notify{Type: t, Data: data}}, nil)
	}
	if err := m.Require(message.PayloadSA, message.PayloadTSi, message.PayloadTSr); err != nil {
		refuse(now, message.NotifyInvalidSyntax, nil, err)
		return
	}
	limit := s.ep.Limits.Children
	if old != nil {
		limit *= 2 // while it is replaced
	}
	if s.Children.Len() >= limit {
		s.ep.Count.Limited++
		refuse(now, message.NotifyNoAdditionalSAs, nil, fmt.Errorf("limit of %d Child SAs is reached", limit))
		return
	}
	x.ni, x.nr = sa.childNonces(m, inAuth)
	tsi, okI := selectors(m.TSi())
	tsr, okR := selectors(m.TSr())
	if !okI || !okR {
		refuse(now, message.NotifyTSUnacceptable, nil, fmt.Errorf("offered selectors %v === %v are not usable", m.TSi(), m.TSr()))
		return
	}
	var ke uint16
	if k := m.KE(); k != nil && !inAuth {
		ke = k.Group
	}
	offered := offeredProposals(m.SA())
	selected, t, err := x.choose(m, offered, tsi, tsr, ke, inAuth)
	if err != nil {
		refuse(now, t, nil, err)
		return
	}
	x.proposal = selected.Proposal
	x.noTFC = m.HasNotify(message.NotifyESPTFCPaddingNotSupported)
	x.agreeIPComp(m)
	num := m.SA().Proposals[selected.OfferedIndex].Num
	group := dh.ID(x.proposal.KeyExchange())
	if group != dh.None && uint16(group) != ke {
		refuse(now, message.NotifyInvalidKEPayload, []byte{byte(group >> 8), byte(group)}, nil)
		return
	}
	if x.peerSPI, err = wireSPI(m.SA().Proposals[selected.OfferedIndex].SPI); err != nil {
		refuse(now, message.NotifyInvalidSyntax, nil, err)
		return
	}
	if inAuth || x.nr != nil {
		x.respond(now, sa, m, tsi, tsr, num, group, inAuth, refuse, answer)
		return
	}
	refuse(now, message.NotifyTemporaryFailure, nil, fmt.Errorf("no nonce: the random source failed"))
}

// childNonces are those of IKE_SA_INIT for the first Child SA, else the
// request's and a new one.
func (sa *ikeSA) childNonces(m *message.Message, inAuth bool) (ni, nr []byte) {
	if inAuth {
		return sa.hs.ni, sa.hs.nr
	}
	if n := m.Nonce(); n != nil {
		ni = n.Data
	}
	nr, err := sa.ep.newNonce()
	if err != nil {
		return ni, nil
	}
	return ni, nr
}

// choose finds the configured Child that the request fits, and selects the
// algorithms. The error says why none does.
func (x *childExchange) choose(m *message.Message, offered []spd.Proposal, tsi, tsr []spd.TrafficSelector, ke uint16, inAuth bool) (spd.Selected, message.NotifyType, error) {
	s := x.s
	transport := m.HasNotify(message.NotifyUseTransportMode)
	opt := spd.SelectOptions{KE: ke, NoKE: inAuth, OptionalKE: voluntaryGroups}
	var best spd.Selected
	var bestFirst bool
	failType, failure := message.NotifyTSUnacceptable, error(nil)
	for _, c := range s.peer.Children {
		if x.old != nil && c.Name != x.old.Info.Name {
			continue
		}
		mode := spd.ModeTunnel
		if transport && c.Mode == spd.ModeTransport {
			mode = spd.ModeTransport
		} else if c.Mode == spd.ModeTransport {
			failType, failure = message.NotifyNoProposalChosen, fmt.Errorf("Child %q is for transport mode, and the peer asks for tunnel mode", c.Name)
			continue
		}
		y := childExchange{s: s, cfg: c, mode: mode}
		local, remote := y.natSelectors(tsr, tsi)
		ownL, ownR := s.OfferedSelectors(c)
		n, ok := spd.NarrowPair(remote, local, ownR, ownL)
		if !ok {
			if failure == nil {
				failure = fmt.Errorf("offered %v === %v, Child %q has %v === %v: %w", tsr, tsi, c.Name, ownL, ownR, errNoSelectors)
			}
			continue
		}
		if s.peer.Quirks.OnePairPerChild {
			n, _ = n.Single(remote, local)
		}
		if x.cfg != nil && (bestFirst || !n.First) {
			continue
		}
		sel, err := spd.Select(offered, c.Proposals, opt)
		if err != nil {
			failType, failure = message.NotifyNoProposalChosen, fmt.Errorf("Child %q: %w", c.Name, err)
			continue
		}
		x.cfg, x.mode, x.local, x.remote = c, mode, n.TSr, n.TSi
		x.originalLocal, x.originalRemote = y.originalLocal, y.originalRemote
		best, bestFirst = sel, n.First
		x.ipcomp = s.canIPComp(c)
	}
	if x.cfg != nil {
		return best, 0, nil
	}
	if failure == nil {
		failure = fmt.Errorf("peer %q has no Child configured for this", s.peer.Name)
	}
	return best, failType, failure
}

// voluntaryGroups are taken for a Child SA whose configuration asks for no
// perfect forward secrecy, when the peer wants it.
var voluntaryGroups = []uint16{uint16(dh.Curve25519), uint16(dh.ECP256), uint16(dh.ECP384), uint16(dh.ECP521),
	uint16(dh.MODP2048), uint16(dh.MODP3072), uint16(dh.MODP4096), uint16(dh.MODP6144), uint16(dh.MODP8192)}

// respond runs the slow steps: ask the program, key exchange, SPI, install.
func (x *childExchange) respond(now time.Time, sa *ikeSA, m *message.Message, tsi, tsr []spd.TrafficSelector, num uint8, group dh.ID, inAuth bool,
	refuse func(time.Time, message.NotifyType, []byte, error), answer childAnswer) {
	s := x.s
	var share core.KeyExchange
	install := func(now time.Time, err error) {
		if err != nil {
			refuse(now, message.NotifyTemporaryFailure, nil, fmt.Errorf("reserving an SPI: %w", err))
			return
		}
		spis := x.spis
		x.install(now, sa.keys, share.Secret, x.old != nil, func(now time.Time, err error) {
			share.Secret.Wipe()
			if err != nil {
				refuse(now, message.NotifyTemporaryFailure, nil, err)
				return
			}
			answer(now, x.answer(num, spis, share.Public, inAuth), x.sa)
		})
	}
	exchange := func(now time.Time) {
		if group == dh.None {
			x.reserve(install)
			return
		}
		s.RespondTo(group, m.KE().Data, func(now time.Time, k core.KeyExchange, err error) {
			if err != nil {
				refuse(now, message.NotifyInvalidSyntax, nil, fmt.Errorf("key exchange: %w", err))
				return
			}
			share = k
			x.reserve(install)
		})
	}
	ask := s.ep.cfg.Narrow
	if ask == nil || x.old != nil {
		exchange(now)
		return
	}
	tsr, tsi, _, _ = s.NATSelectors(x.mode, tsr, tsi) // as what is chosen of them
	r := ike.NarrowRequest{Session: s.ID, Peer: s.peer.Name, Child: x.cfg.Name, LocalID: s.LocalID, RemoteID: s.RemoteID, Mode: x.mode,
		OfferedLocal: tsr, OfferedRemote: tsi, Local: x.local, Remote: x.remote}
	type narrowed struct{ local, remote []spd.TrafficSelector }
	s.Job(ike.JobNarrow, 0, func(ctx context.Context) (any, error) {
		l, r, err := ask(ctx, r)
		return narrowed{l, r}, err
	}, func(now time.Time, v any, err error) {
		n, _ := v.(narrowed)
		switch {
		case err != nil:
		case len(n.local) == 0 || len(n.remote) == 0:
			err = errNoSelectors
		case !spd.CoversSet(r.OfferedLocal, n.local) || !spd.CoversSet(r.OfferedRemote, n.remote):
			err = fmt.Errorf("callback answered %v === %v, which is not within the offered %v === %v", n.local, n.remote, tsr, tsi)
		}
		if err != nil {
			refuse(now, message.NotifyTSUnacceptable, nil, err)
			return
		}
		x.local, x.remote = slices.Clone(n.local), slices.Clone(n.remote) // the program may go on using them
		exchange(now)
	}, nil)
}

// answer makes the response's payloads. In transport mode behind a NAT the
// selectors have the addresses that this side sees (RFC 7296 2.23.1).
func (x *childExchange) answer(num uint8, spis []spd.SPI, public []byte, inAuth bool) message.Payloads {
	out := append(make(message.Payloads, 0, childPayloads), x.ipcompNotify(spis)...)
	if x.mode == spd.ModeTransport {
		out = append(out, &message.Notify{Type: message.NotifyUseTransportMode})
	}
	out = append(out, wireChoice(x.proposal, num, spiBytes(spis[0])))
	if !inAuth {
		out = append(out, &message.Nonce{Data: x.nr})
		if public != nil {
			out = append(out, &message.KE{Group: x.proposal.KeyExchange(), Data: public})
		}
	}
	return append(out, wireSelectors(x.remote, false), wireSelectors(x.local, true))
}

// childRefused tells the program about a Child SA that was refused.
func (sa *ikeSA) childRefused(now time.Time, x message.ExchangeType, t message.NotifyType, err error) {
	s := sa.s
	s.Emit(ike.ChildFailed{EventHeader: s.EventHeader(now), Err: &RefusedError{Exchange: x, Type: t, Err: err}})
}
