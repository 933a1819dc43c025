package ikev1

import (
	"crypto/sha256"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/internal/secret"
)

// HandleDatagram takes a received ISAKMP message, without the non-ESP marker.
// b is only borrowed. What is wrong with a datagram is counted in Stats, and
// never ends anything: it is not authenticated.
func (e *Endpoint) HandleDatagram(now time.Time, path ike.Path, b []byte) {
	e.Count.Received++
	h, err := isakmp.ParseHeader(b)
	if err != nil || h.CookieI == 0 {
		e.Count.Malformed++
		return
	}
	sa := e.find(path, h)
	if h.NextPayload == isakmp.PayloadFragment {
		e.fragment(now, path, sa, h, b)
		return
	}
	e.dispatch(now, path, sa, h, b)
}

// find returns the SA that a message belongs to, nil if there is none.
func (e *Endpoint) find(path ike.Path, h isakmp.Header) *isakmpSA {
	if h.CookieR == 0 {
		if sa := e.initial[initKey{h.CookieI, path.Remote}]; sa != nil {
			return sa
		}
		// A refusal of our first message, by a peer that has made no cookie.
		if sa := e.sas[h.CookieI]; sa != nil && sa.initiator && sa.remote == 0 {
			return sa
		}
		return nil
	}
	if sa := e.sas[h.CookieI]; sa != nil && sa.initiator && (sa.remote == h.CookieR || sa.remote == 0) {
		return sa
	}
	if sa := e.sas[h.CookieR]; sa != nil && !sa.initiator && sa.remote == h.CookieI {
		return sa
	}
	return nil
}

// dispatch takes a whole message to what it is for.
func (e *Endpoint) dispatch(now time.Time, path ike.Path, sa *isakmpSA, h isakmp.Header, b []byte) {
	switch {
	case sa == nil && h.CookieR == 0:
		e.firstMessage(now, path, h, b)
	case sa == nil:
		e.Count.UnknownSPI++
	case h.MessageID == 0 && h.Exchange != isakmp.ExchangeInformational:
		sa.receivePhase1(now, path, h, b)
	case sa.keys == nil || !sa.ready():
		sa.early(now, path, h, b)
	default:
		sa.receive(now, path, h, b)
	}
}

// ready reports whether exchanges under the SA may be taken: the peer is
// authenticated.
func (sa *isakmpSA) ready() bool { return sa.state >= stateUser }

// early takes what comes before phase 1 is through: a refusal of the peer,
// which nothing protects. It is believed when nothing better comes.
func (sa *isakmpSA) early(now time.Time, path ike.Path, h isakmp.Header, b []byte) {
	e := sa.ep
	if h.Exchange != isakmp.ExchangeInformational || sa.p1 == nil || sa.state != statePhase1 {
		if sa.hold(path, b) {
			return
		}
		e.Count.Unexpected++
		return
	}
	var m *inbound
	var err error
	switch {
	case !h.Encrypted():
		m, err = openClear(h, b)
	case sa.keys == nil:
		err = errUnprotected
	default:
		// Keyed, but by a peer that has not proved itself: no better than clear.
		iv := sa.keys.hash.phase2IV(sa.blockSize(), sa.p1.iv, h.MessageID)
		m, _, err = sa.open(now, h, b, iv, func(covered []byte) secret.Bytes { return sa.keys.messageHash(h.MessageID, covered) })
	}
	if err != nil {
		e.countBad(err)
		return
	}
	if n := m.ErrorNotify(); n != nil {
		refused := &NotifyError{Exchange: sa.mode.exchange(), Type: n.Type, Text: notifyText(n), Unprotected: true}
		if sa.remote == 0 || sa.p1.step == 2 {
			refused.Detail = sa.p1.offeredText()
		} else if why := sa.silence(); why != nil {
			refused.Detail = why.Error()
		}
		sa.p1.refused = refused
		return
	}
	e.Count.Unexpected++
}

// receive takes a message of an exchange under an established SA.
func (sa *isakmpSA) receive(now time.Time, path ike.Path, h isakmp.Header, b []byte) {
	e := sa.ep
	if h.MessageID == 0 || !h.Encrypted() {
		// Nothing in clear changes anything once there are keys.
		e.Count.Unprotected++
		return
	}
	if x := sa.exchanges[h.MessageID]; x != nil {
		if h.Exchange == isakmp.ExchangeInformational && x.kind == isakmp.ExchangeQuickMode {
			x.aside(now, path, h, b)
		} else {
			x.receive(now, path, h, b)
		}
		return
	}
	if sa.used.has(h.MessageID) {
		e.Count.Unexpected++
		return
	}
	if h.Exchange != isakmp.ExchangeInformational && sa.peerExchanges() >= maxExchanges {
		e.Count.Limited++
		return
	}
	of := sa.conversationFor(h)
	if of == nil {
		e.Count.Unexpected++
		return
	}
	// The exchange counts once its first message is authentic.
	x := sa.prepare(h.Exchange, h.MessageID, false, of)
	m, next, err := sa.open(now, h, b, x.iv, func(covered []byte) secret.Bytes { return of.hash(x, covered) })
	if err != nil {
		e.countBad(err)
		return
	}
	if h.Exchange == isakmp.ExchangeInformational {
		sa.used.add(h.MessageID) // that is all that has to be remembered
	} else {
		x.register()
	}
	x.accept(now, path, sha256.Sum256(b), m, next)
}

// conversationFor makes the responder's side of an exchange that the peer
// begins, nil if it may not.
func (sa *isakmpSA) conversationFor(h isakmp.Header) conversation {
	switch {
	case h.Exchange == isakmp.ExchangeInformational:
		return &informational{}
	case h.Exchange == isakmp.ExchangeTransaction:
		return sa.transactionFor()
	case sa.state != stateEstablished || sa.leaving:
		return nil // no Child SA before the user has proved himself
	case h.Exchange == isakmp.ExchangeQuickMode:
		return &quickMode{s: sa.s}
	case h.Exchange == isakmp.ExchangeNewGroupMode:
		return &groupAnswer{}
	}
	return nil
}
