package core

import "time"

// ArmLiveness sets the liveness timer for one idle interval after the last
// sign of life.
func (s *Session) ArmLiveness(now time.Time) {
	if s.Timing.Liveness <= 0 {
		return
	}
	if s.LivenessTimer.Owner == nil {
		s.LivenessTimer.Owner = s.livenessDue
	}
	s.core.SetTimer(&s.LivenessTimer, later(s.LastAlive.Add(s.Timing.Liveness), now))
}

// later returns t, but no earlier than a moment after now, so that clock jumps
// make no busy loop.
func later(t, now time.Time) time.Time {
	if soon := now.Add(time.Second); t.Before(soon) {
		return soon
	}
	return t
}

// livenessDue checks an idle peer (RFC 7296 2.4, RFC 3706 5.5). Packets that
// its Child SAs have brought in are proof enough.
func (s *Session) livenessDue(now time.Time) {
	if s.Dead {
		return
	}
	idle := now.Sub(s.LastAlive)
	if idle < s.Timing.Liveness && idle >= 0 {
		s.ArmLiveness(now)
		return
	}
	s.Children.LastUsed(func(now, last, sent time.Time) {
		if last.After(s.LastAlive) {
			s.LastAlive = last
			if last.After(now) {
				s.LastAlive = now
			}
		}
		if now.Sub(s.LastAlive) >= s.Timing.Liveness || s.LastAlive.After(now) {
			if !s.Timing.OnDemand || sent.After(s.LastAlive) {
				s.self.Probe(now)
			}
			s.core.SetTimer(&s.LivenessTimer, now.Add(s.Timing.Liveness))
			return
		}
		s.ArmLiveness(now)
	})
}

// ArmKeepalive keeps the NAT mapping in front of us alive (RFC 3948 4). An
// established session does so by itself.
func (s *Session) ArmKeepalive(now time.Time) {
	if s.NATLocal && s.Timing.Keepalive > 0 {
		if s.KeepaliveTimer.Owner == nil {
			s.KeepaliveTimer.Owner = s.keepaliveDue
		}
		s.core.SetTimer(&s.KeepaliveTimer, now.Add(s.Timing.Keepalive))
	}
}

var keepalivePacket = []byte{0xff}

func (s *Session) keepaliveDue(now time.Time) {
	if s.Dead {
		return
	}
	s.core.transmitKeepalive(s.Path)
	s.ArmKeepalive(now)
}
