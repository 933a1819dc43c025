package ikev2

import "github.com/racoon3/racoon/ike"

// addDeadlines adds those of the current IKE SA to a snapshot.
func (s *session) addDeadlines(st *ike.SessionState) {
	s.AddDeadline(st, ike.DeadlineReauth, 0, &s.reauth)
	if sa := s.current; sa != nil {
		s.AddDeadline(st, ike.DeadlineRekey, 0, &sa.soft)
		s.AddDeadline(st, ike.DeadlineExpire, 0, &sa.hard)
		s.AddDeadline(st, ike.DeadlineRetransmit, 0, &sa.retransmit)
	}
}
