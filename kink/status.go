package kink

import (
	"errors"
	"slices"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/kink/message"
)

// Probe implements core.Protocol: STATUS has the peer say that it is there, and
// since when (RFC 4430 3.7).
func (s *session) Probe(now time.Time) {
	if s.Dead || s.probing || len(s.running) > 0 {
		return
	}
	s.probing = true
	s.command(now, message.Status, nil, func(now time.Time, _ message.Payloads, err error) {
		s.probing = false
		if _, noTicket := err.(*TicketError); noTicket && !s.Dead {
			s.Warn(now, err) // it says nothing about the peer
		}
	})
}

// ask is STATUS because somebody wants to know, session or not.
func (s *session) ask(now time.Time) {
	s.command(now, message.Status, nil, func(now time.Time, _ message.Payloads, err error) {
		switch {
		case s.Dead:
		case err == nil:
			s.Emit(ike.PeerAlive{EventHeader: s.EventHeader(now)})
			if !s.Up && s.making() == 0 && len(s.running) == 0 {
				s.end(now, ike.DownLocal, nil)
			}
		case s.Up:
			if _, silent := errors.AsType[*TimeoutError](err); !silent { // else the session ends of it
				s.Warn(now, err)
			}
		default:
			s.sweep(now, ike.DownFailed, err)
		}
	})
}

// status serves STATUS. That there is an answer, and its epoch, say all.
func (v *served) status(now time.Time, s *session) {
	for p := range v.request.payloads.ISAKMPs() {
		if ps, err := p.Payloads(); err == nil && s != nil {
			for n := range ps.Notifies() {
				s.Emit(ike.PeerNotify{EventHeader: s.EventHeader(now), Type: uint16(n.Type), Data: slices.Clone(n.Data), Text: n.String()})
			}
		}
	}
	v.answer(now, false)
}
