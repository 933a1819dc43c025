package ikev1

import (
	"fmt"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/internal/core"
)

// Base Mode as ipsec-tools had it (draft-ietf-ipsec-ike-base-mode-02):
//
//	1  SA, IDii, Ni, VID       ->
//	2                          <-  SA, IDir, Nr, VID
//	3  KE, [CERT,] SIG|HASH    ->
//	4                          <-  KE, [CERT,] SIG|HASH
//
// Nothing is encrypted. Unlike in Aggressive Mode, the responder computes
// nothing before the initiator has shown that it is where it says it is, and
// has proved who it is. NAT-D, of which the draft knows nothing, is in the last
// two messages, and the initiator changes ports after them. There is no
// certificate request: racoon drops a message that has one, so whoever signs
// sends its certificate.

// beginBase sends the first message.
func (sa *isakmpSA) beginBase(now time.Time) {
	p := sa.p1
	offer := p.policy.offer()
	p.hashed.sai = offer.AppendBody(nil)
	p.busy = true
	sa.own(sa.s.peer, func(now time.Time, id *isakmp.ID, err error) {
		if err == nil {
			p.ni, err = sa.ep.newNonce()
		}
		if err != nil {
			sa.failed(now, ike.DownFailed, err)
			return
		}
		p.step = 2
		sa.sendPhase1(now, false, append([]isakmp.Payload{offer, id, &isakmp.Nonce{Data: p.ni}}, sa.vendorIDs()...)...)
	})
}

// answerBase sends the second message, to the peer that the first one names.
func (sa *isakmpSA) answerBase(now time.Time, answer *isakmp.SA, m *inbound) {
	p := sa.p1
	p.ni = m.keep(isakmp.PayloadNonce)
	sa.setPeerID(m.keep(isakmp.PayloadID))
	sa.own(sa.s.peer, func(now time.Time, id *isakmp.ID, err error) {
		if err == nil {
			p.nr, err = sa.ep.newNonce()
		}
		if err != nil {
			sa.failed(now, ike.DownFailed, err)
			return
		}
		p.step = 3
		sa.sendPhase1(now, false, append([]isakmp.Payload{answer, id, &isakmp.Nonce{Data: p.nr}}, sa.vendorIDs()...)...)
		sa.chargeReply(now)
	})
}

// takeBase takes the message of a step.
func (sa *isakmpSA) takeBase(now time.Time, path ike.Path, m *inbound, next initVector) bool {
	p := sa.p1
	switch p.step {
	case 2:
		if m.Require(isakmp.PayloadSA, isakmp.PayloadNonce, isakmp.PayloadID) != nil || m.Count(isakmp.PayloadSA) != 1 || m.Count(isakmp.PayloadID) != 1 {
			return false
		}
		sa.baseChosen(now, m)
		return true
	case 3, 4:
		if m.Require(isakmp.PayloadKE) != nil || m.HASH() == nil && m.SIG() == nil || m.ID() != nil || m.SA() != nil || m.Nonce() != nil || !p.takesKE(sa, m) {
			return false
		}
		p.busy = true
		sa.noteCertRequests(m.Payloads)
		if p.step == 3 {
			sa.baseRespond(now, path, m)
		} else {
			sa.baseConclude(now, path, m)
		}
		return true
	}
	return false
}

// baseChosen takes the responder's choice, makes the own public value and
// proves the own identity.
func (sa *isakmpSA) baseChosen(now time.Time, m *inbound) {
	p, s := sa.p1, sa.s
	chosen, err := p.policy.checkAnswer(m.SA())
	if err == nil {
		sa.remote, sa.negotiated = m.header.CookieR, chosen
		sa.heard(m)
		p.busy = true
		err = sa.identify(m)
	}
	if err != nil {
		sa.doubt(now, err)
		return
	}
	p.nr = m.keep(isakmp.PayloadNonce)
	s.GenerateIn(p.group(chosen.group), func(now time.Time, k core.KeyExchange, err error) {
		if err != nil {
			sa.failed(now, ike.DownFailed, fmt.Errorf("key exchange: %w", err))
			return
		}
		p.private, p.hashed.gxi = k.Private, k.Public
		sa.baseKey(now, func(now time.Time, err error) {
			if err != nil {
				sa.failed(now, ike.DownFailed, &AuthError{ID: s.RemoteID, Err: err})
				return
			}
			sa.prove(s.peer, func(now time.Time, proof []isakmp.Payload, err error) {
				if err != nil {
					sa.failed(now, ike.DownFailed, err)
					return
				}
				p.step = 4
				payloads := append([]isakmp.Payload{&isakmp.KE{Data: p.hashed.gxi}}, proof...)
				sa.sendPhase1(now, false, append(payloads, sa.natPayloads()...)...)
			})
		})
	})
}

// baseKey makes SKEYID of a pre-shared key, which proves the identities before
// the key exchange is through.
func (sa *isakmpSA) baseKey(now time.Time, done func(now time.Time, err error)) {
	if sa.negotiated.method.Base() != AuthPSK || sa.p1.skeyid != nil {
		done(now, nil)
		return
	}
	sa.sharedKeys(func(now time.Time, found []sharedKey, err error) {
		if err == nil {
			sa.p1.skeyid = sa.negotiated.hash.skeyidPSK(found[0].psk, sa.p1.ni, sa.p1.nr)
		}
		done(now, err)
	})
}

// baseRespond verifies the initiator, and only then computes with its public
// value and answers.
func (sa *isakmpSA) baseRespond(now time.Time, path ike.Path, m *inbound) {
	p, s := sa.p1, sa.s
	p.hashed.gxi = m.keep(isakmp.PayloadKE)
	sa.baseKey(now, func(now time.Time, err error) {
		if err != nil {
			sa.refusePhase1(now, isakmp.NotifyAuthenticationFailed, &AuthError{ID: s.RemoteID, Err: err})
			return
		}
		sa.verifyPeer(now, m, func(now time.Time) {
			sa.detectNAT(path, m)
			s.RespondIn(p.group(sa.negotiated.group), p.hashed.gxi, func(now time.Time, k core.KeyExchange, err error) {
				if err != nil {
					sa.failed(now, ike.DownFailed, fmt.Errorf("key exchange: %w", err))
					return
				}
				p.hashed.gxr, p.shared = k.Public, k.Secret
				sa.baseAnswer(now)
			})
		})
	})
}

// baseAnswer sends the fourth message.
func (sa *isakmpSA) baseAnswer(now time.Time) {
	p, s := sa.p1, sa.s
	sa.prove(s.peer, func(now time.Time, proof []isakmp.Payload, err error) {
		if err != nil {
			sa.failed(now, ike.DownFailed, err)
			return
		}
		sa.deriveKeys(now, func(now time.Time, err error) {
			if err != nil {
				sa.failed(now, ike.DownFailed, err)
				return
			}
			payloads := append([]isakmp.Payload{&isakmp.KE{Data: p.hashed.gxr}}, proof...)
			sa.sendPhase1(now, false, append(payloads, sa.natPayloads()...)...)
			if sa.state != stateDead {
				s.mayFloat = sa.variant.Floats() && (sa.nat.Found() || sa.feigned)
				sa.establish(now)
			}
		})
	})
}

// baseConclude verifies the responder and derives the initiator's keys.
func (sa *isakmpSA) baseConclude(now time.Time, path ike.Path, m *inbound) {
	p, s := sa.p1, sa.s
	p.hashed.gxr = m.keep(isakmp.PayloadKE)
	private := p.private
	p.private = nil
	s.Attempt(private, p.hashed.gxr, func(now time.Time, k core.KeyExchange, err error) {
		p.private, p.shared = k.Private, k.Secret
		if err != nil {
			sa.doubt(now, fmt.Errorf("key exchange: %w", err))
			return
		}
		sa.verifyPeer(now, m, func(now time.Time) {
			sa.deriveKeys(now, func(now time.Time, err error) {
				if err != nil {
					sa.failed(now, ike.DownFailed, err)
					return
				}
				sa.detectNAT(path, m)
				sa.floatInitiator()
				// Not in clear: anybody could have it said.
				first := sa.initialContact()
				sa.establish(now)
				if len(first) > 0 && sa.state != stateDead {
					sa.sendInformational(now, first...)
				}
			})
		})
	})
}
