package racoon

import (
	"context"

	"github.com/racoon3/racoon/ike"
)

// Version returns the version of IKE that the session speaks.
func (s *Session) Version() Version { return VersionOf(s.id) }

// VersionOf returns the version of IKE that the session of an ID speaks, also
// when the session is over.
func VersionOf(id ike.SessionID) Version {
	switch tag := id >> 56; {
	case tag&tagIKEv1 != 0:
		return IKEv1
	case tag&tagKINK != 0:
		return KINK
	}
	return IKEv2
}

// State asks the protocol for a snapshot: what the methods of Session know, and
// beyond it the states of the SAs and when something is due. The error is
// ErrSessionEnded for a session that is over, or ctx's.
func (s *Session) State(ctx context.Context) (ike.SessionState, error) {
	if err := s.Err(); err != nil {
		return ike.SessionState{}, err
	}
	return ask(ctx, s.m.workerOf(s.id), func(c core) (ike.SessionState, error) {
		st, ok := c.Session(s.id)
		if !ok {
			return st, ErrSessionEnded
		}
		return st, nil
	})
}

// States returns snapshots of all sessions, those that this side has begun and
// that are not up yet too, in no order. It asks each worker once, so it is
// cheaper than State for one session after the other; still it keeps a worker
// from its packets for some microseconds a session.
func (m *Manager) States(ctx context.Context) ([]ike.SessionState, error) {
	if err := m.waitReady(ctx); err != nil {
		return nil, err
	}
	ids := make([][]ike.SessionID, len(m.workers))
	for _, s := range m.reg.all() {
		if w := m.workerOf(s.id); w != nil {
			ids[w.index] = append(ids[w.index], s.id)
		}
	}
	var all []ike.SessionState
	for i, w := range m.workers {
		// Some at a time, so that datagrams are not kept waiting for long.
		for len(ids[i]) > 0 {
			part := ids[i][:min(len(ids[i]), statesAtOnce)]
			ids[i] = ids[i][len(part):]
			states, err := ask(ctx, w, func(c core) ([]ike.SessionState, error) {
				states := make([]ike.SessionState, 0, len(part))
				for _, id := range part {
					if st, ok := c.Session(id); ok {
						states = append(states, st)
					}
				}
				return states, nil
			})
			if err != nil {
				return nil, err
			}
			all = append(all, states...)
		}
	}
	return all, nil
}

// statesAtOnce is how many snapshots a worker makes in one go.
const statesAtOnce = 64
