package ikev1

import "github.com/racoon3/racoon/ike"

// addDeadlines adds those of the ISAKMP SAs to a snapshot.
func (s *session) addDeadlines(st *ike.SessionState) {
	s.AddDeadline(st, ike.DeadlineExpire, 0, &s.userTimer)
	for _, sa := range s.sas {
		s.AddDeadline(st, ike.DeadlineRekey, 0, &sa.soft)
		s.AddDeadline(st, ike.DeadlineExpire, 0, &sa.hard)
		s.AddDeadline(st, ike.DeadlineRetransmit, 0, &sa.retransmit)
	}
}
