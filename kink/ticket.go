package kink

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/kink/krb"
	"github.com/racoon3/racoon/kink/message"
)

// withTicket calls do with a ticket for the peer that outlasts a transaction.
func (s *session) withTicket(now time.Time, do func(now time.Time, ticket *krb.Ticket, err error)) {
	if s.ticket != nil && s.ticket.EndTime.After(now.Add(s.cycle())) {
		do(now, s.ticket, nil)
		return
	}
	if s.peer.UserToUser == UserToUserRequest {
		s.userToUser(now, do)
		return
	}
	s.fetch(now, krb.TicketOptions{}, func(now time.Time, ticket *krb.Ticket, err error) {
		if s.peer.UserToUser != UserToUserNever && errors.Is(err, krb.KDCErrMustUseUser2User) {
			s.userToUser(now, do)
			return
		}
		do(now, ticket, err)
	})
}

// fetch gets a ticket from the KDC, or from its cache.
func (s *session) fetch(now time.Time, o krb.TicketOptions, do func(now time.Time, ticket *krb.Ticket, err error)) {
	kerberos, server := s.ep.cfg.Kerberos, s.principal
	o.AtLeast = s.cycle()
	s.Job(ike.JobTicket, 0, func(ctx context.Context) (any, error) {
		return kerberos.ServiceTicket(ctx, now, server, o)
	}, func(now time.Time, v any, err error) {
		ticket, _ := v.(*krb.Ticket)
		if err == nil && !ticket.Valid(now) {
			err = fmt.Errorf("what the KDC gave is no good now: %v", ticket)
		}
		if err != nil {
			do(now, nil, &TicketError{Service: server, Err: err})
			return
		}
		s.ticket = ticket
		do(now, ticket, nil)
	}, nil)
}

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
// known.
func (s *session) nextStamp(now time.Time) krb.Stamp { return s.stamper.Next(now.Add(s.offset)) }

// userToUser asks the peer for its ticket-granting ticket, and the KDC for a
// ticket that is encrypted with it (RFC 4430 3.1).
func (s *session) userToUser(now time.Time, do func(now time.Time, ticket *krb.Ticket, err error)) {
	if s.Dead {
		do(now, nil, errGone)
		return
	}
	t := &transaction{command: message.GetTGT, content: []message.Payload{&message.TGTReq{Principal: []byte(s.principal.String())}}}
	t.done = func(now time.Time, _ message.Payloads, err error) {
		if _, ok := errors.AsType[*TicketError](err); !ok {
			err = &TicketError{Service: s.principal, Err: err}
		}
		do(now, nil, err)
	}
	t.tgt = func(now time.Time, tgt []byte) {
		t.asking = true
		t.asked++
		s.fetch(now, krb.TicketOptions{TGT: tgt, Fresh: true}, func(now time.Time, ticket *krb.Ticket, err error) {
			t.asking = false
			switch {
			case t.answered:
			case err != nil:
				t.hint = err // it may be the wrong one; the right one may come
			default:
				t.forget()
				t.answered = true
				do(now, ticket, nil)
			}
		})
	}
	s.begin(now, t)
}

// ownTGT reports whether this may be the peer's ticket-granting ticket: one for
// the KDC of its realm (RFC 4430 4.2.4). Whose it is, the KDC sees.
func (s *session) ownTGT(der []byte) bool {
	t, err := krb.ParseTicket(der)
	return err == nil && t.IsLocalTGT() && t.Server.Realm == s.principal.Realm
}

// replyToGETTGT takes the answer to a GETTGT. Nothing protects it: so it ends
// nothing, until the KDC has made a ticket of it, which only the peer can use.
func (t *transaction) replyToGETTGT(now time.Time, m *message.Message) {
	switch {
	case t.answered || t.asking || t.asked >= maxAsked:
		t.s.ep.Count.Unprotected++
	case m.TGTRep() != nil && t.s.ownTGT(m.TGTRep().TGT):
		t.s.ep.trace(now, t.s.ID, t.s.Path, false, m.Header, m.Payloads)
		t.tgt(now, slices.Clone(m.TGTRep().TGT))
	case m.Error() != nil && m.Error().Code != message.OK:
		t.hint = &CodeError{m.Error().Code}
	case m.KRBError() != nil:
		if k, err := krb.ParseKRBError(m.KRBError().Data); err == nil {
			t.hint = k
		}
	}
}
