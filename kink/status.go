package kink

import (
	"errors"
	"slices"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/internal/child"
	"github.com/racoon3/racoon/kink/message"
)

// Probe implements core.Protocol: STATUS has the peer say that it is there, and
// since when (RFC 4430 3.7).
func (s *session) Probe(now time.Time) {
	if s.Dead || s.probing || len(s.running) > 0 {
		return
	}
	s.probing = true
	begun := now
	s.command(now, message.Status, nil, func(now time.Time, ps message.Payloads, err error) {
		s.probing = false
		if _, noTicket := err.(*TicketError); noTicket && !s.Dead {
			s.Warn(now, err) // it says nothing about the peer
		}
		if err == nil && hasNotify(ps, isakmp.NotifyInitialContact) {
			s.disowned(now, begun)
		}
	})
}

// status serves STATUS. That there is an answer says nearly all; a side that has
// nothing with the peer, which seems to think otherwise, says INITIAL-CONTACT:
// Deletes may be lost, and a CREATE come after its sender has given it up. Who
// does not know that ignores it (RFC 4430 5.5).
func (v *served) status(now time.Time, s *session) {
	for p := range v.request.payloads.ISAKMPs() {
		if ps, err := p.Payloads(); err == nil && s != nil {
			for n := range ps.Notifies() {
				s.Emit(ike.PeerNotify{EventHeader: s.EventHeader(now), Type: uint16(n.Type), Data: slices.Clone(n.Data), Text: n.String()})
			}
		}
	}
	if s == nil {
		v.answer(now, false, notify(0, nil, isakmp.NotifyInitialContact, ""))
		return
	}
	v.answer(now, false)
}

var errDisowned = errors.New("the peer has no Child SA of this association")

// disowned: the peer has none of the Child SAs that there were at that time.
func (s *session) disowned(now, begun time.Time) {
	s.why = ike.DownRemote
	for _, a := range slices.Clone(s.Children.All()) {
		if a.State != child.Larval && a.Info.Installed.Before(begun) {
			s.Children.Remove(now, a, ike.DownRemote, errDisowned, false)
		}
	}
	s.sweep(now, ike.DownRemote, errDisowned)
}

func hasNotify(ps message.Payloads, t isakmp.NotifyType) bool {
	for p := range ps.ISAKMPs() {
		if qs, err := p.Payloads(); err == nil && qs.HasNotify(t) {
			return true
		}
	}
	return false
}
