package ikev2

import (
	"errors"
	"fmt"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev2/message"
	"github.com/racoon3/racoon/spd"
)

// startAuth prepares the IKE_AUTH request: the own proof, and the first Child
// SA's SPIs.
func (sa *ikeSA) startAuth(now time.Time) {
	s := sa.s
	sa.s.LocalID = s.peer.Local.ID
	remote, _ := s.peer.Remote.ID.IsExact()
	sa.prove(s.peer, remote, func(now time.Time, p *proof, err error) {
		if err != nil {
			s.fail(now, ike.DownFailed, &AuthError{ID: remote, Err: err})
			return
		}
		s.LocalID = p.id
		if len(s.begin.Children) == 0 && sa.hs.childless {
			sa.sendAuth(now, p, nil)
			return
		}
		if len(s.begin.Children) == 0 {
			s.fail(now, ike.DownFailed, fmt.Errorf("no Child SA is to be made, and the peer does not take an IKE SA without one (RFC 6023)"))
			return
		}
		for _, name := range s.begin.Children {
			sa.hs.plan = append(sa.hs.plan, s.childExchanges(s.peer.child(name))...)
		}
		x := sa.hs.plan[0]
		x.acquire, x.packet = s.Acquire, s.begin.Packet
		s.Acquire = 0
		x.ni, x.nr = sa.hs.ni, sa.hs.nr
		sa.hs.child = x
		x.reserve(func(now time.Time, err error) {
			if err != nil {
				x.failed(now, err)
				s.fail(now, ike.DownFailed, fmt.Errorf("reserving an SPI: %w", err))
				return
			}
			sa.sendAuth(now, p, x)
		})
	})
}

// authPayloads is the usual number of payloads in IKE_AUTH.
const authPayloads = 12

// sendAuth sends the IKE_AUTH request of RFC 7296 1.2.
func (sa *ikeSA) sendAuth(now time.Time, p *proof, x *childExchange) {
	s := sa.s
	payloads := append(make(message.Payloads, 0, authPayloads), p.payload)
	payloads = append(payloads, p.certs...)
	payloads = append(payloads, sa.certRequest([]*Peer{s.peer})...)
	if id, exact := s.peer.Remote.ID.IsExact(); exact && !s.peer.Quirks.NoIDr {
		payloads = append(payloads, idPayload(id, true))
	}
	payloads = append(payloads, p.auth)
	if sa.initialContact() {
		payloads = append(payloads, &message.Notify{Type: message.NotifyInitialContact})
	}
	if r := s.peer.Request; r != nil {
		payloads = append(payloads, configRequest(r))
	}
	if x != nil {
		payloads = append(payloads, x.offer(true)...)
	}
	sa.request(now, message.ExchangeIKEAuth, payloads...)
}

// initialContact reports whether this is our only session with the peer
// (RFC 7296 2.4).
func (sa *ikeSA) initialContact() bool {
	s := sa.s
	if s.peer.Unique == ike.UniqueNever || s.Replaces != 0 {
		return false
	}
	return s.ep.Established(s.peer.Name) == 0
}

// authResponse takes the IKE_AUTH response.
func (sa *ikeSA) authResponse(now time.Time, m *message.Message) {
	s, hs := sa.s, sa.hs
	refuse := func(err error) {
		if hs.child != nil {
			hs.child.failed(now, err)
		}
		s.fail(now, ike.DownFailed, err)
	}
	if m.AUTH() == nil || m.IDr() == nil {
		if n := m.ErrorNotify(); n != nil {
			refuse(&NotifyError{Exchange: m.Header.Exchange, Type: n.Type, Detail: s.authDetail(n.Type)})
		} else if m.EAP() != nil {
			refuse(protocolError(m.Header.Exchange, "peer wants EAP, which is not configured"))
		} else {
			refuse(protocolError(m.Header.Exchange, "response has neither AUTH nor an error"))
		}
		return
	}
	idr := m.IDr()
	id := ike.Identity{Type: ike.IDType(idr.Type), Data: string(idr.Data)}
	if err := id.Validate(); err != nil {
		sa.distrust(now, &AuthError{ID: id, Err: err})
		return
	}
	if !s.peer.Remote.ID.Match(id) {
		sa.distrust(now, &AuthError{ID: id, Err: fmt.Errorf("the peer is %v, expected %v", id, s.peer.Remote.ID)})
		return
	}
	s.RemoteID = id
	sa.verify(now, s.peer, idr, m, func(now time.Time, v verified, err error) {
		if err != nil {
			sa.distrust(now, err)
			return
		}
		sa.authorize(now, v, func(now time.Time, err error) {
			if err != nil {
				sa.distrust(now, err)
				return
			}
			sa.completeInitiator(now, m)
		})
	})
}

// authDetail helps to find out why the peer refused.
func (s *session) authDetail(t message.NotifyType) string {
	if t == message.NotifyAuthenticationFailed {
		return fmt.Sprintf("we are %v with %v; the peer's log says why", s.LocalID, s.peer.Local.Method)
	}
	return ""
}

// distrust ends a handshake in which the responder did not prove itself. It
// believes that the SA is up, so it is told (RFC 7296 2.21.2).
func (sa *ikeSA) distrust(now time.Time, err error) {
	s := sa.s
	if sa.hs.child != nil {
		sa.hs.child.failed(now, err)
	}
	s.Ending, s.EndReason, s.EndErr = true, ike.DownFailed, err
	sa.active = nil
	sa.ep.SetTimer(&sa.hard, now.Add(s.Timing.DeleteWait))
	sa.enqueue(now, &informational{
		payloads: message.Payloads{
			&message.Notify{Type: message.NotifyAuthenticationFailed},
			&message.Delete{Protocol: spd.ProtoIKE},
		},
		deletesIKE: true,
	})
}

// completeInitiator: both sides are authenticated. The Child SA's fate is a
// matter of its own.
func (sa *ikeSA) completeInitiator(now time.Time, m *message.Message) {
	s, x := sa.s, sa.hs.child
	if s.peer.Request != nil {
		s.Network = configReply(m.CP())
		s.Screen(now, s.Network)
	}
	plan := sa.hs.plan
	sa.establish(now)
	replace := func(now time.Time) {
		if old := s.Replaces; old != 0 && s.current != nil {
			s.current.enqueue(now, &replaceSession{old})
		}
	}
	if x == nil {
		sa.finish(now)
		replace(now)
		return
	}
	x.accept(now, m, nil, func(now time.Time, err error) {
		plan = plan[1:]
		if isNotify(err, message.NotifySinglePairRequired) && x.pair == nil {
			plan = append(s.pairs(x.cfg), plan...)
		}
		if err != nil {
			x.failed(now, err)
			if m.SA() != nil {
				x.withdraw(sa)
			}
		}
		sa.finish(now)
		for _, x := range plan {
			if s.current != nil {
				s.current.enqueue(now, &createChild{x: x})
			}
		}
		replace(now)
	})
}

// isNotify reports whether an error is the peer's notify of that type.
func isNotify(err error, t message.NotifyType) bool {
	var n *NotifyError
	return errors.As(err, &n) && n.Type == t
}
