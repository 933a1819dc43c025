package ikev2

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/racoon3/racoon/dh"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev2/message"
	"github.com/racoon3/racoon/internal/core"
	"github.com/racoon3/racoon/spd"
)

// rekeyIKE is the CREATE_CHILD_SA exchange that replaces the IKE SA
// (RFC 7296 1.3.2, 2.18), as its initiator.
type rekeyIKE struct {
	next     *ikeSA // the new SA, once our SPI is chosen
	ni       []byte
	group    dh.ID
	keyShare core.KeyExchange
	restarts int
	sent     bool // the request has left: the peer may have acted on it
	answered bool // the peer has agreed: it holds the new SA
	// rival is the IKE SA that the peer has made at the same time (RFC 7296
	// 2.8.2), with the lowest nonce of its exchange.
	rival      *ikeSA
	rivalNonce []byte
}

// rekeyingIKE reports whether our request to replace this SA is under way.
func (sa *ikeSA) rekeyingIKE() bool {
	_, ok := sa.active.(*rekeyIKE)
	return ok
}

// rekeyProposals are the configured ones, in the order for a rekey.
func (s *session) rekeyProposals() []spd.Proposal {
	p := s.peer.Proposals
	if g := s.peer.Quirks.RekeyGroupFirst; g != 0 {
		p = slices.Clone(p)
		for i := range p {
			groups := spd.KEGroups(p[i : i+1])
			if j := slices.Index(groups, g); j > 0 {
				p[i] = p[i].WithKE(append([]uint16{g}, slices.Delete(groups, j, j+1)...)...)
			}
		}
	}
	return p
}

func (s *session) rekeyIKE(now time.Time) {
	if s.current == nil || s.Ending || s.current.rekeyingIKE() {
		return
	}
	s.current.enqueue(now, &rekeyIKE{})
}

func (t *rekeyIKE) start(now time.Time, sa *ikeSA) {
	s, e := sa.s, sa.ep
	if sa.state != stateEstablished {
		t.drop(now)
		sa.finish(now)
		return
	}
	t.sent = false
	var err error
	if t.ni, err = e.newNonce(); err == nil && t.next == nil {
		t.next, err = e.newSA(s, true)
	}
	if err != nil {
		t.fail(now, sa, err)
		return
	}
	if t.group == dh.None {
		// The group in use is one that the peer takes.
		t.group = dh.ID(sa.alg.group)
		if g := s.peer.Quirks.RekeyGroupFirst; g != 0 {
			t.group = dh.ID(g)
		}
	}
	s.Generate(t.group, func(now time.Time, k core.KeyExchange, err error) {
		if sa.active != task(t) {
			k.Wipe()
			return
		}
		if err != nil {
			t.fail(now, sa, err)
			return
		}
		t.keyShare, t.sent = k, true
		spi := binary.BigEndian.AppendUint64(nil, uint64(t.next.local))
		sa.request(now, message.ExchangeCreateChildSA,
			wireProposals(s.rekeyProposals(), spi), &message.Nonce{Data: t.ni}, &message.KE{Group: uint16(t.group), Data: k.Public})
	})
}

func (t *rekeyIKE) response(now time.Time, sa *ikeSA, m *message.Message) {
	s := sa.s
	if n := m.ErrorNotify(); n != nil && m.SA() == nil {
		t.refused(now, sa, n)
		return
	}
	if err := t.check(sa, m); err != nil {
		t.fail(now, sa, protocolError(m.Header.Exchange, "response to the rekey of the IKE SA: %w", err))
		return
	}
	nr := m.Nonce().Data
	private := t.keyShare.Private
	t.keyShare, t.answered = core.KeyExchange{}, true
	s.Conclude(private, m.KE().Data, func(now time.Time, k core.KeyExchange, err error) {
		defer k.Secret.Wipe()
		if t.next == nil || sa.state == stateDead {
			t.drop(now)
			return
		}
		if err == nil {
			err = t.next.deriveRekeyed(sa.keys, t.ni, nr, k.Secret)
		}
		switch {
		case sa.active != task(t) && err != nil:
			t.drop(now)
		case sa.active != task(t):
			t.deleteRedundant(now, sa)
		case err != nil:
			t.fail(now, sa, err)
		default:
			t.succeed(now, sa, lowest(t.ni, nr))
		}
	})
}

// check takes the responder's choices into the new SA.
func (t *rekeyIKE) check(sa *ikeSA, m *message.Message) error {
	if err := m.Require(message.PayloadSA, message.PayloadKE, message.PayloadNonce); err != nil {
		return err
	}
	chosen := offeredProposals(m.SA())
	if len(chosen) != 1 {
		return fmt.Errorf("%d proposals", len(chosen))
	}
	if _, err := spd.CheckSelected(sa.s.rekeyProposals(), chosen[0]); err != nil {
		return err
	}
	alg, err := sa.ep.algorithmsOf(chosen[0])
	if err != nil {
		return err
	}
	spi := m.SA().Proposals[0].SPI
	if len(spi) != 8 || be64(spi) == 0 {
		return fmt.Errorf("IKE SPI of %d octets", len(spi))
	}
	if alg.group != uint16(t.group) || m.KE().Group != alg.group {
		return fmt.Errorf("key exchange %v, and we sent %v", dh.ID(m.KE().Group), t.group)
	}
	t.next.alg, t.next.remote = alg, message.SPI(be64(spi))
	return nil
}

// deriveRekeyed makes the keys of an SA that replaces another one.
func (sa *ikeSA) deriveRekeyed(old *ikeKeys, ni, nr, shared []byte) error {
	seed := rekeySKEYSEED(old, ni, nr, shared)
	defer seed.Wipe()
	keys, err := deriveIKEKeys(sa.alg, seed, ni, nr, sa.spis(), sa.initiator)
	if err != nil {
		return err
	}
	keys.settle()
	sa.keys = keys
	return nil
}

// succeed: our new SA stands. Of two that were made at once, the one with the
// lowest nonce goes, deleted by who began it; the other deletes the old SA.
func (t *rekeyIKE) succeed(now time.Time, sa *ikeSA, nonce []byte) {
	s := sa.s
	sa.active = nil
	if t.rivalStands() && bytes.Compare(nonce, t.rivalNonce) < 0 {
		t.deleteRedundant(now, sa)
		sa.handOver(now, t.rival, false)
		return
	}
	if t.rivalStands() {
		t.rival.retire(now) // the peer deletes it
	}
	sa.handOver(now, t.next, true)
	if sa.state != stateDead {
		s.sendDelete(now, sa)
	}
}

// rivalStands reports whether the peer has made an SA at the same time and has
// not deleted it again.
func (t *rekeyIKE) rivalStands() bool { return t.rival != nil && t.rival.state == stateEstablished }

// deleteRedundant deletes our new SA, which has lost against the peer's.
func (t *rekeyIKE) deleteRedundant(now time.Time, sa *ikeSA) {
	next := t.next
	t.next = nil
	sa.ep.SetTimer(&next.hard, now.Add(sa.s.Timing.DeleteWait))
	sa.s.sendDelete(now, next)
}

// won: the peer uses the new SA that it has made, so it has seen our answer
// and decided the collision, whatever has become of its answer to us.
func (sa *ikeSA) won(now time.Time) {
	old := sa.contends
	sa.contends = nil
	if t, ok := old.active.(*rekeyIKE); ok && t.rival == sa && t.rivalStands() {
		t.adoptRival(now, old)
	}
}

// adoptRival gives our own attempt up: the peer has finished its. If the peer
// has agreed to ours, it will be deleted as soon as its keys are there.
func (t *rekeyIKE) adoptRival(now time.Time, sa *ikeSA) {
	rival := t.rival
	t.rival = nil
	sa.active = nil
	if !t.answered {
		t.drop(now)
	}
	sa.handOver(now, rival, false)
}

// handOver makes next the session's IKE SA in place of sa.
func (sa *ikeSA) handOver(now time.Time, next *ikeSA, initiator bool) {
	s, e := sa.s, sa.ep
	s.current = next
	s.messageIDs += uint64(sa.sendID) + uint64(sa.recvID)
	if sa.state != stateDead {
		sa.retire(now)
	}
	next.state = stateEstablished
	next.startLifetime(now)
	if s.Ending { // asked for while the rekey was under way: the Delete waits in the queue
		next.state = stateDeleting
		e.StopTimer(&next.soft)
		e.SetTimer(&next.hard, now.Add(s.Timing.DeleteWait))
	}
	next.queue = append(next.queue, sa.queue...)
	sa.queue = nil
	e.Emit(ike.SessionRekeyed{EventHeader: s.EventHeader(now), Initiator: initiator,
		LocalSPI: uint64(next.local), RemoteSPI: uint64(next.remote), Proposal: next.alg.proposal.Clone()})
	next.next(now)
}

// retire leaves an SA to the peer's Delete.
func (sa *ikeSA) retire(now time.Time) {
	sa.state = stateRekeyed
	sa.ep.StopTimer(&sa.soft)
	sa.ep.SetTimer(&sa.hard, now.Add(retiredLife))
}

// retiredLife is how long an SA waits that the peer should delete: longer than
// its retransmissions can take.
const retiredLife = 3 * time.Minute

// refused handles an error notify.
func (t *rekeyIKE) refused(now time.Time, sa *ikeSA, n *message.Notify) {
	s := sa.s
	err := &NotifyError{Exchange: message.ExchangeCreateChildSA, Type: n.Type, Detail: s.askedFor(n.Type)}
	if n.Type == message.NotifyInvalidKEPayload {
		group, bad := n.InvalidKEGroup()
		if bad == nil && dh.ID(group) != t.group && slices.Contains(spd.KEGroups(s.peer.Proposals), group) && t.restarts < maxRestarts {
			t.restarts++
			t.keyShare.Wipe()
			t.keyShare, t.group = core.KeyExchange{}, dh.ID(group)
			t.start(now, sa)
			return
		}
	}
	t.fail(now, sa, err)
}

// fail keeps the old SA; it is tried again while its lifetime lasts.
func (t *rekeyIKE) fail(now time.Time, sa *ikeSA, err error) {
	s := sa.s
	if t.rivalStands() {
		t.answered = false
		t.adoptRival(now, sa)
		return
	}
	t.drop(now)
	var n *NotifyError
	if !errors.As(err, &n) || n.Type != message.NotifyTemporaryFailure {
		s.Emit(ike.RekeyFailed{EventHeader: s.EventHeader(now), Err: err})
	}
	if sa.state == stateEstablished {
		sa.ep.SetTimer(&sa.soft, now.Add(sa.ep.Jitter(retryDelay, 0.5)))
	}
	sa.finish(now)
}

// drop forgets our half-made SA.
func (t *rekeyIKE) drop(now time.Time) {
	t.keyShare.Wipe()
	t.keyShare = core.KeyExchange{}
	if t.next != nil {
		t.next.kill(now, errGone)
		t.next = nil
	}
}

func (t *rekeyIKE) abort(now time.Time, sa *ikeSA, err error) { t.drop(now) }

// serveRekeyIKE takes the peer's request to replace the IKE SA.
func (sa *ikeSA) serveRekeyIKE(now time.Time, m *message.Message) {
	s, e, x := sa.s, sa.ep, m.Header.Exchange
	refuse := func(now time.Time, n *message.Notify, err error) {
		if err != nil {
			s.Warn(now, &RefusedError{Exchange: x, Type: n.Type, Err: err})
		}
		sa.respond(now, x, n)
	}
	if len(s.sas) > maxSAs {
		e.Count.Limited++ // a peer that rekeys again and again and deletes nothing
		refuse(now, &message.Notify{Type: message.NotifyTemporaryFailure}, nil)
		return
	}
	if sa.state != stateEstablished || s.Ending || sa.busyWithChild() {
		refuse(now, &message.Notify{Type: message.NotifyTemporaryFailure}, nil)
		return
	}
	if err := m.Require(message.PayloadKE, message.PayloadNonce); err != nil {
		refuse(now, &message.Notify{Type: message.NotifyInvalidSyntax}, err)
		return
	}
	ke := m.KE()
	selected, err := spd.Select(offeredProposals(m.SA()), s.peer.Proposals, spd.SelectOptions{KE: ke.Group})
	var alg *algorithms
	if err == nil {
		alg, err = s.ep.algorithmsOf(selected.Proposal)
	}
	if err != nil {
		refuse(now, &message.Notify{Type: message.NotifyNoProposalChosen}, err)
		return
	}
	if alg.group != ke.Group {
		refuse(now, &message.Notify{Type: message.NotifyInvalidKEPayload, Data: []byte{byte(alg.group >> 8), byte(alg.group)}}, nil)
		return
	}
	offer := m.SA().Proposals[selected.OfferedIndex]
	if len(offer.SPI) != 8 || be64(offer.SPI) == 0 {
		refuse(now, &message.Notify{Type: message.NotifyInvalidSyntax}, fmt.Errorf("IKE SPI of %d octets", len(offer.SPI)))
		return
	}
	sa.yielding = true
	s.RespondTo(dh.ID(alg.group), ke.Data, func(now time.Time, k core.KeyExchange, err error) {
		defer k.Secret.Wipe()
		defer sa.next(now)
		sa.yielding = false
		if sa.state != stateEstablished {
			// Our own rekey has come to its end meanwhile, or a Delete.
			refuse(now, &message.Notify{Type: message.NotifyTemporaryFailure}, nil)
			return
		}
		if err != nil {
			refuse(now, &message.Notify{Type: message.NotifyInvalidSyntax}, fmt.Errorf("key exchange: %w", err))
			return
		}
		ni := m.Nonce().Data
		nr, err := e.newNonce()
		var next *ikeSA
		if err == nil {
			next, err = e.newSA(s, false)
		}
		if err == nil {
			next.alg, next.remote = alg, message.SPI(be64(offer.SPI))
			err = next.deriveRekeyed(sa.keys, ni, nr, k.Secret)
		}
		if err != nil {
			if next != nil {
				next.kill(now, err)
			}
			refuse(now, &message.Notify{Type: message.NotifyTemporaryFailure}, err)
			return
		}
		next.state = stateEstablished
		spi := binary.BigEndian.AppendUint64(nil, uint64(next.local))
		sa.respond(now, x, wireChoice(alg.proposal, offer.Num, spi),
			&message.Nonce{Data: nr}, &message.KE{Group: alg.group, Data: k.Public})
		if t, ok := sa.active.(*rekeyIKE); ok && t.sent {
			if t.rival != nil {
				t.rival.kill(now, errReplaced)
			}
			t.rival, t.rivalNonce, next.contends = next, lowest(ni, nr), sa
			sa.ep.SetTimer(&next.hard, now.Add(retiredLife))
			return
		}
		if t, ok := sa.active.(*rekeyIKE); ok { // not sent yet: the peer was first
			sa.active = nil
			t.drop(now)
		}
		sa.handOver(now, next, false)
	})
}

// maxSAs bounds the IKE SAs of a session: the one in use, and those that wait
// for the peer's Delete.
const maxSAs = 8

// busyWithChild reports whether an exchange about a Child SA is under way from
// this side, which the IKE SA must outlive (RFC 7296 2.25.2).
func (sa *ikeSA) busyWithChild() bool {
	switch t := sa.active.(type) {
	case *createChild:
		return true
	case *informational:
		return t.deletes != nil || len(t.payloads) > 0
	}
	return false
}
