package kink

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/kink/krb"
	"github.com/racoon3/racoon/kink/message"
)

// A rate bounds what is done for whoever asks.
type rate struct {
	tokens float64
	last   time.Time
}

const (
	tgtsPerSecond = 5
	tgtBurst      = 20
	// maxTGTs is how many of our ticket-granting tickets may be in use at a time:
	// peers have tickets made with those before.
	maxTGTs = 4
)

// allow takes one token, if there is one.
func (r *rate) allow(now time.Time) bool {
	if d := now.Sub(r.last); r.last.IsZero() || d < 0 || d > time.Minute {
		r.tokens = tgtBurst
	} else {
		r.tokens = min(tgtBurst, r.tokens+d.Seconds()*tgtsPerSecond)
	}
	r.last = now
	if r.tokens < 1 {
		return false
	}
	r.tokens--
	return true
}

// giveTGT answers GETTGT (RFC 4430 3.1). Nothing says who asks, and the answer is
// longer than the question, so it is given only where a peer is configured for
// it, and not too often.
func (e *Endpoint) giveTGT(now time.Time, path ike.Path, m *message.Message, limit int) {
	req := m.TGTReq()
	if req == nil {
		e.Count.Malformed++
		return
	}
	e.trace(now, 0, path, false, m.Header, m.Payloads)
	own := e.cfg.Kerberos.Principal()
	if want, err := krb.ParsePrincipal(string(req.Principal), ""); err != nil || want != own {
		k := &krb.KRBError{Code: krb.APErrNotUs, ServerTime: krb.StampOf(now), Server: own}
		if der, err := k.AppendBinary(nil); err == nil {
			e.answerPlain(now, path, m.Header.XID, limit, &message.KRBError{Data: der})
		}
		return
	}
	if !e.sendTGT(now, path, m.Header.XID) {
		e.answerPlain(now, path, m.Header.XID, max(limit, message.HeaderLen+8), &message.Error{Code: message.U2UDenied})
	}
}

// gives reports whether somebody at an address may have the own ticket-granting
// ticket.
func (e *Endpoint) gives(path ike.Path) bool {
	possible, _ := e.peers.index.Candidates(path)
	return slices.ContainsFunc(possible, func(p *Peer) bool { return p.UserToUser != UserToUserNever })
}

// sendTGT sends the own ticket-granting ticket. It reports false if the peer's
// configuration does not have that.
func (e *Endpoint) sendTGT(now time.Time, path ike.Path, xid uint32) bool {
	if !e.gives(path) {
		return false
	}
	if !e.given.allow(now) {
		e.Count.Limited++
		return true
	}
	kerberos := e.cfg.Kerberos
	e.Background(ike.JobTicket, func(ctx context.Context) (any, error) { return kerberos.TGT(ctx, now) },
		func(now time.Time, v any, err error) {
			tgt, _ := v.(*krb.Ticket)
			if err == nil && tgt == nil {
				err = errors.New("no ticket-granting ticket")
			}
			if err != nil {
				e.Emit(ike.Warning{EventHeader: ike.EventHeader{Time: now, Path: path}, Err: &TicketError{Service: kerberos.Principal(), Err: err}})
				return
			}
			e.holdTGT(tgt)
			p := &message.TGTRep{TGT: tgt.Raw}
			h := message.Header{Type: message.Reply, XID: xid}
			if b, err := plain(h, p); err == nil {
				e.trace(now, 0, path, true, h, message.Payloads{p})
				e.Transmit(path, b)
			}
		})
	return true
}

// holdTGT keeps a ticket-granting ticket that was given away, the latest first.
func (e *Endpoint) holdTGT(tgt *krb.Ticket) {
	if slices.ContainsFunc(e.acceptor.TGTs, func(o *krb.Ticket) bool { return string(o.Raw) == string(tgt.Raw) }) {
		return
	}
	e.acceptor.TGTs = append([]*krb.Ticket{tgt}, e.acceptor.TGTs[:min(len(e.acceptor.TGTs), maxTGTs-1)]...)
}
