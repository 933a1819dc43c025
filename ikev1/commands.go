package ikev1

import (
	"fmt"
	"iter"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/child"
	"github.com/racoon3/racoon/spd"
)

// An Initiation asks for a session.
type Initiation struct {
	Peer *Peer
	// Path is where the first message goes. NATTPath is where the session
	// floats to when there is a NAT (RFC 3947 4): a NAT-T socket here, port 4500
	// there. The zero value: it stays.
	Path, NATTPath ike.Path
	// Children names the Child SAs to bring up; nil is all of the peer's.
	Children []string
	// Acquire, if not 0, is answered with AcquireDone when the Child SA is up
	// or has failed; Packet is the flow that raised it.
	Acquire spd.AcquireID
	Packet  *spd.Selector
}

// Initiate begins a session. What becomes of it, the events tell.
func (e *Endpoint) Initiate(now time.Time, in Initiation) (ike.SessionID, error) {
	if in.Peer == nil {
		return 0, fmt.Errorf("ikev1: Initiation.Peer is nil")
	}
	if e.peers.Peer(in.Peer.Name) != in.Peer { // those of the set have been checked
		if err := in.Peer.check(); err != nil {
			return 0, fmt.Errorf("ikev1: peer %q: %w", in.Peer.Name, err)
		}
	}
	if limit := e.Limits.Sessions; limit > 0 && len(e.sessions) >= limit {
		return 0, fmt.Errorf("ikev1: limit of %d sessions is reached", limit)
	}
	if in.Children == nil {
		for _, c := range in.Peer.Children {
			in.Children = append(in.Children, c.Name)
		}
	}
	for _, name := range in.Children {
		if in.Peer.child(name) == nil {
			return 0, fmt.Errorf("ikev1: peer %q has no Child %q", in.Peer.Name, name)
		}
	}
	s := e.newSession(in.Peer, in.Path, true)
	s.begin, s.Acquire, s.float, s.why = &in, in.Acquire, in.NATTPath, "called by this side"
	e.beginning = append(e.beginning, s)
	if err := s.renew(now); err != nil {
		s.end(now, ike.DownFailed, err)
		return 0, err
	}
	return s.ID, nil
}

// canInitiate reports whether this side can begin a phase 1 with the peer: not
// with a client that only XAuth proves, for it is the client that begins.
func (s *session) canInitiate() bool { return len(s.peer.policy(true).methods) > 0 }

// renew begins a phase 1 in the session: its first one, or one that takes over.
func (s *session) renew(now time.Time) error {
	if s.agreeAhead(now) {
		return nil
	}
	return s.renewWith(now, nil)
}

// renewWith is renew with private groups that have been agreed on.
func (s *session) renewWith(now time.Time, groups privateGroups) error {
	policy := s.peer.policyWith(true, groups)
	if len(policy.methods) == 0 {
		return fmt.Errorf("ikev1: peer %q has to begin: with its authentication methods this side cannot", s.peer.Name)
	}
	sa, err := s.ep.newSA(s, s.peer.Modes[0], true)
	if err != nil {
		return err
	}
	sa.begun = now
	sa.p1 = &phase1{policy: policy, groups: groups, float: s.float}
	if s.Up {
		sa.p1.float = s.Path // RFC 3947 4: where the session is already
	}
	switch sa.mode {
	case MainMode:
		sa.beginMain(now)
	case AggressiveMode:
		sa.beginAggressive(now)
	default:
		sa.beginBase(now)
	}
	return nil
}

// CreateChild negotiates a configured Child in an established session. acquire
// and packet are as in Initiation.
func (e *Endpoint) CreateChild(now time.Time, id ike.SessionID, name string, acquire spd.AcquireID, packet *spd.Selector) error {
	s, err := e.sessions.Established(id)
	if err != nil {
		return err
	}
	cfg := s.peer.child(name)
	if cfg == nil {
		return fmt.Errorf("ikev1: peer %q has no Child %q", s.peer.Name, name)
	}
	q := s.newQuickMode(cfg)
	q.acquire, q.packet = acquire, packet
	s.do(now, q.errand())
	return nil
}

// RekeyIKE makes a new ISAKMP SA that takes over: in IKEv1 that is a new phase
// 1, authentication included. The Child SAs stay.
func (e *Endpoint) RekeyIKE(now time.Time, id ike.SessionID) error {
	s, err := e.sessions.Established(id)
	if err != nil {
		return err
	}
	if s.negotiating() {
		return nil
	}
	return s.renew(now)
}

// Reauthenticate is RekeyIKE.
func (e *Endpoint) Reauthenticate(now time.Time, id ike.SessionID) error { return e.RekeyIKE(now, id) }

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
// peer. IKEv1 has no answer to that, so it does not wait for one.
func (e *Endpoint) Delete(now time.Time, id ike.SessionID, reason ike.DownReason) error {
	s, err := e.sessions.Get(id)
	if err != nil {
		return err
	}
	s.delete(now, reason, nil)
	return nil
}

// Forget ends a session without telling the peer, which has no such session:
// its INITIAL-CONTACT said so.
func (e *Endpoint) Forget(now time.Time, id ike.SessionID, reason ike.DownReason) error {
	s, err := e.sessions.Get(id)
	if err != nil {
		return err
	}
	s.end(now, reason, nil)
	return nil
}

// SetPeer gives an established session a new configuration of the same peer:
// times count at once or from the next rekey on, everything else from the next
// ISAKMP SA or Child SA on.
func (e *Endpoint) SetPeer(now time.Time, id ike.SessionID, p *Peer) error {
	s, err := e.sessions.Established(id)
	if err != nil {
		return err
	}
	if err := p.check(); err != nil {
		return fmt.Errorf("ikev1: peer %q: %w", p.Name, err)
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
	s.addDeadlines(&st)
	st.State = "NONE" // no ISAKMP SA at the moment
	if sa := s.current; sa != nil {
		st.State = sa.state.String()
	} else if len(s.sas) > 0 {
		st.State = s.sas[0].state.String()
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
