package kink

import (
	"slices"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/internal/child"
	"github.com/racoon3/racoon/internal/core"
	"github.com/racoon3/racoon/internal/quickmode"
	"github.com/racoon3/racoon/kink/krb"
	"github.com/racoon3/racoon/kink/message"
	"github.com/racoon3/racoon/spd"
)

// A session is the association with one principal at one address: its Child
// SAs, the ticket for it, and since when it has had its SAs. KINK itself keeps no
// state between transactions (RFC 4430 2).
type session struct {
	core.Session
	ep        *Endpoint
	peer      *Peer
	principal krb.Principal // the peer
	relation  relation

	ticket  *krb.Ticket // for what this side begins
	stamper krb.Stamper
	offset  time.Duration // of the peer's clock, as it says

	epoch peerEpoch
	// settled: the peer holds nothing of this association any more, or has lost it.
	settled bool
	lost    bool // the peer is told another epoch because of it

	running  []*transaction
	creating []*create // ours that are under way
	serving  []*served // the peer's
	overtook []spd.SPI // of the peer, which it has deleted before it has answered with them
	unacked  []*served // CREATEs whose ACK is waited for
	// beginning: the Children of an Initiation are being begun, one after the other.
	beginning bool
	probing   bool
	why       ike.DownReason // what the last Child SA goes for
	sweepErr  error
	telling   int  // DELETEs under way
	untold    bool // one of them was in vain, or a CREATE was given up
	// restarting: the Child SAs of the peer's former life are being removed.
	restarting bool
	endTimer   child.Timer // how long a delete may wait for its answer
	retiring   map[*child.SA]*child.Timer
}

// newSession makes a session that is not up yet.
func (e *Endpoint) newSession(now time.Time, peer *Peer, principal krb.Principal, path ike.Path, initiator bool) *session {
	s := &session{ep: e, principal: principal, why: ike.DownRemote, relation: relation{principal, path.Remote.Addr().Unmap()}}
	s.Init(&e.engine, s, path, initiator, peer.times())
	s.setPeer(peer)
	if old := e.relations[s.relation]; old != nil { // it is being deleted
		s.stamper = old.stamper
		old.lose(now)
	} else {
		e.places[principal]++
	}
	s.LocalID = identity(e.cfg.Kerberos.Principal())
	s.RemoteID = identity(principal)
	e.sessions[s.ID], e.relations[s.relation] = s, s
	return s
}

// identity is a principal as events and callbacks know it.
func identity(p krb.Principal) ike.Identity {
	return ike.Identity{Type: ike.IDPrincipal, Data: p.String()}
}

func (s *session) setPeer(p *Peer) { s.peer, s.Name, s.Timing = p, p.Name, p.times() }

// up is called when the peer is authenticated and there is something to keep.
func (s *session) up(now time.Time) {
	if !s.Up {
		s.Establish(now, s.info())
	}
}

func (s *session) info() ike.SessionInfo { return s.Info() }

// making is the number of CREATEs that are under way, in either role.
func (s *session) making() int { return len(s.creating) + len(s.serving) }

// alive notes a sign of life.
func (s *session) alive(now time.Time) { s.LastAlive = now }

// seenEpoch compares the peer's epoch with the one of its SAs. When it has
// changed, the peer has none of them any more (RFC 4430 3.7).
func (s *session) seenEpoch(now time.Time, epoch message.Epoch, stamp krb.Stamp) {
	if !s.epoch.learn(now, epoch, stamp) {
		return
	}
	s.settled = true
	s.restarting = true
	for _, a := range slices.Clone(s.Children.All()) {
		if a.State != child.Larval { // what is being made belongs to the new life
			s.Children.Remove(now, a, ike.DownDead, ErrPeerRestarted, false)
		}
	}
	s.restarting = false
	s.sweep(now, ike.DownDead, ErrPeerRestarted)
	s.settled = false
}

// lose notes that the peer may hold Child SAs of this association that are no
// longer here: it is told another epoch, so that it gives them up. If the same
// principal has an association at another address, that would go too.
func (s *session) lose(now time.Time) {
	if s.lost {
		return
	}
	s.lost = true
	elsewhere := s.ep.places[s.principal]
	if s.ep.relations[s.relation] != nil {
		elsewhere--
	}
	if elsewhere == 0 {
		s.ep.cfg.Epochs.lose(now, s.principal)
	}
}

// leaves reports whether the end of the session may leave something with the
// peer: it was not told, or has not answered.
func (s *session) leaves() bool {
	return !s.settled && (s.untold || s.telling > 0 || len(s.unacked) > 0 ||
		slices.ContainsFunc(s.Children.All(), func(a *child.SA) bool { return a.State > child.Larval && a.State < child.Deleting }) ||
		slices.ContainsFunc(s.running, func(t *transaction) bool { return !t.answered && t.command == message.Create }))
}

// sweep ends a session that has lost its last Child SA, unless another one is
// under way.
func (s *session) sweep(now time.Time, reason ike.DownReason, err error) {
	if s.Dead || s.Ending || s.beginning || s.making() > 0 || slices.ContainsFunc(s.Children.All(), func(a *child.SA) bool { return a.State < child.Replaced }) {
		s.sweepErr = nil
		return
	}
	if s.sweepErr == nil {
		s.sweepErr = err
	}
	if s.telling > 0 {
		s.why = reason
		return // until the peer knows
	}
	err = s.sweepErr
	if !s.Up && err == nil {
		err = errGone
	}
	s.end(now, reason, err)
}

// unanswered: the peer did not answer a transaction.
func (s *session) unanswered(now time.Time, err error) {
	switch {
	case s.Dead:
	case s.Ending:
		s.end(now, s.EndReason, nil)
	case s.Up:
		s.end(now, ike.DownDead, err)
	default:
		s.end(now, ike.DownFailed, err)
	}
}

// end takes the session away.
func (s *session) end(now time.Time, reason ike.DownReason, err error) {
	if s.Dead {
		return
	}
	e := s.ep
	if s.leaves() {
		s.lose(now)
	}
	delete(e.sessions, s.ID)
	if e.relations[s.relation] == s {
		delete(e.relations, s.relation)
		if e.places[s.principal]--; e.places[s.principal] == 0 {
			delete(e.places, s.principal)
		}
	}
	e.StopTimer(&s.endTimer)
	for _, t := range s.retiring {
		e.StopTimer(t)
	}
	s.retiring = nil
	s.End(now, reason, err)
	if err == nil {
		err = errGone
	}
	for _, t := range slices.Clone(s.running) {
		t.finish(now, nil, err)
		t.forget()
	}
	// The results of their jobs are not waited for any more.
	for _, x := range slices.Clone(s.creating) {
		x.fail(now, err)
	}
	for _, v := range slices.Clone(s.serving) {
		v.abandon(now)
	}
	for _, v := range slices.Clone(s.unacked) {
		v.confirm(now, err)
	}
}

// delete ends the session after the peer has been told, or did not answer in
// time.
func (s *session) delete(now time.Time, reason ike.DownReason) {
	if s.Dead || s.Ending {
		return
	}
	s.Ending, s.EndReason = true, reason
	var all []*child.SA
	for _, a := range s.Children.All() {
		if a.State > child.Larval && a.State < child.Deleting {
			all = append(all, a)
		}
	}
	if !s.Up || len(all) == 0 {
		s.end(now, reason, nil)
		return
	}
	s.endTimer.Owner = func(now time.Time) { s.end(now, reason, nil) }
	s.ep.SetTimer(&s.endTimer, now.Add(s.Timing.DeleteWait))
	s.tellDelete(now, deletion(all), func(now time.Time, err error) {
		// The DELETE says nothing of what was, or is being, made meanwhile.
		s.settled = err == nil && len(s.creating)+len(s.serving)+s.telling == 0 && !s.untold &&
			!slices.ContainsFunc(s.Children.All(), func(a *child.SA) bool { return a.State < child.Deleting && !slices.Contains(all, a) })
		s.end(now, reason, nil)
	})
}

// Removed implements child.Host.
func (s *session) Removed(now time.Time, a *child.SA) {
	s.Session.Removed(now, a)
	if t := s.retiring[a]; t != nil {
		s.ep.StopTimer(t)
		delete(s.retiring, a)
	}
	for _, v := range slices.Clone(s.unacked) {
		if !slices.ContainsFunc(v.made, func(c *creation) bool { return c.sa.State != child.Gone }) {
			v.confirm(now, nil) // there is nothing left that an ACK could be for
		}
	}
	if s.Up && !s.restarting {
		s.sweep(now, s.why, nil)
	}
}

// StartDelete implements child.Host. The inbound side stays until the peer has
// answered (RFC 4430 3.3); what has expired goes at once.
func (s *session) StartDelete(now time.Time, a *child.SA, reason ike.DownReason) {
	if a.State >= child.Deleting || s.Ending {
		return
	}
	a.Unwanted, s.why = reason == ike.DownLocal, reason
	d := deletion([]*child.SA{a})
	if reason == ike.DownExpired || reason == ike.DownFailed {
		s.tellDelete(now, d, func(time.Time, error) {})
		s.Children.Remove(now, a, reason, nil, false)
		return
	}
	a.State = child.Deleting
	s.Children.StopSendingOn(a)
	s.tellDelete(now, d, func(now time.Time, _ error) { s.Children.Remove(now, a, reason, nil, true) })
}

// deletion are the Delete payloads for Child SAs, one for each protocol, with
// our inbound SPIs.
func deletion(all []*child.SA) (ps []isakmp.Payload) {
	for _, protocol := range []spd.Protocol{spd.ProtoESP, spd.ProtoAH} {
		var spis []byte
		for _, a := range all {
			if a.Info.Protocol == protocol {
				spis = quickmode.AppendSPI(spis, a.Info.In)
			}
		}
		if spis != nil {
			ps = append(ps, &isakmp.Delete{DOI: isakmp.DOIIPsec, Protocol: protocol, SPISize: 4, SPIs: spis})
		}
	}
	return ps
}

// tellDelete is the DELETE command. An answer means that the peer does not have
// the SAs, or not any more, unless it did not listen.
func (s *session) tellDelete(now time.Time, ps []isakmp.Payload, done func(now time.Time, err error)) {
	if s.Dead {
		done(now, errGone)
		return
	}
	p, err := message.NewISAKMP(ps...)
	if err != nil {
		done(now, err)
		return
	}
	s.telling++
	s.command(now, message.Delete, []message.Payload{p}, func(now time.Time, ps message.Payloads, err error) {
		if p := ps.ISAKMP(); err == nil && p != nil {
			if qs, bad := p.Payloads(); bad == nil && qs.HasNotify(isakmp.NotifyAuthenticationFailed) {
				err = &NotifyError{Command: message.Delete, Type: isakmp.NotifyAuthenticationFailed}
			}
		}
		s.telling--
		if err != nil && !s.Dead {
			s.untold = true
			s.Warn(now, err)
		}
		done(now, err)
		s.sweep(now, s.why, s.sweepErr)
	})
}

// command sends a command with a ticket, and once more with another one if the
// peer wants that.
func (s *session) command(now time.Time, command message.Type, content []message.Payload, done func(now time.Time, ps message.Payloads, err error)) {
	var send func(now time.Time, ticket *krb.Ticket, r recovery)
	send = func(now time.Time, ticket *krb.Ticket, r recovery) {
		s.begin(now, &transaction{command: command, ticket: ticket, content: content, recovered: r, done: done, again: send})
	}
	s.withTicket(now, func(now time.Time, ticket *krb.Ticket, err error) {
		switch {
		case err == nil && s.Dead:
			err = errGone
			fallthrough
		case err != nil:
			done(now, nil, err)
		default:
			send(now, ticket, 0)
		}
	})
}
