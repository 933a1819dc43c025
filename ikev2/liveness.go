package ikev2

import (
	"time"

	"github.com/racoon3/racoon/ike"
)

// armLiveness sets the liveness timer for one idle interval after the last
// sign of life.
func (s *session) armLiveness(now time.Time) {
	if s.timing.Liveness <= 0 {
		return
	}
	s.ep.setTimer(&s.liveness, later(s.lastAlive.Add(s.timing.Liveness), now))
}

// later returns t, but no earlier than a moment after now, so that clock jumps
// make no busy loop.
func later(t, now time.Time) time.Time {
	if soon := now.Add(time.Second); t.Before(soon) {
		return soon
	}
	return t
}

// livenessDue checks an idle peer (RFC 7296 2.4). Packets that its Child SAs
// have brought in are proof enough.
func (s *session) livenessDue(now time.Time) {
	if s.dead || s.current == nil {
		return
	}
	idle := now.Sub(s.lastAlive)
	if idle < s.timing.Liveness && idle >= 0 {
		s.armLiveness(now)
		return
	}
	s.children.LastInbound(func(now, last time.Time) {
		if last.After(s.lastAlive) {
			s.lastAlive = last
			if last.After(now) {
				s.lastAlive = now
			}
		}
		if now.Sub(s.lastAlive) >= s.timing.Liveness || s.lastAlive.After(now) {
			s.checkLiveness(now)
			s.ep.setTimer(&s.liveness, now.Add(s.timing.Liveness))
			return
		}
		s.armLiveness(now)
	})
}

// checkLiveness sends an empty INFORMATIONAL, unless a request is under way
// that will show the same.
func (s *session) checkLiveness(now time.Time) {
	sa := s.current
	if sa == nil || sa.active != nil || len(sa.queue) > 0 {
		return
	}
	sa.enqueue(now, &informational{})
}

// armKeepalive keeps the NAT mapping in front of us alive (RFC 3948 4).
func (s *session) armKeepalive(now time.Time) {
	if s.natLocal && s.timing.Keepalive > 0 {
		s.ep.setTimer(&s.keepalive, now.Add(s.timing.Keepalive))
	}
}

var keepalivePacket = []byte{0xff}

func (s *session) keepaliveDue(now time.Time) {
	if s.dead {
		return
	}
	s.ep.stats.Sent++
	s.ep.transmits.push(ike.Transmit{Path: s.path, Packet: keepalivePacket, Keepalive: true})
	s.armKeepalive(now)
}

// startReauth arms the reauthentication timer of the side that began the
// session; the other cannot prove itself anew on its own.
func (s *session) startReauth(now time.Time) {
	if s.initiator && s.timing.Reauth > 0 {
		s.ep.setTimer(&s.reauth, now.Add(s.ep.jitter(s.timing.Reauth, s.timing.Jitter)))
	}
}

// reauthDue: a new session has to prove the identities again. Make before
// break, whoever drives the core begins it beside this one; else this one ends
// first.
func (s *session) reauthDue(now time.Time) {
	if s.ending || s.dead {
		return
	}
	if s.peer.MakeBeforeBreak {
		s.ep.emit(ike.ReauthNeeded{EventHeader: s.EventHeader(now)})
		s.ep.setTimer(&s.reauth, now.Add(s.ep.jitter(max(s.timing.Reauth/10, time.Second), 0.5))) // again, should it fail
		return
	}
	s.delete(now, ike.DownReauth, nil)
}
