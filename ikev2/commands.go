package ikev2

import (
	"fmt"
	"iter"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/child"
	"github.com/racoon3/racoon/spd"
)

// CreateChild negotiates a configured Child in an established session. acquire
// and packet are as in Initiation.
func (e *Endpoint) CreateChild(now time.Time, id ike.SessionID, name string, acquire spd.AcquireID, packet *spd.Selector) error {
	s, err := e.sessions.Established(id)
	if err != nil {
		return err
	}
	cfg := s.peer.child(name)
	if cfg == nil {
		return fmt.Errorf("ikev2: peer %q has no Child %q", s.peer.Name, name)
	}
	x := s.newChildExchange(cfg)
	x.acquire, x.packet = acquire, packet
	s.current.enqueue(now, &createChild{x: x})
	return nil
}

// RekeyIKE replaces the IKE SA of a session.
func (e *Endpoint) RekeyIKE(now time.Time, id ike.SessionID) error {
	s, err := e.sessions.Established(id)
	if err != nil {
		return err
	}
	s.rekeyIKE(now)
	return nil
}

// RekeyChild replaces a Child SA.
func (e *Endpoint) RekeyChild(now time.Time, id ike.SessionID, c ike.ChildID) error {
	s, a, err := e.sessions.Child(id, c)
	if err != nil {
		return err
	}
	if !a.Rekeying && a.State < child.Replaced {
		s.StartRekey(now, a)
	}
	return nil
}

// DeleteChild deletes a Child SA.
func (e *Endpoint) DeleteChild(now time.Time, id ike.SessionID, c ike.ChildID) error {
	s, a, err := e.sessions.Child(id, c)
	if err != nil {
		return err
	}
	s.StartDelete(now, a, ike.DownLocal)
	return nil
}

// Reauthenticate proves the identities of a session anew, as its peer's
// configuration says: break-before-make or make-before-break.
func (e *Endpoint) Reauthenticate(now time.Time, id ike.SessionID) error {
	s, err := e.sessions.Established(id)
	if err != nil {
		return err
	}
	s.reauthDue(now)
	return nil
}

// CheckLiveness asks the peer for a sign of life now.
func (e *Endpoint) CheckLiveness(now time.Time, id ike.SessionID) error {
	s, err := e.sessions.Established(id)
	if err != nil {
		return err
	}
	s.Probe(now)
	return nil
}

// Delete ends a session in any state; an established one after telling the
// peer.
func (e *Endpoint) Delete(now time.Time, id ike.SessionID, reason ike.DownReason) error {
	s, err := e.sessions.Get(id)
	if err != nil {
		return err
	}
	s.delete(now, reason, nil)
	return nil
}

// Forget ends a session without telling the peer, which has no such session:
// its INITIAL_CONTACT said so (RFC 7296 2.4).
func (e *Endpoint) Forget(now time.Time, id ike.SessionID, reason ike.DownReason) error {
	s, err := e.sessions.Get(id)
	if err != nil {
		return err
	}
	s.end(now, reason, nil)
	return nil
}

// SetPeer gives an established session a new configuration of the same peer:
// times count at once or from the next rekey on, proposals and selectors at
// the next rekey, authentication at reauthentication.
func (e *Endpoint) SetPeer(now time.Time, id ike.SessionID, p *Peer) error {
	s, err := e.sessions.Established(id)
	if err != nil {
		return err
	}
	if err := p.check(); err != nil {
		return fmt.Errorf("ikev2: peer %q: %w", p.Name, err)
	}
	s.setPeer(p)
	s.ArmLiveness(now)
	return nil
}

// Session returns a snapshot of a session.
func (e *Endpoint) Session(id ike.SessionID) (ike.SessionState, bool) {
	s := e.sessions[id]
	if s == nil {
		return ike.SessionState{}, false
	}
	return s.snapshot(), true
}

func (s *session) snapshot() ike.SessionState {
	st := s.State(s.info())
	st.Exchanges = s.messageIDs
	s.addDeadlines(&st)
	if sa := s.current; sa != nil {
		st.State = sa.state.String()
		st.Exchanges += uint64(sa.sendID) + uint64(sa.recvID)
	}
	return st
}

// Sessions yields snapshots of all sessions, half-open ones too, oldest first.
func (e *Endpoint) Sessions() iter.Seq[ike.SessionState] {
	return func(yield func(ike.SessionState) bool) {
		for s := range e.sessions.Oldest() {
			if !yield(s.snapshot()) {
				return
			}
		}
	}
}
