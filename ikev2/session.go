package ikev2

import (
	"slices"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev2/message"
	"github.com/racoon3/racoon/internal/child"
	"github.com/racoon3/racoon/internal/core"
)

// A session is one authenticated relation with a peer: an IKE SA, its
// successors through rekeys, and their Child SAs. Children belong to the
// session, so a rekey of the IKE SA has nothing to hand over.
type session struct {
	core.Session
	ep    *Endpoint
	peer  *Peer       // nil while a responder does not know yet
	begin *Initiation // of an initiator, until it is established

	current *ikeSA
	sas     []*ikeSA // current and those on their way in or out

	fragmentation bool   // both sides take fragments
	messageIDs    uint64 // exchanges finished on former IKE SAs

	reauth child.Timer
}

func (e *Endpoint) newSession(peer *Peer, path ike.Path, initiator bool) *session {
	s := &session{ep: e}
	s.Init(&e.engine, s, path, initiator, &defaultTiming)
	if peer != nil {
		s.setPeer(peer)
	}
	e.sessions[s.ID] = s
	return s
}

// setPeer gives the session its configuration.
func (s *session) setPeer(p *Peer) {
	s.peer = p
	s.Name, s.Timing, s.Asked, s.Assign, s.ForceEncap = p.Name, p.times(), p.Request, p.Assign, p.ForceEncap
}

var defaultTiming = ike.Timing{}.WithDefaults()

// fail ends the session because something broke; the peer is not told (it
// knows, or it cannot be reached).
func (s *session) fail(now time.Time, reason ike.DownReason, err error) {
	if s.Ending {
		reason, err = s.EndReason, s.EndErr // what began the end says more than what came of it
	}
	s.end(now, reason, err)
}

// end takes the session away.
func (s *session) end(now time.Time, reason ike.DownReason, err error) {
	if s.Dead {
		return
	}
	s.ep.StopTimer(&s.reauth)
	delete(s.ep.sessions, s.ID)
	s.End(now, reason, err)
	for _, sa := range slices.Clone(s.sas) {
		sa.leave(now, err)
	}
}

// leave ends an SA of a dead session. One that has just answered a request
// stays for a while to repeat the answer, should that be lost; nothing else
// works on it any more.
func (sa *ikeSA) leave(now time.Time, err error) {
	if sa.reply == nil || sa.keys == nil || sa.recvID == 0 {
		sa.kill(now, err)
		return
	}
	tasks := sa.queue
	if sa.active != nil {
		tasks = append([]task{sa.active}, tasks...)
	}
	sa.active, sa.queue, sa.req = nil, nil, nil
	sa.state = stateDeleting
	sa.serving = true // takes no new request
	sa.hs.wipe()
	if sa.hs != nil {
		sa.hs = &handshake{key: sa.hs.key} // counts as half-open to its end, so that failing costs an attacker no less
	}
	sa.ep.StopTimer(&sa.retransmit)
	sa.ep.StopTimer(&sa.soft)
	sa.ep.SetTimer(&sa.hard, now.Add(sa.s.Timing.DeleteWait))
	for _, t := range tasks {
		t.abort(now, sa, err)
	}
}

// forget takes an SA off the session's list.
func (s *session) forget(sa *ikeSA) {
	s.sas = slices.DeleteFunc(s.sas, func(o *ikeSA) bool { return o == sa })
	if s.current == sa {
		s.current = nil
	}
}

// sweep ends a session that has no SA left to live on.
func (s *session) sweep(now time.Time) {
	if s.Dead || s.current != nil {
		return
	}
	if s.Ending {
		s.end(now, s.EndReason, s.EndErr)
		return
	}
	s.end(now, ike.DownRemote, nil)
}

// delete tells the peer and ends the session (RFC 7296 1.4.1).
func (s *session) delete(now time.Time, reason ike.DownReason, err error) {
	if s.Ending || s.Dead {
		return
	}
	if !s.Up || s.current == nil {
		s.end(now, reason, err)
		return
	}
	s.Ending, s.EndReason, s.EndErr = true, reason, err
	sa := s.current
	// What waits is pointless now; what is under way is answered first.
	tasks := sa.queue
	sa.queue = nil
	for _, t := range tasks {
		t.abort(now, sa, errGone)
	}
	sa.ep.StopTimer(&sa.soft)
	sa.ep.SetTimer(&sa.hard, now.Add(s.Timing.DeleteWait))
	s.sendDelete(now, sa)
}

// alive notes a sign of life: an authenticated message that is not a
// repetition. A peer behind a NAT may show a new address by it (RFC 7296
// 2.23).
func (s *session) alive(now time.Time, sa *ikeSA, path ike.Path) {
	s.LastAlive = now
	s.Seen = nil
	if path == s.Path {
		return
	}
	floats := sa.state == stateAuth && !s.Initiator // to the NAT-T port
	if floats || sa.state >= stateEstablished && s.FollowsNAT() {
		s.MoveTo(now, path)
	}
}

func (s *session) fragmentSize() int {
	if !s.fragmentation {
		return 0
	}
	if s.peer != nil && s.peer.FragmentSize > 0 {
		return max(s.peer.FragmentSize, smallFragment)
	}
	return defaultFragment
}

// defaultFragment is the datagram size that every IPv6 path takes.
const defaultFragment = 1280

func (s *session) trace(now time.Time, outbound bool, h message.Header, payloads message.Payloads) {
	if s.ep.cfg.Trace == nil {
		return
	}
	m := message.Message{Header: h, Payloads: payloads}
	if b, err := m.AppendBinary(nil); err == nil {
		s.ep.cfg.Trace(ike.TraceRecord{Time: now, Session: s.ID, Path: s.Path, Outbound: outbound, Message: b})
	}
}

// The session is the child.Host of its Child SAs.
