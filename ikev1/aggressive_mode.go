package ikev1

import (
	"errors"
	"fmt"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/internal/core"
)

// Aggressive Mode (RFC 2409 5; RFC 3947 4 for NAT-D and the change of ports):
//
//	1  SA, KE, Ni, IDii, VID          ->
//	2                                 <-  SA, KE, Nr, IDir, [CERT,] SIG|HASH, NAT-D, VID
//	3* NAT-D, [CERT,] SIG|HASH        ->
//
// The third message is encrypted, and taken in clear too. Nobody answers it:
// the initiator repeats it until it hears something under the SA.

// errAggressivePSK is the warning about what Aggressive Mode with a pre-shared
// key gives away.
var errAggressivePSK = errors.New("Aggressive Mode with a pre-shared key: whoever knows an identity is given a hash to guess the key by, offline (CVE-2018-5389)")

// beginAggressive sends the first message. Its public value is of one group, so
// that is the only one on offer.
func (sa *isakmpSA) beginAggressive(now time.Time) {
	p, s := sa.p1, sa.s
	group := p.policy.groups()[0]
	p.policy = p.policy.withGroup(group)
	offer := p.policy.offer()
	p.hashed.sai = offer.AppendBody(nil)
	p.busy = true
	sa.own(s.peer, func(now time.Time, id *isakmp.ID, err error) {
		if err != nil {
			sa.failed(now, ike.DownFailed, err)
			return
		}
		s.GenerateIn(p.group(group), func(now time.Time, k core.KeyExchange, err error) {
			if err == nil {
				p.ni, err = sa.ep.newNonce()
			}
			if err != nil {
				k.Wipe()
				sa.failed(now, ike.DownFailed, fmt.Errorf("key exchange: %w", err))
				return
			}
			p.private, p.hashed.gxi = k.Private, k.Public
			p.step = 2
			payloads := []isakmp.Payload{offer, &isakmp.KE{Data: k.Public}, &isakmp.Nonce{Data: p.ni}, id}
			payloads = append(payloads, sa.certRequests(p.policy.methods...)...)
			sa.sendPhase1(now, false, append(payloads, sa.vendorIDs()...)...)
		})
	})
}

// answerAggressive sends the second message, to the peer that the first one
// names.
func (sa *isakmpSA) answerAggressive(now time.Time, answer *isakmp.SA, m *inbound) {
	p, s := sa.p1, sa.s
	p.hashed.gxi, p.ni = m.keep(isakmp.PayloadKE), m.keep(isakmp.PayloadNonce)
	sa.setPeerID(m.keep(isakmp.PayloadID))
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
				sa.refusePhase1(now, isakmp.NotifyAuthenticationFailed, &AuthError{ID: s.RemoteID, Err: err})
				return
			}
			sa.prove(s.peer, func(now time.Time, proof []isakmp.Payload, err error) {
				if err != nil {
					sa.failed(now, ike.DownFailed, err)
					return
				}
				p.step = 3
				payloads := append([]isakmp.Payload{answer, &isakmp.KE{Data: k.Public}, &isakmp.Nonce{Data: p.nr}}, proof...)
				payloads = append(payloads, sa.certRequests(sa.negotiated.method)...)
				// The vendor IDs first (RFC 3947 3.2): racoon reads in this order,
				// and drops a message with NAT-D of which it has not been told.
				payloads = append(payloads, sa.vendorIDs()...)
				sa.sendPhase1(now, false, append(payloads, sa.natPayloads()...)...)
				sa.chargeReply(now)
			})
		})
	})
}

// takeAggressive takes the message of a step.
func (sa *isakmpSA) takeAggressive(now time.Time, path ike.Path, m *inbound, next initVector) bool {
	p := sa.p1
	switch {
	case m.HASH() == nil && m.SIG() == nil:
		return false
	case p.step == 2:
		if m.Require(isakmp.PayloadSA, isakmp.PayloadKE, isakmp.PayloadNonce, isakmp.PayloadID) != nil || m.Count(isakmp.PayloadSA) != 1 || m.Count(isakmp.PayloadID) != 1 {
			return false
		}
		return sa.aggressiveConclude(now, path, m)
	case p.step == 3:
		if m.ID() != nil || m.SA() != nil || m.KE() != nil || m.Nonce() != nil {
			return false // it has been said who it is
		}
		p.busy, p.iv = true, next
		sa.noteCertRequests(m.Payloads)
		sa.verifyPeer(now, m, func(now time.Time) {
			sa.detectNAT(path, m)
			sa.floatTo(path)
			sa.establish(now)
		})
		return true
	}
	return false
}

// aggressiveConclude derives the initiator's keys, verifies the responder and
// proves the own identity. Until the responder is verified, there may be better
// messages than this one.
func (sa *isakmpSA) aggressiveConclude(now time.Time, path ike.Path, m *inbound) bool {
	p, s := sa.p1, sa.s
	chosen, err := p.policy.checkAnswer(m.SA())
	if err != nil {
		p.refused = err
		return true
	}
	sa.negotiated = chosen
	if !p.takesKE(sa, m) {
		return false
	}
	p.busy = true
	sa.remote = m.header.CookieR
	sa.heard(m)
	sa.detectNAT(path, m)
	p.hashed.gxr, p.nr = m.keep(isakmp.PayloadKE), m.keep(isakmp.PayloadNonce)
	if err := sa.identify(m); err != nil {
		sa.doubt(now, err)
		return true
	}
	private := p.private
	p.private = nil
	s.Attempt(private, p.hashed.gxr, func(now time.Time, k core.KeyExchange, err error) {
		p.private, p.shared = k.Private, k.Secret
		if err != nil {
			sa.doubt(now, fmt.Errorf("key exchange: %w", err))
			return
		}
		sa.deriveKeys(now, func(now time.Time, err error) {
			if err != nil {
				sa.doubt(now, &AuthError{ID: s.RemoteID, Err: err})
				return
			}
			sa.verifyPeer(now, m, sa.aggressiveFinish)
		})
	})
	return true
}

// aggressiveFinish sends the third message: the responder is verified.
func (sa *isakmpSA) aggressiveFinish(now time.Time) {
	p, s := sa.p1, sa.s
	sa.floatInitiator()
	sa.prove(s.peer, func(now time.Time, proof []isakmp.Payload, err error) {
		if err != nil {
			sa.refusePhase1(now, isakmp.NotifyAuthenticationFailed, err)
			return
		}
		p.step = 4
		payloads := append(sa.natPayloads(), proof...)
		sa.sendPhase1(now, true, append(payloads, sa.initialContact()...)...)
		if sa.state != stateDead {
			sa.establish(now)
		}
	})
}
