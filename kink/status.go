package kink

import (
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
