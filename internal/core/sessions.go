package core

import (
	"iter"
	"maps"
	"slices"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/child"
)

// Sessions are the sessions of an endpoint, as commands find them. S is the
// session of a protocol, which embeds a Session.
type Sessions[S interface{ Common() *Session }] map[ike.SessionID]S

// Common is what a protocol's session shares with those of others.
func (s *Session) Common() *Session { return s }

// Get returns a session in any state, or ike.ErrNoSession.
func (x Sessions[S]) Get(id ike.SessionID) (S, error) {
	s, ok := x[id]
	if !ok {
		return s, ike.ErrNoSession
	}
	return s, nil
}

// Established returns a session that takes commands, else ike.ErrNoSession or
// ike.ErrNotUp.
func (x Sessions[S]) Established(id ike.SessionID) (S, error) {
	s, err := x.Get(id)
	if err == nil && !s.Common().Up {
		err = ike.ErrNotUp
	}
	return s, err
}

// Child returns the youngest Child SA of a lineage in an established session, or
// as error ike.ErrNoChild or one of Established.
func (x Sessions[S]) Child(id ike.SessionID, c ike.ChildID) (S, *child.SA, error) {
	s, err := x.Established(id)
	if err != nil {
		return s, nil, err
	}
	a := s.Common().Children.ByID(c)
	if a == nil {
		return s, nil, ike.ErrNoChild
	}
	return s, a, nil
}

// Oldest yields the sessions that there are, oldest first. They may be ended
// meanwhile.
func (x Sessions[S]) Oldest() iter.Seq[S] {
	ids := slices.Sorted(maps.Keys(x))
	return func(yield func(S) bool) {
		for _, id := range ids {
			if s, ok := x[id]; ok && !yield(s) {
				return
			}
		}
	}
}
