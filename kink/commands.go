package kink

import (
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/child"
	"github.com/racoon3/racoon/kink/krb"
	"github.com/racoon3/racoon/spd"
)

// An Initiation asks for a session.
type Initiation struct {
	Peer *Peer
	Path ike.Path // from where to where; the peer's port is usually 910
	// Children names the Child SAs to bring up; nil is all of the peer's. With an
	// empty list the peer is only asked whether it is there: PeerAlive or
	// SessionFailed tells, and a session that was not up ends without a word.
	Children []string
	// Acquire, if not 0, is answered with AcquireDone when the Child SA is up
	// or has failed; Packet is the flow that raised it.
	Acquire spd.AcquireID
	Packet  *spd.Selector
}

// Initiate begins a session, or more Child SAs in the one that there is with this
// peer. What becomes of it, the events tell.
func (e *Endpoint) Initiate(now time.Time, in Initiation) (ike.SessionID, error) {
	if in.Peer == nil {
		return 0, fmt.Errorf("kink: Initiation.Peer is nil")
	}
	if e.peers.Peer(in.Peer.Name) != in.Peer { // those of the set have been checked
		if err := in.Peer.check(); err != nil {
			return 0, fmt.Errorf("kink: peer %q: %w", in.Peer.Name, err)
		}
	}
	if !in.Peer.canInitiate() {
		return 0, fmt.Errorf("kink: peer %q has to begin: there is no ticket for %q", in.Peer.Name, in.Peer.Principal)
	}
	principal, err := krb.ParsePrincipal(in.Peer.Principal, "")
	if err != nil {
		return 0, fmt.Errorf("kink: peer %q: %w", in.Peer.Name, err)
	}
	if in.Children == nil {
		for _, c := range in.Peer.Children {
			in.Children = append(in.Children, c.Name)
		}
	}
	for _, name := range in.Children {
		if in.Peer.child(name) == nil {
			return 0, fmt.Errorf("kink: peer %q has no Child %q", in.Peer.Name, name)
		}
	}
	s := e.relations[relation{principal, in.Path.Remote.Addr().Unmap()}]
	if s == nil || s.Ending {
		if limit := e.Limits.Sessions; limit > 0 && len(e.sessions) >= limit {
			return 0, fmt.Errorf("kink: limit of %d sessions is reached", limit)
		}
		s = e.newSession(now, in.Peer, principal, in.Path, true)
	}
	s.beginning = true // it stays until all have begun
	for i, name := range in.Children {
		acquire, packet := in.Acquire, in.Packet
		if i > 0 {
			acquire, packet = 0, nil
		}
		s.createChild(now, in.Peer.child(name), acquire, packet)
	}
	s.beginning = false
	if len(in.Children) == 0 {
		s.ask(now)
	}
	return s.ID, nil
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
		return fmt.Errorf("kink: peer %q has no Child %q", s.peer.Name, name)
	}
	s.createChild(now, cfg, acquire, packet)
	return nil
}

// RekeyIKE is Reauthenticate: KINK has no SA of its own that could be rekeyed.
func (e *Endpoint) RekeyIKE(now time.Time, id ike.SessionID) error { return e.Reauthenticate(now, id) }

// Reauthenticate gets a new ticket for the peer and shows it (STATUS). It is told
// as SessionRekeyed.
func (e *Endpoint) Reauthenticate(now time.Time, id ike.SessionID) error {
	s, err := e.sessions.Established(id)
	if err != nil {
		return err
	}
	s.fetch(now, krb.TicketOptions{Fresh: true}, func(now time.Time, _ *krb.Ticket, err error) {
		if err != nil {
			s.Emit(ike.RekeyFailed{EventHeader: s.EventHeader(now), Err: err})
			return
		}
		s.Emit(ike.SessionRekeyed{EventHeader: s.EventHeader(now), Initiator: true})
		s.Probe(now)
	})
	return nil
}

// RekeyChild replaces a Child SA; RekeyFailed tells why that did not come to pass.
// One that the peer has made less than 20 s ago stays ([TooEarlyError]): until then
// the peer may not have it, and would take both for made at the same time.
func (e *Endpoint) RekeyChild(now time.Time, id ike.SessionID, c ike.ChildID) error {
	s, a, err := e.sessions.Child(id, c)
	if err != nil {
		return err
	}
	if a.Rekeying || a.State != child.Mature && a.State != child.InboundOnly {
		return nil // its successor is being made
	}
	switch d := early(now, a); {
	case d > 0:
		s.childFailed(now, a.Info.Name, a, &TooEarlyError{Child: a.Info.Name, Wait: d})
	case s.peer.child(a.Info.Name) == nil:
		s.childFailed(now, a.Info.Name, a, fmt.Errorf("Child %q is not configured any more", a.Info.Name))
	default:
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
	for _, x := range s.creating { // what is to replace it
		for _, n := range x.all {
			n.unwanted = n.unwanted || n.old != nil && n.old.Info.ID == a.Info.ID
		}
	}
	for _, b := range slices.Clone(s.Children.All()) { // with what it has replaced
		if b.Info.ID == a.Info.ID && b.State != child.Larval {
			s.StartDelete(now, b, ike.DownLocal)
		}
	}
	return nil
}

// CheckLiveness asks the peer for a sign of life now. PeerAlive tells that it has
// answered; one that does not ends the session.
func (e *Endpoint) CheckLiveness(now time.Time, id ike.SessionID) error {
	s, err := e.sessions.Established(id)
	if err != nil {
		return err
	}
	s.ask(now)
	return nil
}

// Delete ends a session in any state; an established one when the peer has
// answered, or Timing.DeleteWait later.
func (e *Endpoint) Delete(now time.Time, id ike.SessionID, reason ike.DownReason) error {
	s, err := e.sessions.Get(id)
	if err != nil {
		return err
	}
	s.delete(now, reason)
	return nil
}

// Forget ends a session without telling the peer.
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
// Child SA on.
func (e *Endpoint) SetPeer(now time.Time, id ike.SessionID, p *Peer) error {
	s, err := e.sessions.Established(id)
	if err != nil {
		return err
	}
	if err := p.check(); err != nil {
		return fmt.Errorf("kink: peer %q: %w", p.Name, err)
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
	st.State = "ASSOCIATED"
	switch {
	case s.Ending:
		st.State = "DELETING"
	case !s.Up:
		st.State = "CREATING"
	}
	for _, t := range s.running {
		s.AddDeadline(&st, ike.DeadlineRetransmit, 0, &t.timer)
	}
	return st
}

// Sessions yields snapshots of all sessions, oldest first.
func (e *Endpoint) Sessions() iter.Seq[ike.SessionState] {
	return func(yield func(ike.SessionState) bool) {
		for s := range e.sessions.Oldest() {
			if !yield(s.snapshot()) {
				return
			}
		}
	}
}
