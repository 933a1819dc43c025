package core

import (
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/child"
)

// AddDeadline adds the deadline of a timer to a snapshot, if it is set. The zero
// child is the session or its IKE SA.
func (s *Session) AddDeadline(st *ike.SessionState, what ike.DeadlineKind, id ike.ChildID, t *child.Timer) {
	if at, ok := s.core.timers.At(t); ok {
		st.Deadlines = append(st.Deadlines, ike.Deadline{At: at, What: what, Child: id})
	}
}

// addDeadlines adds those that sessions of all protocols have.
func (s *Session) addDeadlines(st *ike.SessionState) {
	s.AddDeadline(st, ike.DeadlineLiveness, 0, &s.LivenessTimer)
	s.AddDeadline(st, ike.DeadlineKeepalive, 0, &s.KeepaliveTimer)
	s.Children.Deadlines(func(what ike.DeadlineKind, id ike.ChildID, t *child.Timer) { s.AddDeadline(st, what, id, t) })
}
