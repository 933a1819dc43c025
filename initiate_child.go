package racoon

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// ErrNoChild: a peer has no Child of that name.
var ErrNoChild = errors.New("racoon: no such Child")

// InitiateChild is [Manager.Initiate] for one Child SA: a session that is there
// gets it unless it has it already, and a new one comes up with it alone. Where
// an attempt to set up the session is under way, it is waited for first.
func (m *Manager) InitiateChild(ctx context.Context, peer, child string) (*Session, error) {
	if err := m.waitReady(ctx); err != nil {
		return nil, err
	}
	p := m.peers.Load().byName[peer]
	switch {
	case p == nil:
		return nil, fmt.Errorf("%w: %q", ErrNoPeer, peer)
	case p.child(child) == nil:
		return nil, fmt.Errorf("%w: peer %q has no Child %q", ErrNoChild, peer, child)
	}
	has := func(s *Session) bool {
		return slices.ContainsFunc(s.ChildSAs(), func(c ChildSA) bool { return c.Name == child })
	}
	s := m.sessionWith(p)
	if s == nil {
		if p.host == "" {
			return nil, fmt.Errorf("racoon: peer %q cannot be called: its Remote is empty", peer)
		}
		c := m.reg.join(p, order{names: []string{child}})
		defer m.reg.leave(c)
		select {
		case <-c.done:
		case <-ctx.Done():
			return nil, fmt.Errorf("racoon: peer %q: %w", peer, context.Cause(ctx))
		case <-m.stopped:
			return nil, ErrClosed
		}
		if s = c.session; s == nil || c.err != nil && !has(s) {
			return s, c.err
		}
	}
	if has(s) {
		return s, nil
	}
	if err := s.CreateChild(ctx, child); err != nil {
		return s, peerError(peer, fmt.Errorf("Child SA %q: %w", child, err))
	}
	return s, nil
}

// sessionWith returns an established session with a peer that can be used, or
// nil.
func (m *Manager) sessionWith(p *peer) *Session {
	defer m.reg.lock()()
	return m.reg.withPeer(p)
}
