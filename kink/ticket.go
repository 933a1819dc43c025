package kink

import (
	"context"
	"math"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/kink/message"
)

// withTicket calls do with a ticket for the peer that outlasts a transaction.
func (s *session) withTicket(now time.Time, do func(now time.Time, ticket Ticket, err error)) {
	if s.ticket != nil && s.ticket.End().After(now.Add(s.cycle())) {
		do(now, s.ticket, nil)
		return
	}
	if s.peer.UserToUser == UserToUserRequest {
		s.userToUser(now, do)
		return
	}
	s.fetch(now, TicketRequest{}, do)
}

// fetch gets a ticket from the KDC, or from its cache.
func (s *session) fetch(now time.Time, r TicketRequest, do func(now time.Time, ticket Ticket, err error)) {
	kerberos := s.ep.cfg.Kerberos
	r.Service, r.Until = s.principal, now.Add(s.cycle())
	s.Job(ike.JobTicket, 0, func(ctx context.Context) (any, error) {
		return kerberos.Ticket(ctx, now, r)
	}, func(now time.Time, v any, err error) {
		ticket, _ := v.(Ticket)
		if err == nil && !ticket.End().After(now) {
			err = KrbAPErrTktExpired.error()
		}
		if err != nil {
			do(now, nil, &TicketError{Service: r.Service, Err: err})
			return
		}
		s.ticket = ticket
		do(now, ticket, nil)
	}, nil)
}

func (c ErrorCode) error() error { return &KerberosError{Code: c} }

// cycle is the longest time that a transaction may take, all retransmissions
// included.
func (s *session) cycle() time.Duration {
	t := s.Timing
	var sum float64
	for i := range t.RetransmitTries + 1 {
		sum += min(float64(t.RetransmitBase)*math.Pow(t.RetransmitFactor, float64(i)), float64(t.RetransmitMax))
	}
	return time.Duration(min(sum, float64(24*time.Hour)))
}

// nextStamp is the time for an authenticator, on the peer's clock as far as it is
// known, and never one that was used before.
func (s *session) nextStamp(now time.Time) Stamp {
	stamp := StampOf(now.Add(s.offset))
	if !s.last.before(stamp) {
		stamp = s.last.next()
	}
	s.last = stamp
	return stamp
}

// userToUser asks the peer for its ticket-granting ticket, and the KDC for a
// ticket that is encrypted with it (RFC 4430 3.1).
func (s *session) userToUser(now time.Time, do func(now time.Time, ticket Ticket, err error)) {
	name, err := principalName(s.principal)
	if err != nil {
		do(now, nil, &TicketError{Service: s.principal, Err: err})
		return
	}
	s.begin(now, &transaction{command: message.TypeGetTGT, content: []message.Payload{&message.TGTReq{PrincName: name}},
		done: func(now time.Time, ps message.Payloads, err error) {
			if err != nil {
				do(now, nil, &TicketError{Service: s.principal, Err: err})
				return
			}
			s.fetch(now, TicketRequest{TGT: append([]byte(nil), ps.TGTRep().Data...), Fresh: true}, do)
		}})
}

// replyToGETTGT takes the answer to a GETTGT. Nothing protects it, but a ticket
// made of a forged one is of no use to anybody.
func (t *transaction) replyToGETTGT(now time.Time, m *message.Message) {
	switch {
	case t.answered:
	case m.TGTRep() != nil:
		t.s.ep.trace(now, t.s.ID, t.s.Path, false, m.Header, m.Payloads)
		t.finish(now, m.Payloads, nil)
	case m.Error() != nil && m.Error().Code != message.OK:
		t.hint = &CodeError{m.Error().Code}
	case m.KRBError() != nil:
		if k, err := t.s.ep.cfg.Kerberos.ParseError(m.KRBError().Data); err == nil {
			t.hint = k
		}
	}
}
