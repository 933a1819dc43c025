package racoon

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/racoon3/racoon/ike"
)

// Ask has a peer say that it is there and waits for its answer; the error explains
// why there was none. A session is neither needed nor made, and no Child SA: that
// is possible with KINK only (STATUS, RFC 4430 3.7), and with peers that can be
// called. [Session.CheckLiveness] asks the peer of a session.
func (m *Manager) Ask(ctx context.Context, peer string) error {
	if err := m.waitReady(ctx); err != nil {
		return err
	}
	p := m.peers.Load().byName[peer]
	switch {
	case p == nil:
		return fmt.Errorf("%w: %q", ErrNoPeer, peer)
	case !slices.Contains(p.cfg.Versions, KINK):
		return fmt.Errorf("racoon: peer %q cannot be asked without a session: it does not speak KINK", peer)
	case p.host == "":
		return fmt.Errorf("racoon: peer %q cannot be asked without a session: its Remote is empty", peer)
	}
	addrs, err := m.resolve(ctx, p)
	if err != nil {
		return peerError(peer, err)
	}
	path, _, err := m.pathsTo(p, addrs[m.sup.rotation(peer)%len(addrs)])
	if err != nil {
		return peerError(peer, err)
	}
	worker := m.workers[m.hashOfAddr(path.Remote.Addr())%len(m.workers)]
	w := &watch{done: make(chan error, 1), answered: func(ev ike.Event) (bool, error) {
		_, ok := ev.(ike.PeerAlive)
		return ok, nil
	}}
	var s *Session
	err = worker.do(ctx, func(now time.Time, k core) error {
		defer m.reg.lock()()
		if m.reg.closed || m.isStopping() {
			return ErrClosed
		}
		id, err := k.Initiate(now, initiation{peer: p, version: KINK, path: path, children: []string{}})
		if err != nil {
			return err
		}
		if s = m.reg.sessions[id]; s == nil {
			s = m.reg.add(id, peer, path, now)
		}
		m.reg.watches[id] = append(m.reg.watches[id], w)
		return nil
	})
	if err != nil {
		worker.post(func(time.Time, core) error { // it may have begun after all
			if s != nil {
				m.reg.unwatch(s, w)
			}
			return nil
		})
		return peerError(peer, err)
	}
	defer m.reg.unwatch(s, w)
	select {
	case <-w.done:
		return nil
	case <-s.Done():
		select {
		case <-w.done: // it has answered, which was all
			return nil
		default:
			return peerError(peer, s.failure())
		}
	case <-ctx.Done():
		return peerError(peer, context.Cause(ctx))
	}
}

// failure is why a session never came up.
func (s *Session) failure() error {
	defer s.m.reg.lock()()
	if s.err != nil {
		return s.err
	}
	return s.endError()
}

// asked: the peer of a session has answered. The core has ended it without
// a word if nothing but the question was wanted of it.
func (r *registry) asked(s *Session) {
	if s.state == connecting && s.call == nil {
		r.remove(s, ike.DownLocal, nil)
	}
}
