package kink

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/internal/child"
	"github.com/racoon3/racoon/kink/krb"
	"github.com/racoon3/racoon/kink/message"
	"github.com/racoon3/racoon/spd"
)

// A servedKey names a peer's transaction. A peer that has restarted may use an
// XID again, so its epoch is part of it; and one that restarts within a second
// may do so for something else. What comes from another address is another
// transaction: it may be a copy, made to spoil the answer.
type servedKey struct {
	client  krb.Principal
	from    netip.Addr
	epoch   message.Epoch
	xid     uint32
	command message.Type
}

// A served transaction is a peer's command, and what it was answered. It is kept
// for repetitions: they are answered with the same content, under a new AP-REP
// for their authenticator (RFC 4430 9). A REPLY that wants an ACK is sent again
// by itself.
type served struct {
	ep      *Endpoint
	key     servedKey
	request *request // the latest one
	timing  *ike.Timing
	content []message.Payload // nil while it is worked on
	ackReq  bool
	waits   bool     // for an ACK
	session *session // of a CREATE

	creations, made []*creation // all of a CREATE, and those that are installed
	tries           int
	timer           child.Timer
}

const (
	// keepServed is how long an answer is kept, as racoon2 does.
	keepServed = 60 * time.Second
	// maxServed bounds what is kept for one principal: so many commands it may
	// give in a minute.
	maxServed = 1024
)

// serve answers a command, or takes an ACK.
func (e *Endpoint) serve(now time.Time, r *request) {
	key := servedKey{r.from.Client, r.path.Remote.Addr().Unmap(), r.epoch, r.message.XID, r.message.Type}
	if r.message.Type == message.Ack {
		key.command = message.Create
		if old := e.served[key]; old != nil && old.waits {
			old.confirm(now, nil)
			return
		}
		e.Count.Unexpected++
		return
	}
	old := e.served[key]
	if old != nil {
		e.Count.Repeated++
		old.request = r
		if old.content != nil {
			old.revise()
			e.answer(now, r, old.ackReq, old.content...)
		}
		return
	}
	if key.command == message.Create && e.past.has(now, key) {
		e.Count.Repeated++ // nobody waits for an answer any more
		return
	}
	if e.servedBy[key.client] >= maxServed {
		e.Count.Limited++
		return
	}
	if s := e.relations[relation{r.from.Client, r.path.Remote.Addr().Unmap()}]; s != nil && s.epoch.former(r) {
		e.Count.Unexpected++ // nobody waits for an answer any more
		return
	}
	v := &served{ep: e, key: key, request: r}
	v.timer.Owner = v.due
	e.served[key] = v
	e.servedBy[key.client]++
	s, peer, err := e.sessionOf(r)
	if err != nil {
		e.Emit(ike.SessionFailed{EventHeader: ike.EventHeader{Time: now, Path: r.path}, Err: &PeerRefused{Principal: r.from.Client, Err: err}})
		v.answer(now, false, notify(0, nil, isakmp.NotifyAuthenticationFailed, ""))
		v.forget()
		return
	}
	v.timing = peer.times()
	if s != nil {
		s.alive(now)
		s.seenEpoch(now, r.epoch, r.from.Stamp)
		if s.Dead {
			s = nil // another one begins
		}
	}
	switch r.message.Type {
	case message.Create:
		v.create(now, s, peer)
	case message.Delete:
		v.delete(now, s)
	default:
		v.status(now, s)
		v.forget() // it may as well be asked again
	}
}

// sessionOf finds the peer that a principal is, and its session.
func (e *Endpoint) sessionOf(r *request) (*session, *Peer, error) {
	if s := e.relations[relation{r.from.Client, r.path.Remote.Addr().Unmap()}]; s != nil {
		return s, s.peer, nil
	}
	peer, err := e.peers.choose(r.path, r.from.Client)
	return nil, peer, err
}

// answer sends the REPLY, and keeps its content.
func (v *served) answer(now time.Time, ackReq bool, content ...message.Payload) {
	e := v.ep
	v.content, v.ackReq = content, ackReq
	if v.content == nil {
		v.content = []message.Payload{}
	}
	e.answer(now, v.request, ackReq, content...)
	if ackReq {
		e.SetTimer(&v.timer, now.Add(e.RetransmitAfter(v.timing, 0)))
	} else {
		e.SetTimer(&v.timer, now.Add(keepServed))
	}
}

// revise takes what has gone since out of the answer to a CREATE.
func (v *served) revise() {
	for i, c := range v.creations {
		if c.sa != nil && c.sa.State >= child.Deleting && i < len(v.content) {
			v.content[i] = notify(spd.ProtoESP, nil, isakmp.NotifyNoProposalChosen, "")
		}
	}
}

// due sends a REPLY again that was not acknowledged, or forgets the transaction.
func (v *served) due(now time.Time) {
	e := v.ep
	switch {
	case !v.waits:
		if len(v.creations) > 0 {
			// An authenticator may be ahead by the difference of clocks, and good for
			// as long again.
			e.past.add(now, v.key, 2*cmp.Or(e.cfg.Skew, krb.DefaultSkew))
		}
		v.forget()
	case v.tries >= v.timing.RetransmitTries:
		v.confirm(now, &TimeoutError{Command: message.Reply, Tries: v.tries + 1, Path: v.request.path})
	default:
		v.tries++
		e.Count.Retransmitted++
		e.answer(now, v.request, true, v.content...)
		e.SetTimer(&v.timer, now.Add(e.RetransmitAfter(v.timing, v.tries)))
	}
}

// confirm: the ACK has come, or something that proves the same; or it has not.
func (v *served) confirm(now time.Time, err error) {
	if !v.waits {
		return
	}
	v.waits = false
	v.session.unacked = slices.DeleteFunc(v.session.unacked, func(o *served) bool { return o == v })
	v.ep.SetTimer(&v.timer, now.Add(keepServed))
	v.confirmed(now, err)
}

func (v *served) forget() {
	e := v.ep
	e.StopTimer(&v.timer)
	delete(e.served, v.key)
	if e.servedBy[v.key.client]--; e.servedBy[v.key.client] == 0 {
		delete(e.servedBy, v.key.client)
	}
}

// authorize asks the program about a peer that has no session yet.
func (s *session) authorize(now time.Time, initiator bool, next func(now time.Time, err error)) {
	ask := s.ep.cfg.Authorize
	if ask == nil || s.Up {
		next(now, nil)
		return
	}
	why := "called by this side"
	if !initiator {
		why = s.ep.peers.why(s.peer, s.Path)
	}
	r := ike.AuthorizeRequest{Session: s.ID, Peer: s.peer.Name, Initiator: initiator, Path: s.Path, LocalID: s.LocalID, RemoteID: s.RemoteID, Method: "Kerberos", Why: why}
	s.Job(ike.JobAuthorize, 0, func(ctx context.Context) (any, error) { return nil, ask(ctx, r) },
		func(now time.Time, _ any, err error) { next(now, err) }, nil)
}
