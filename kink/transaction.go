package kink

import (
	"errors"
	"slices"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/child"
	"github.com/racoon3/racoon/kink/krb"
	"github.com/racoon3/racoon/kink/message"
)

// A transaction is a command of ours, until it is answered: CREATE, DELETE,
// STATUS or GETTGT (RFC 4430 3). A message that is sent again has the same XID
// and ticket and a new authenticator (9).
type transaction struct {
	s       *session
	xid     uint32
	command message.Type
	ticket  *krb.Ticket       // nil for GETTGT
	content []message.Payload // what KINK_ENCRYPT holds, or for GETTGT the message
	done    func(now time.Time, ps message.Payloads, err error)

	stamps []krb.Stamp // of the authenticators that may be answered
	tries  int
	timer  child.Timer
	hint   error // what came without protection
	// answered: done was called. If the peer wants an ACK, the transaction stays
	// for a while, because that may be lost.
	answered, acked bool

	begun time.Time

	recovered recovery
	asking    bool // the KDC, for another ticket
	asked     int
	// again begins the command anew, as another transaction, with another ticket.
	again func(now time.Time, ticket *krb.Ticket, r recovery)
	// tgt takes the peer's ticket-granting ticket, if GETTGT is the command.
	tgt func(now time.Time, tgt []byte)
}

// A recovery is what a command was begun anew for already: each error is believed
// once (RFC 4430 3.5).
type recovery uint8

const (
	recoveredSkew       recovery = 1 << iota
	recoveredTicket              // the peer has said so, protected
	recoveredDoubt               // somebody has, unprotected
	recoveredTGT                 // the peer has another ticket-granting ticket
	recoveredUserToUser          // it wants user-to-user authentication
)

// maxAsked bounds the requests to the KDC that unprotected answers to one command
// can cause.
const maxAsked = 5

// begin sends a command. done is called once, with the answer's payloads in
// clear.
func (s *session) begin(now time.Time, t *transaction) {
	t.s, t.begun = s, now
	e := s.ep
	var err error
	if len(s.running) >= e.Limits.Queue {
		e.Count.Limited++
		err = errQueueFull
	} else {
		t.xid, err = e.newXID()
	}
	if err != nil {
		t.done(now, nil, err)
		return
	}
	t.timer.Owner = t.due
	e.transactions[t.xid] = t
	s.running = append(s.running, t)
	t.send(now)
}

// send sends the command, for the first time or again.
func (t *transaction) send(now time.Time) {
	s := t.s
	h := message.Header{Type: t.command, XID: t.xid}
	var b []byte
	var err error
	if t.ticket == nil {
		b, err = plain(h, t.content...)
	} else {
		stamp := s.nextStamp(now)
		t.stamps = append(t.stamps, stamp)
		b, err = s.ep.request(h, t.ticket, stamp, t.content)
	}
	if err != nil {
		t.finish(now, nil, err)
		return
	}
	if t.tries > 0 {
		s.ep.Count.Retransmitted++
	}
	s.ep.trace(now, s.ID, s.Path, true, h, t.content)
	s.ep.Transmit(s.Path, b)
	s.ep.SetTimer(&t.timer, now.Add(s.ep.RetransmitAfter(s.Timing, t.tries)))
	t.tries++
}

// request builds a message that begins with an AP-REQ.
func (e *Endpoint) request(h message.Header, ticket *krb.Ticket, stamp krb.Stamp, content []message.Payload) ([]byte, error) {
	ap, err := ticket.APReq(nil, stamp, e.Rand())
	if err != nil {
		return nil, err
	}
	return e.sealed(h, &message.APReq{Epoch: e.cfg.Epochs.of(ticket.Server), Data: ap}, ticket.Key, content)
}

// sealed builds a message of which the key is known.
func (e *Endpoint) sealed(h message.Header, ap message.Payload, key *krb.Key, content []message.Payload) ([]byte, error) {
	b := message.NewBuilder(nil, h)
	b.Add(ap)
	if len(content) > 0 {
		confounder := make([]byte, key.ConfounderLen())
		if err := e.Random(confounder); err != nil {
			return nil, err
		}
		b.BeginEncrypt(confounder)
		for _, p := range content {
			b.Add(p)
		}
		b.EndEncrypt(key)
	}
	return b.Sign(key)
}

// plain builds a message without a key.
func plain(h message.Header, content ...message.Payload) ([]byte, error) {
	b := message.NewBuilder(nil, h)
	for _, p := range content {
		b.Add(p)
	}
	return b.Finish()
}

// due sends it again, or gives up.
func (t *transaction) due(now time.Time) {
	s := t.s
	switch {
	case t.answered:
		t.forget()
	case t.tries > s.Timing.RetransmitTries:
		var err error = &TimeoutError{Command: t.command, Tries: t.tries, Path: s.Path, Hint: t.hint}
		if k, ok := errors.AsType[*TicketError](t.hint); ok {
			err = k // the peer has answered; it is the KDC that has not
		}
		s.untold = s.untold || t.command == message.Create
		t.finish(now, nil, err)
		s.unanswered(now, err)
	default:
		t.send(now)
	}
}

// finish ends the wait for an answer.
func (t *transaction) finish(now time.Time, ps message.Payloads, err error) {
	if t.answered {
		return
	}
	t.forget()
	t.answered = true
	t.done(now, ps, err)
}

// forget takes it out of the maps.
func (t *transaction) forget() {
	s := t.s
	s.ep.StopTimer(&t.timer)
	if s.ep.transactions[t.xid] == t {
		delete(s.ep.transactions, t.xid)
	}
	s.running = slices.DeleteFunc(s.running, func(o *transaction) bool { return o == t })
}

// reply takes a REPLY.
func (e *Endpoint) reply(now time.Time, path ike.Path, m *message.Message) {
	t := e.transactions[m.Header.XID]
	if t == nil || path.Remote.Addr().Unmap() != t.s.RemoteAddr() {
		e.Count.Unexpected++
		return
	}
	switch {
	case t.ticket == nil:
		t.replyToGETTGT(now, m)
		return
	case len(m.Checksum) == 0:
		t.unprotected(now, m)
		return
	}
	key := t.ticket.Key
	if m.Verify(key) != nil {
		e.Count.BadIntegrity++
		return
	}
	if rep := m.APRep(); rep != nil {
		stamp, err := krb.OpenAPRep(rep.Data, key)
		if err != nil || !slices.Contains(t.stamps, stamp) {
			e.Count.BadIntegrity++ // not an answer to this command, whoever made it
			return
		}
	} else if m.KRBError() == nil && m.Error() == nil {
		e.Count.Unprotected++
		return
	}
	ps, err := m.Open(key)
	if err != nil {
		e.Count.BadIntegrity++
		return
	}
	e.trace(now, t.s.ID, path, false, m.Header, ps)
	if t.answered { // the ACK was lost
		if m.Header.AckReq {
			e.Count.Repeated++
			t.ack(now)
		}
		return
	}
	t.s.alive(now)
	if rep := m.APRep(); rep != nil {
		if t.s.epoch.formerAnswer(rep.Epoch, t.begun) {
			return // the command comes to the peer again, after it has lost its SAs
		}
		t.s.seenEpoch(now, rep.Epoch, 0)
		if t.answered || t.s.Dead { // with the peer's restart
			return
		}
	}
	if p := ps.KRBError(); p != nil {
		t.kerberosError(now, p.Data, true)
		return
	}
	if p := ps.Error(); p != nil && p.Code != message.OK {
		t.finish(now, nil, &PeerError{Command: t.command, Err: &CodeError{p.Code}})
		return
	}
	if err := ps.Check(m.Header); err != nil {
		t.finish(now, nil, &ProtocolError{Command: message.Reply, Err: err})
		return
	}
	if m.Header.AckReq && t.command == message.Create {
		t.keep(now, ps)
		return
	}
	t.finish(now, ps, nil)
}

// keep is finish for an answer that wants an ACK, which [transaction.ack] sends
// when the SAs are there. The transaction is kept to send it again.
func (t *transaction) keep(now time.Time, ps message.Payloads) {
	t.answered = true
	t.s.ep.SetTimer(&t.timer, now.Add(t.s.cycle()))
	t.done(now, ps, nil)
}

// ack sends the ACK: once when everything is installed, and again when the REPLY
// comes again.
func (t *transaction) ack(now time.Time) {
	s := t.s
	if !t.acked || s.Dead {
		return
	}
	h := message.Header{Type: message.Ack, XID: t.xid}
	b, err := s.ep.request(h, t.ticket, s.nextStamp(now), nil)
	if err != nil {
		s.Warn(now, err)
		return
	}
	s.ep.trace(now, s.ID, s.Path, true, h, nil)
	s.ep.Transmit(s.Path, b)
}

// unprotected takes an answer without a checksum. Anybody may have sent it, so
// it ends nothing. It is told if nothing better comes; and where a new ticket
// would help it is worth one request to the KDC.
func (t *transaction) unprotected(now time.Time, m *message.Message) {
	e := t.s.ep
	if t.answered {
		e.Count.Unprotected++
		return
	}
	switch {
	case m.TGTRep() != nil && t.ticket.UserToUser && t.s.ownTGT(m.TGTRep().TGT):
		// The peer has another ticket-granting ticket than the one that ours was
		// made for (RFC 4430 3.7.1).
		t.recover(now, recoveredTGT, krb.TicketOptions{TGT: slices.Clone(m.TGTRep().TGT), Fresh: true}, nil)
	case m.KRBError() != nil:
		t.kerberosError(now, m.KRBError().Data, false)
	case m.Error() != nil && m.Error().Code != message.OK:
		t.hint = &CodeError{m.Error().Code}
	default:
		e.Count.Unprotected++
	}
}

// kerberosError takes a KRB-ERROR.
func (t *transaction) kerberosError(now time.Time, der []byte, protected bool) {
	s := t.s
	k, err := krb.ParseKRBError(der)
	if err != nil {
		s.ep.Count.Malformed++
		return
	}
	if !protected {
		t.hint = k
	}
	switch k.Code {
	case krb.APErrSkew:
		// Only what the peer vouches for may change the times of authenticators
		// (RFC 4430 3.5).
		if protected && t.recovered&recoveredSkew == 0 {
			t.recovered |= recoveredSkew
			sent := now
			if slices.Contains(t.stamps, k.ClientTime) { // which has been on its way, perhaps for long
				sent = k.ClientTime.Time().Add(-s.offset)
			}
			// In seconds: some servers tell no more.
			s.offset = k.ServerTime.Time().Truncate(time.Second).Sub(sent.Truncate(time.Second))
			t.retry(now, t.ticket)
			return
		}
	case krb.APErrTktExpired, krb.APErrBadKeyVer, krb.APErrNoKey, krb.APErrBadIntegrity, krb.APErrTktNYV:
		if t.ticket.UserToUser && !protected {
			break // it takes the peer's new ticket-granting ticket
		}
		kind := recoveredDoubt
		if protected {
			kind = recoveredTicket
		}
		if t.recover(now, kind, krb.TicketOptions{Fresh: true}, k) {
			return
		}
	case krb.APErrUserToUserRequired:
		if s.peer.UserToUser != UserToUserNever && !t.ticket.UserToUser && !t.asking && t.recovered&recoveredUserToUser == 0 {
			t.asking = true
			t.recovered |= recoveredUserToUser
			s.userToUser(now, func(now time.Time, ticket *krb.Ticket, err error) {
				t.asking = false
				if err == nil && !t.answered {
					t.retry(now, ticket)
				}
			})
			return
		}
	}
	if protected {
		t.finish(now, nil, &PeerError{Command: t.command, Err: k})
	}
}

// recover gets another ticket and begins anew. Until it is there, the old one
// and the command stay: what asked for it may be forged. It reports false if that
// was done already.
func (t *transaction) recover(now time.Time, kind recovery, o krb.TicketOptions, why error) bool {
	if t.recovered&kind != 0 || t.asked >= maxAsked {
		return false
	}
	if t.asking {
		return true
	}
	t.asking = true
	t.asked++
	t.s.fetch(now, o, func(now time.Time, ticket *krb.Ticket, err error) {
		t.asking = false
		switch {
		case t.answered || t.s.Dead:
		case err != nil:
			t.hint = errors.Join(why, err)
		default:
			t.recovered |= kind
			if kind != recoveredTicket && t.command == message.Create {
				t.s.untold = true // it may have been served, or will be, by who gets it late
			}
			t.retry(now, ticket)
		}
	})
	return true
}

// retry begins the command anew: another transaction (RFC 4430 9).
func (t *transaction) retry(now time.Time, ticket *krb.Ticket) {
	t.forget()
	t.answered = true
	t.again(now, ticket, t.recovered)
}
