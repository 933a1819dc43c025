package ikev2

import (
	"time"

	"github.com/racoon3/racoon/ike"
)

// Probe sends an empty INFORMATIONAL (RFC 7296 2.4), unless a request is under
// way that will show the same.
func (s *session) Probe(now time.Time) {
	sa := s.current
	switch {
	case sa == nil:
	case sa.req != nil && s.Seen != nil:
		sa.transmitRequest()
	case sa.active == nil && len(sa.queue) == 0:
		sa.enqueue(now, &informational{})
	}
}

// startReauth arms the reauthentication timer of the side that began the
// session; the other cannot prove itself anew on its own.
func (s *session) startReauth(now time.Time) {
	if s.Initiator && s.Timing.Reauth > 0 {
		s.reauth.Owner = s.reauthDue
		s.ep.SetTimer(&s.reauth, now.Add(s.ep.Jitter(s.Timing.Reauth, s.Timing.Jitter)))
	}
}

// reauthDue: a new session has to prove the identities again. Make before
// break, whoever drives the core begins it beside this one; else this one ends
// first.
func (s *session) reauthDue(now time.Time) {
	if s.Ending || s.Dead {
		return
	}
	if s.peer.MakeBeforeBreak {
		s.ep.Emit(ike.ReauthNeeded{EventHeader: s.EventHeader(now)})
		s.reauth.Owner = s.reauthDue
		s.ep.SetTimer(&s.reauth, now.Add(s.ep.Jitter(max(s.Timing.Reauth/10, time.Second), 0.5))) // again, should it fail
		return
	}
	s.delete(now, ike.DownReauth, nil)
}
