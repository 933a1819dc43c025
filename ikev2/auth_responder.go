package ikev2

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev2/message"
	"github.com/racoon3/racoon/internal/child"
	"github.com/racoon3/racoon/spd"
)

// serveAuth takes the IKE_AUTH request.
func (sa *ikeSA) serveAuth(now time.Time, m *message.Message) {
	s := sa.s
	x := m.Header.Exchange
	if err := m.Require(message.PayloadIDi); err != nil {
		sa.refuseSyntax(now, x, err)
		return
	}
	idi := m.IDi()
	id := ike.Identity{Type: ike.IDType(idi.Type), Data: string(idi.Data)}
	if err := id.Validate(); err != nil {
		sa.refuseAuth(now, message.NotifyAuthenticationFailed, err)
		return
	}
	s.RemoteID = id
	if m.AUTH() == nil {
		sa.refuseAuth(now, message.NotifyAuthenticationFailed, errors.New("peer wants EAP, which is not configured"))
		return
	}
	peer, err := sa.choosePeer(m)
	if err != nil {
		sa.refuseAuth(now, message.NotifyAuthenticationFailed, err)
		return
	}
	s.setPeer(peer)
	s.LocalID = peer.Local.ID
	if peer.NoNATT {
		s.NATLocal, s.NATRemote = false, false
	}
	if peer.FragmentSize < 0 {
		s.fragmentation = false
	}
	if _, err := spd.CheckSelected(peer.Proposals, sa.alg.proposal); err != nil {
		sa.refuseAuth(now, message.NotifyNoProposalChosen,
			fmt.Errorf("the identity %v belongs to peer %q, which does not allow what was negotiated before it was known: %w", s.RemoteID, peer.Name, err))
		return
	}
	sa.hs.initialContact = m.HasNotify(message.NotifyInitialContact)
	sa.noteCertRequests(m)
	sa.verify(now, peer, idi, m, func(now time.Time, v verified, err error) {
		if err != nil {
			sa.refuseAuth(now, message.NotifyAuthenticationFailed, err)
			return
		}
		sa.authorize(now, v, func(now time.Time, err error) {
			if err != nil {
				sa.refuseAuth(now, message.NotifyAuthenticationFailed, err)
				return
			}
			sa.assign(now, m)
		})
	})
}

// choosePeer finds the configuration that an authenticating initiator belongs
// to: by address, then by identities.
func (sa *ikeSA) choosePeer(m *message.Message) (*Peer, error) {
	s := sa.s
	var local *ike.Identity
	if idr := m.IDr(); idr != nil {
		id := ike.Identity{Type: ike.IDType(idr.Type), Data: string(idr.Data)}
		local = &id
	}
	peer, err := s.ep.peers.index.Choose(s.Path, s.RemoteID, local)
	if err != nil {
		// Perhaps a distinguished name that was sent as a domain name.
		remote := ike.RepairDN(s.RemoteID)
		if local != nil {
			own := ike.RepairDN(*local)
			local = &own
		}
		if p, err := s.ep.peers.index.Choose(s.Path, remote, local); err == nil && p.Quirks.DNAsFQDN {
			s.RemoteID = remote
			return p, nil
		}
		return nil, &AuthError{ID: s.RemoteID, Err: err}
	}
	return peer, nil
}

// refuseAuth answers IKE_AUTH with an error and ends the session. The reason
// stays here: the peer is not authenticated.
func (sa *ikeSA) refuseAuth(now time.Time, t message.NotifyType, err error) {
	sa.respond(now, message.ExchangeIKEAuth, &message.Notify{Type: t})
	sa.s.fail(now, ike.DownFailed, &RefusedError{Exchange: message.ExchangeIKEAuth, Type: t, Err: err})
}

// assign leases addresses, if the peer asks for them.
func (sa *ikeSA) assign(now time.Time, m *message.Message) {
	s, cp := sa.s, m.CP()
	var r ike.AddressRequest
	asks := cp != nil && cp.Type == message.ConfigRequest
	if asks {
		r = addressRequest(s, cp)
	}
	if s.peer.RequireAddress && m.SA() != nil && !r.IPv4 && !r.IPv6 {
		sa.answerAuth(now, m, &childRefusal{message.NotifyFailedCPRequired, errNoRequest})
		return
	}
	if !asks || s.peer.Assign == nil {
		sa.answerAuth(now, m, nil)
		return
	}
	assign := s.peer.Assign
	s.Job(ike.JobAddress, 0, func(ctx context.Context) (any, error) {
		return assign.Assign(ctx, r)
	}, func(now time.Time, v any, err error) {
		if err != nil {
			sa.answerAuth(now, m, &childRefusal{message.NotifyInternalAddressFailure, fmt.Errorf("address request: %w", err)})
			return
		}
		s.Network, _ = v.(*ike.NetworkConfig)
		s.Leased = &r
		sa.answerAuth(now, m, nil)
	}, func(v any) {
		if cfg, ok := v.(*ike.NetworkConfig); ok && cfg != nil {
			s.Cleanup(ike.JobAddress, 0, func(ctx context.Context) (any, error) {
				assign.Release(ctx, r, cfg)
				return nil, nil
			}, nil)
		}
	})
}

// childRefusal is why there is no first Child SA.
type childRefusal struct {
	answer message.NotifyType
	err    error
}

// errNoRequest: see Peer.RequireAddress.
var errNoRequest = errors.New("the peer asks for no inner address, and must")

// answerAuth proves the own identity, makes the Child SA, unless that is
// refused already, and answers.
func (sa *ikeSA) answerAuth(now time.Time, m *message.Message, refused *childRefusal) {
	s := sa.s
	sa.prove(s.peer, s.RemoteID, func(now time.Time, p *proof, err error) {
		if err != nil {
			sa.refuseAuth(now, message.NotifyAuthenticationFailed, &AuthError{ID: s.RemoteID, Err: err})
			return
		}
		s.LocalID = p.id
		payloads := append(make(message.Payloads, 0, authPayloads), p.payload)
		payloads = append(payloads, p.certs...)
		payloads = append(payloads, p.auth)
		if refused != nil {
			sa.establish(now)
			sa.childRefused(now, message.ExchangeIKEAuth, refused.answer, refused.err)
			sa.respond(now, message.ExchangeIKEAuth, append(payloads, &message.Notify{Type: refused.answer})...)
			return
		}
		if s.Network != nil && s.Leased != nil {
			payloads = append(payloads, configAnswer(s.Network, m.CP()))
		}
		if m.SA() == nil && s.peer.Childless {
			sa.establish(now)
			sa.respond(now, message.ExchangeIKEAuth, payloads...)
			return
		}
		sa.answerChild(now, m, nil, func(now time.Time, answer message.Payloads, _ *child.SA) {
			sa.establish(now)
			sa.respond(now, message.ExchangeIKEAuth, append(payloads, answer...)...)
		})
	})
}
