package ikev2

import (
	"bytes"
	"errors"
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

// createChild is the CREATE_CHILD_SA exchange that makes a new Child SA or
// rekeys one (RFC 7296 1.3.1, 1.3.3), as its initiator.
type createChild struct {
	x        *childExchange
	restarts int
	sent     bool // the request is on its way or answered
	answered bool // the peer has agreed, and the new SA is being installed
	// deleted: the peer has deleted the old SA while the request was on its
	// way. It may have done so after making the new one.
	deleted bool
	// strangers are SPIs that the peer has deleted meanwhile and we do not
	// know: one of them may be of the SA that its answer is to bring.
	strangers []spd.SPI
	// rival is the SA that the peer has made at the same time to replace the
	// same old one (RFC 7296 2.8.1), with the lowest nonce of its exchange.
	rival      *child.SA
	rivalNonce []byte
}

// retryDelay is how long TEMPORARY_FAILURE makes us wait (RFC 7296 2.25 leaves
// it open).
const retryDelay = 10 * time.Second

// rekeys reports whether a task of the SA is about to replace old.
func (sa *ikeSA) rekeys(old *child.SA) *createChild {
	if t, ok := sa.active.(*createChild); ok && t.x.old == old && old != nil {
		return t
	}
	return nil
}

// replaced reports whether the peer has agreed to our successor of old, and
// knows the one that stays, or has made one already.
func (sa *ikeSA) replaced(old *child.SA) bool {
	t := sa.rekeys(old)
	return t != nil && (t.answered || t.rival != nil && t.rival.State != child.Gone)
}

// creating reports whether our request for a new Child SA is on its way.
func (sa *ikeSA) creating() bool {
	t, ok := sa.active.(*createChild)
	return ok && t.sent && t.x.old == nil
}

func (t *createChild) start(now time.Time, sa *ikeSA) {
	x, s := t.x, sa.s
	t.sent, t.answered = false, false
	if x.old != nil && x.old.State == child.InboundOnly {
		// Our answer that made it may be lost, and the peer not know it yet.
		s.Children.RetryRekey(now, x.old, s.ep.Jitter(retryDelay, 0.5))
		sa.finish(now)
		return
	}
	if x.old != nil && x.old.State != child.Mature {
		x.old.Rekeying = false
		sa.finish(now) // overtaken while it waited
		return
	}
	var err error
	if x.ni, err = s.ep.newNonce(); err != nil {
		t.fail(now, sa, err)
		return
	}
	if x.group == dh.None && t.restarts == 0 {
		for _, g := range spd.KEGroups(x.cfg.Proposals) {
			if g != uint16(dh.None) {
				x.group = dh.ID(g)
				break
			}
		}
	}
	next := func(now time.Time) {
		x.reserve(func(now time.Time, err error) {
			if err != nil {
				t.fail(now, sa, fmt.Errorf("reserving an SPI: %w", err))
				return
			}
			if x.old != nil && x.old.State >= child.Replaced {
				t.overtaken(now, sa)
				return
			}
			t.sent = true
			sa.request(now, message.ExchangeCreateChildSA, x.offer(false)...)
		})
	}
	if x.group == dh.None {
		next(now)
		return
	}
	s.Generate(x.group, func(now time.Time, k core.KeyExchange, err error) {
		if err != nil {
			t.fail(now, sa, fmt.Errorf("key exchange: %w", err))
			return
		}
		x.keyShare = k
		next(now)
	})
}

// overtaken: the old SA is replaced or gone before the request was sent.
func (t *createChild) overtaken(now time.Time, sa *ikeSA) {
	t.x.old.Rekeying = false
	t.x.failed(now, errGone)
	if t.rival != nil {
		t.adoptRival(now, sa.s)
	}
	sa.finish(now)
}

func (t *createChild) response(now time.Time, sa *ikeSA, m *message.Message) {
	x, s := t.x, sa.s
	if n := m.ErrorNotify(); n != nil && m.SA() == nil {
		t.refused(now, sa, n)
		return
	}
	if err := m.Require(message.PayloadNonce); err != nil {
		t.fail(now, sa, protocolError(m.Header.Exchange, "response: %w", err))
		return
	}
	if t.loses(m.Nonce().Data) {
		// The peer's SA stays. Ours is known to the peer: delete it there.
		x.withdraw(sa)
		x.failed(now, errReplaced)
		t.adoptRival(now, s)
		sa.finish(now)
		return
	}
	if spi, err := wireSPI(peerSPI(m)); err == nil && slices.Contains(t.strangers, spi) {
		t.stillborn(now, sa)
		return
	}
	t.answered = true
	x.accept(now, m, sa.keys, func(now time.Time, err error) {
		if err != nil {
			x.withdraw(sa)
			t.fail(now, sa, err)
			return
		}
		t.succeed(now, sa)
	})
}

func peerSPI(m *message.Message) []byte {
	if sa := m.SA(); sa != nil && len(sa.Proposals) > 0 {
		return sa.Proposals[0].SPI
	}
	return nil
}

// stillborn: the peer has deleted the new SA again before we heard of it. So
// the old one has no future either.
func (t *createChild) stillborn(now time.Time, sa *ikeSA) {
	x, s := t.x, sa.s
	if x.old == nil || t.deleted || t.rivalStands() {
		t.fail(now, sa, errStillborn)
		return
	}
	x.failed(now, errStillborn)
	x.old.Rekeying = false
	s.StartDelete(now, x.old, ike.DownRemote)
	sa.finish(now)
}

// rivalStands reports whether the peer has made an SA at the same time and has
// not given it up. It may have replaced it by yet another one.
func (t *createChild) rivalStands() bool {
	return t.rival != nil && (t.rival.State != child.Gone || t.rival.Successor != nil)
}

// loses reports whether the peer has made an SA too and the lowest of the four
// nonces is one of ours, so that our SA is the redundant one.
func (t *createChild) loses(nr []byte) bool {
	return t.rivalStands() && bytes.Compare(lowest(t.x.ni, nr), t.rivalNonce) < 0
}

// lowest compares octet by octet (RFC 7296 2.8.1).
func lowest(a, b []byte) []byte {
	if bytes.Compare(a, b) < 0 {
		return a
	}
	return b
}

// succeed: the new SA is installed. The old one is replaced and deleted by us,
// who began the exchange.
func (t *createChild) succeed(now time.Time, sa *ikeSA) {
	x, s := t.x, sa.s
	old := x.old
	if old == nil {
		sa.finish(now)
		return
	}
	old.Rekeying = false
	switch {
	case old.Unwanted:
		// We have been told to delete it meanwhile, whatever its keys.
		x.withdraw(sa)
		s.Children.Discard(now, x.sa)
	default:
		if t.rival != nil && t.rival.State != child.Gone {
			s.Children.Replace(now, t.rival, x.sa) // the peer will delete its redundant SA
		}
		s.replace(now, old, x.sa, true)
		s.StartDelete(now, old, ike.DownReplaced)
	}
	sa.finish(now)
}

// adoptRival lets the peer's SA be the successor.
func (t *createChild) adoptRival(now time.Time, s *session) {
	old := t.x.old
	old.Rekeying = false
	next := t.rival
	for next.State == child.Gone && next.Successor != nil {
		next = next.Successor // replaced meanwhile
	}
	if next.State != child.Gone {
		s.replace(now, old, next, false)
	}
}

// replace lets next take over from old, and tells it. The peer may have deleted
// its own successor of old in between, so that the program knows of an end: then
// it has come up again.
func (s *session) replace(now time.Time, old, next *child.SA, initiator bool) {
	ended := old.EndTold()
	s.Children.Replace(now, old, next)
	if ended {
		next.Anew()
		s.Emit(ike.ChildUp{EventHeader: s.EventHeader(now), Child: next.Info})
		return
	}
	s.Emit(ike.ChildRekeyed{EventHeader: s.EventHeader(now), Child: next.Info, Old: old.Info.ChildSPIs, Initiator: initiator})
}

// refused handles an error notify.
func (t *createChild) refused(now time.Time, sa *ikeSA, n *message.Notify) {
	x, s := t.x, sa.s
	err := &NotifyError{Exchange: message.ExchangeCreateChildSA, Type: n.Type, Detail: s.childDetail(x, n.Type)}
	if n.Type == message.NotifyInvalidKEPayload {
		group, bad := n.InvalidKEGroup()
		if bad == nil && dh.ID(group) != x.group && slices.Contains(spd.KEGroups(x.cfg.Proposals), group) && t.restarts < maxRestarts {
			t.restarts++
			s.Children.Release(x.requests, x.spis)
			x.spis = nil
			x.keyShare.Wipe()
			x.keyShare, x.group = core.KeyExchange{}, dh.ID(group)
			t.start(now, sa)
			return
		}
	}
	if t.rivalStands() {
		// The peer has replaced the SA itself and did not see ours coming.
		x.failed(now, err)
		t.adoptRival(now, s)
		sa.finish(now)
		return
	}
	old := x.old
	switch {
	case n.Type == message.NotifyTemporaryFailure && old != nil && old.State < child.Replaced:
		x.failed(now, err)
		s.Children.RetryRekey(now, old, s.ep.Jitter(retryDelay, 0.5))
	case n.Type == message.NotifyTemporaryFailure && old == nil && t.restarts < maxRestarts:
		s.Children.Release(x.requests, x.spis)
		x.keyShare.Wipe()
		x.spis, x.keyShare = nil, core.KeyExchange{}
		s.later(now, retryDelay, &createChild{x: x, restarts: t.restarts + 1})
	case n.Type == message.NotifyChildSANotFound && old != nil && old.State != child.Gone:
		// The peer has lost it: so do we, silently (RFC 7296 2.25), and ask for
		// a new one.
		x.failed(now, err)
		cfg := x.cfg
		s.Children.Remove(now, old, ike.DownRemote, err, false)
		sa.queue = append(sa.queue, &createChild{x: s.newChildExchange(cfg)})
	case n.Type == message.NotifySinglePairRequired && old == nil && x.pair == nil:
		x.failed(now, err)
		for _, p := range s.pairs(x.cfg) {
			sa.queue = append(sa.queue, &createChild{x: p})
		}
	default:
		t.fail(now, sa, err)
		return
	}
	sa.finish(now)
}

func (s *session) childDetail(x *childExchange, t message.NotifyType) string {
	switch t {
	case message.NotifyNoProposalChosen:
		return fmt.Sprintf("we offered %v", x.offered)
	case message.NotifyTSUnacceptable:
		return fmt.Sprintf("we offered %v === %v", x.local, x.remote)
	}
	return ""
}

// fail ends the exchange without a new SA. An old one lives on and tries again.
func (t *createChild) fail(now time.Time, sa *ikeSA, err error) {
	s, x := sa.s, t.x
	x.failed(now, err)
	if old := x.old; old != nil {
		old.Rekeying = false
		if t.deleted {
			s.Children.Lost(now, old, ike.DownRemote, nil)
		}
		if t.rivalStands() {
			t.adoptRival(now, s)
		} else if old.State < child.Replaced {
			s.Emit(ike.RekeyFailed{EventHeader: s.EventHeader(now), Child: old.Info.ID, Name: x.cfg.Name, Err: err})
			s.Children.RetryRekey(now, old, s.ep.Jitter(retryDelay, 0.5))
		}
	}
	sa.finish(now)
}

func (t *createChild) abort(now time.Time, sa *ikeSA, err error) {
	if err == nil {
		err = errGone
	}
	t.x.failed(now, err)
	if old := t.x.old; old != nil {
		old.Rekeying = false
		s := t.x.s
		if t.deleted {
			s.Children.Lost(now, old, ike.DownRemote, nil)
		}
		if !s.Dead {
			s.Children.RetryRekey(now, old, s.ep.Jitter(retryDelay, 0.5))
		}
	}
}

// later queues a task again after a while.
func (s *session) later(now time.Time, after time.Duration, t task) {
	timer := new(child.Timer)
	timer.Owner = func(now time.Time) {
		if s.Dead || s.current == nil {
			t.abort(now, nil, errGone)
			return
		}
		s.current.enqueue(now, t)
	}
	s.ep.SetTimer(timer, now.Add(after))
}

// serveCreateChild takes a CREATE_CHILD_SA request: a new Child SA, a rekey of
// one, or a rekey of the IKE SA.
func (sa *ikeSA) serveCreateChild(now time.Time, m *message.Message) {
	s, x := sa.s, m.Header.Exchange
	if p := m.SA(); p != nil && len(p.Proposals) > 0 && p.Proposals[0].Protocol == spd.ProtoIKE {
		sa.serveRekeyIKE(now, m)
		return
	}
	refuse := func(n *message.Notify, err error) {
		sa.childRefused(now, x, n.Type, err)
		sa.respond(now, x, n)
	}
	if m.Nonce() == nil {
		refuse(&message.Notify{Type: message.NotifyInvalidSyntax}, errors.New("no nonce"))
		return
	}
	if sa.state != stateEstablished || s.Ending || sa.rekeyingIKE() {
		// RFC 7296 2.25.2: the IKE SA is on its way out.
		sa.respond(now, x, &message.Notify{Type: message.NotifyTemporaryFailure})
		return
	}
	var old *child.SA
	if n := m.Notify(message.NotifyRekeySA); n != nil {
		spi, ok := n.ESPSPI()
		if !ok || n.Protocol != spd.ProtoESP && n.Protocol != spd.ProtoAH {
			refuse(&message.Notify{Type: message.NotifyInvalidSyntax}, fmt.Errorf("REKEY_SA for protocol %v with an SPI of %d octets", n.Protocol, len(n.SPI)))
			return
		}
		old = s.Children.ByOutbound(n.Protocol, spi)
		switch {
		case old == nil && sa.creating():
			// It may be the one that we have asked for: the answer is on its way.
			sa.respond(now, x, &message.Notify{Type: message.NotifyTemporaryFailure})
			return
		case old == nil:
			// No event: it happens when a rekey and a Delete cross.
			sa.respond(now, x, &message.Notify{Type: message.NotifyChildSANotFound, Protocol: n.Protocol, SPI: slices.Clone(n.SPI)})
			return
		case old.State >= child.Replaced || sa.replaced(old):
			sa.respond(now, x, &message.Notify{Type: message.NotifyTemporaryFailure})
			return
		}
	}
	sa.answerChild(now, m, old, func(now time.Time, payloads message.Payloads, made *child.SA) {
		if made != nil && old != nil && (old.State >= child.Replaced || sa.replaced(old)) {
			// Our own rekey, or a Delete, was finished while we worked on this.
			s.Children.Discard(now, made)
			sa.respond(now, x, &message.Notify{Type: message.NotifyTemporaryFailure})
			return
		}
		sa.respond(now, x, payloads...)
		if made == nil || old == nil {
			return
		}
		sa.served(now, m, old, made, payloads)
	})
}

// served: the peer's new SA stands beside the old one. If we were about to
// replace the same one, the nonces will decide when our answer comes.
func (sa *ikeSA) served(now time.Time, m *message.Message, old, made *child.SA, answer message.Payloads) {
	s := sa.s
	if t := sa.rekeys(old); t != nil && t.sent {
		t.rival = made
		t.rivalNonce = lowest(slices.Clone(m.Nonce().Data), answer.Nonce().Data)
		return
	}
	s.replace(now, old, made, false)
}

// StartRekey implements child.Host.
func (s *session) StartRekey(now time.Time, a *child.SA) {
	if s.current == nil || s.Ending {
		return
	}
	cfg := s.peer.child(a.Info.Name)
	if cfg == nil {
		return // removed from the configuration: it ends with its lifetime
	}
	a.Rekeying = true
	x := s.newChildExchange(cfg)
	x.old, x.mode = a, a.Info.Mode
	s.current.enqueue(now, &createChild{x: x})
}
