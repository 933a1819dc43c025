package child

import "github.com/racoon3/racoon/ike"

// Deadlines calls f with the timers of all SAs, set or not.
func (s *Set) Deadlines(f func(what ike.DeadlineKind, id ike.ChildID, t *Timer)) {
	for _, a := range s.sas {
		f(ike.DeadlineRekey, a.Info.ID, &a.soft)
		f(ike.DeadlineExpire, a.Info.ID, &a.hard)
		f(ike.DeadlineRemove, a.Info.ID, &a.grace)
	}
}
