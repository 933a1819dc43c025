package ikev1

import (
	"fmt"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/internal/core"
)

// Main Mode (RFC 2409 5):
//
//	1  SA, VID                ->
//	2                         <-  SA, VID
//	3  KE, Ni, NAT-D          ->
//	4                         <-  KE, Nr, NAT-D, CR
//	5* IDii, [CERT,] SIG|HASH ->
//	6*                        <-  IDir, [CERT,] SIG|HASH
//
// The messages with a star are encrypted.

// beginMain sends the first message.
func (sa *isakmpSA) beginMain(now time.Time) {
	p := sa.p1
	offer := p.policy.offer()
	p.hashed.sai = offer.AppendBody(nil)
	p.step = 2
	sa.sendPhase1(now, false, append([]isakmp.Payload{offer}, sa.vendorIDs()...)...)
}

// answerMain sends the second message.
func (sa *isakmpSA) answerMain(now time.Time, answer *isakmp.SA) {
	sa.p1.step = 3
	sa.sendPhase1(now, false, append([]isakmp.Payload{answer}, sa.vendorIDs()...)...)
}

// takeMain takes the message of a step.
func (sa *isakmpSA) takeMain(now time.Time, path ike.Path, m *inbound, next initVector) bool {
	p := sa.p1
	switch p.step {
	case 2:
		if m.Require(isakmp.PayloadSA) != nil || m.Count(isakmp.PayloadSA) != 1 {
			return false
		}
		sa.mainChosen(now, m)
	case 3, 4:
		if m.Require(isakmp.PayloadKE, isakmp.PayloadNonce) != nil || !p.takesKE(sa, m) {
			return false
		}
		sa.detectNAT(path, m)
		sa.noteCertRequests(m.Payloads)
		p.busy = true
		if p.step == 3 {
			sa.mainRespond(now, m)
		} else {
			sa.mainConclude(now, m)
		}
	case 5, 6:
		if m.Require(isakmp.PayloadID) != nil || m.HASH() == nil && m.SIG() == nil {
			return false
		}
		p.busy, p.iv = true, next
		sa.noteCertRequests(m.Payloads)
		if err := sa.identify(m); err != nil {
			sa.unproved(now, m, err)
			return true
		}
		if p.step == 6 {
			sa.verifyPeer(now, m, sa.establish)
			return true
		}
		sa.verifyPeer(now, m, func(now time.Time) {
			sa.floatTo(path)
			sa.mainAnswer(now)
		})
	default:
		return false
	}
	return true
}

// mainChosen takes the responder's choice and begins the key exchange.
func (sa *isakmpSA) mainChosen(now time.Time, m *inbound) {
	p, s := sa.p1, sa.s
	chosen, err := p.policy.checkAnswer(m.SA())
	if err != nil {
		// It is not authenticated: a better one may follow.
		p.refused = err
		return
	}
	p.busy = true
	sa.remote, sa.negotiated = m.header.CookieR, chosen
	sa.heard(m)
	s.GenerateIn(p.group(chosen.group), func(now time.Time, k core.KeyExchange, err error) {
		if err == nil {
			p.ni, err = sa.ep.newNonce()
		}
		if err != nil {
			k.Wipe()
			sa.failed(now, ike.DownFailed, fmt.Errorf("key exchange: %w", err))
			return
		}
		p.private, p.hashed.gxi = k.Private, k.Public
		p.step = 4
		payloads := []isakmp.Payload{&isakmp.KE{Data: k.Public}, &isakmp.Nonce{Data: p.ni}}
		sa.sendPhase1(now, false, append(payloads, sa.natPayloads()...)...)
	})
}

// mainRespond answers the initiator's public value.
func (sa *isakmpSA) mainRespond(now time.Time, m *inbound) {
	p, s := sa.p1, sa.s
	p.hashed.gxi, p.ni = m.keep(isakmp.PayloadKE), m.keep(isakmp.PayloadNonce)
	s.RespondIn(p.group(sa.negotiated.group), p.hashed.gxi, func(now time.Time, k core.KeyExchange, err error) {
		if err == nil {
			p.nr, err = sa.ep.newNonce()
		}
		if err != nil {
			k.Wipe()
			sa.failed(now, ike.DownFailed, fmt.Errorf("key exchange: %w", err))
			return
		}
		p.hashed.gxr, p.shared = k.Public, k.Secret
		sa.deriveKeys(now, func(now time.Time, err error) {
			if err != nil {
				sa.refusePhase1(now, isakmp.NotifyAuthenticationFailed, err)
				return
			}
			p.step = 5
			payloads := []isakmp.Payload{&isakmp.KE{Data: k.Public}, &isakmp.Nonce{Data: p.nr}}
			payloads = append(payloads, sa.certRequests(sa.negotiated.method)...)
			sa.sendPhase1(now, false, append(payloads, sa.natPayloads()...)...)
		})
	})
}

// mainConclude derives the initiator's keys and proves its identity.
func (sa *isakmpSA) mainConclude(now time.Time, m *inbound) {
	p, s := sa.p1, sa.s
	p.hashed.gxr, p.nr = m.keep(isakmp.PayloadKE), m.keep(isakmp.PayloadNonce)
	private := p.private
	p.private = nil
	s.Conclude(private, p.hashed.gxr, func(now time.Time, k core.KeyExchange, err error) {
		if err != nil {
			sa.failed(now, ike.DownFailed, fmt.Errorf("key exchange: %w", err))
			return
		}
		p.shared = k.Secret
		sa.deriveKeys(now, func(now time.Time, err error) {
			if err != nil {
				sa.failed(now, ike.DownFailed, err)
				return
			}
			sa.floatInitiator()
			sa.prove(s.peer, func(now time.Time, proof []isakmp.Payload, err error) {
				if err != nil {
					sa.failed(now, ike.DownFailed, err)
					return
				}
				p.step = 6
				proof = append(proof, sa.certRequests(sa.negotiated.method)...)
				sa.sendPhase1(now, true, append(proof, sa.initialContact()...)...)
			})
		})
	})
}

// mainAnswer sends the sixth message: the peer is authenticated.
func (sa *isakmpSA) mainAnswer(now time.Time) {
	s := sa.s
	sa.prove(s.peer, func(now time.Time, proof []isakmp.Payload, err error) {
		if err != nil {
			sa.refusePhase1(now, isakmp.NotifyAuthenticationFailed, err)
			return
		}
		sa.sendPhase1(now, true, append(proof, sa.initialContact()...)...)
		if sa.state != stateDead {
			sa.establish(now)
		}
	})
}

// takesKE reports whether a public value has the size of the group.
func (p *phase1) takesKE(sa *isakmpSA, m *inbound) bool {
	g := p.group(sa.negotiated.group)
	if g == nil {
		return false
	}
	if sa.initiator {
		return len(m.KE().Data) == g.ResponderSize()
	}
	return len(m.KE().Data) == g.InitiatorSize()
}

// initialContact is the notification that this side knows of no other SA with
// the peer (RFC 2407 4.6.3.3). A responder says it too, so that an initiator
// that renews its ISAKMP SA learns that the Child SAs are gone here.
func (sa *isakmpSA) initialContact() []isakmp.Payload {
	s := sa.s
	if s.Up || s.peer.NoInitialContact || s.peer.Unique == ike.UniqueNever || len(sa.ep.sessionsWith(s.peer, s.RemoteID)) > 0 ||
		sa.initiator && sa.ep.Established(s.peer.Name) > 0 || !sa.initiator && sa.begunHere() != nil {
		return nil
	}
	return []isakmp.Payload{sa.notify(isakmp.NotifyInitialContact, nil)}
}
