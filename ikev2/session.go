package ikev2

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev2/message"
	"github.com/racoon3/racoon/internal/child"
	"github.com/racoon3/racoon/spd"
)

// A session is one authenticated relation with a peer: an IKE SA, its
// successors through rekeys, and their Child SAs. Children belong to the
// session, so a rekey of the IKE SA has nothing to hand over.
type session struct {
	ep        *Endpoint
	id        ike.SessionID
	peer      *Peer // nil while a responder does not know yet
	timing    Timing
	initiator bool          // this side began it
	begin     *Initiation   // of an initiator, until it is established
	acquire   spd.AcquireID // to be answered
	replaces  ike.SessionID // reauthenticated by this one
	path      ike.Path
	seen      ike.Path // where ESP shows the peer to be; see mapped

	current *ikeSA
	sas     []*ikeSA // current and those on their way in or out

	localID, remoteID ike.Identity
	remoteMethod      string
	children          *child.Set
	config            *ike.NetworkConfig // from the peer (client), or leased to it (gateway)
	leased            *ike.AddressRequest

	up, dead    bool
	ending      bool // a Delete of the IKE SA was asked for
	endReason   ike.DownReason
	successor   ike.SessionID // that has reauthenticated it
	endErr      error
	early       []ike.Event // see Emit
	established time.Time
	lastAlive   time.Time // last authenticated message

	natLocal, natRemote bool
	fragmentation       bool // both sides take fragments
	signatureHashes     []uint16
	messageIDs          uint64 // exchanges finished on former IKE SAs

	reauth    child.Timer
	liveness  child.Timer
	keepalive child.Timer
}

func (e *Endpoint) newSession(peer *Peer, path ike.Path, initiator bool) *session {
	s := &session{ep: e, id: e.newSessionID(), peer: peer, initiator: initiator, path: path}
	s.timing = Timing{}.withDefaults()
	if peer != nil {
		s.timing = peer.Timing.withDefaults()
	}
	s.children = child.NewSet(s, e.cfg.DataPlane)
	s.reauth.Owner, s.liveness.Owner, s.keepalive.Owner = s.reauthDue, s.livenessDue, s.keepaliveDue
	e.sessions[s.id] = s
	return s
}

// fail ends the session because something broke; the peer is not told (it
// knows, or it cannot be reached).
func (s *session) fail(now time.Time, reason ike.DownReason, err error) {
	if s.ending {
		reason, err = s.endReason, s.endErr // what began the end says more than what came of it
	}
	s.end(now, reason, err)
}

// end takes the session away.
func (s *session) end(now time.Time, reason ike.DownReason, err error) {
	if s.dead {
		return
	}
	e := s.ep
	header := s.EventHeader(now)
	s.children.RemoveAll(now, reason, err)
	for _, t := range []*child.Timer{&s.reauth, &s.liveness, &s.keepalive} {
		e.stopTimer(t)
	}
	s.dead = true
	delete(e.sessions, s.id)
	if s.up {
		e.cfg.Load.sessions.Add(-1)
		if e.perPeer[s.peer.Name]--; e.perPeer[s.peer.Name] == 0 {
			delete(e.perPeer, s.peer.Name)
		}
		e.emit(ike.SessionDown{EventHeader: header, Reason: reason, Err: err, Successor: s.successor})
	} else if err != nil {
		e.stats.Failed++
		e.emit(ike.SessionFailed{EventHeader: header, Initiator: s.initiator, Err: err})
	}
	s.answerAcquire(now, err)
	s.releaseLease()
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
	sa.ep.stopTimer(&sa.retransmit)
	sa.ep.stopTimer(&sa.soft)
	sa.ep.setTimer(&sa.hard, now.Add(sa.s.timing.DeleteWait))
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
	if s.dead || s.current != nil {
		return
	}
	if s.ending {
		s.end(now, s.endReason, s.endErr)
		return
	}
	s.end(now, ike.DownRemote, nil)
}

// delete tells the peer and ends the session (RFC 7296 1.4.1).
func (s *session) delete(now time.Time, reason ike.DownReason, err error) {
	if s.ending || s.dead {
		return
	}
	if !s.up || s.current == nil {
		s.end(now, reason, err)
		return
	}
	s.ending, s.endReason, s.endErr = true, reason, err
	sa := s.current
	// What waits is pointless now; what is under way is answered first.
	tasks := sa.queue
	sa.queue = nil
	for _, t := range tasks {
		t.abort(now, sa, errGone)
	}
	sa.ep.stopTimer(&sa.soft)
	sa.ep.setTimer(&sa.hard, now.Add(s.timing.DeleteWait))
	s.sendDelete(now, sa)
}

// alive notes a sign of life: an authenticated message that is not a
// repetition. A peer behind a NAT may show a new address by it (RFC 7296
// 2.23).
func (s *session) alive(now time.Time, sa *ikeSA, path ike.Path) {
	s.lastAlive = now
	s.seen = ike.Path{}
	if path == s.path {
		return
	}
	floats := sa.state == stateAuth && !s.initiator // to the NAT-T port
	remapped := sa.state >= stateEstablished && s.natRemote && !s.natLocal
	if !floats && !remapped {
		return
	}
	old := s.path
	s.path = path
	if s.up {
		s.reindex(old.Remote.Addr().Unmap())
		s.children.Move(s.endpoints())
		s.ep.emit(ike.SessionMoved{EventHeader: s.EventHeader(now), Old: old})
	}
}

// mapped: an authentic ESP packet came from another address of a peer behind a
// NAT. A packet that somebody has held back and sends from elsewhere must not
// steal the session, so the peer is asked there; its answer moves the session.
func (s *session) mapped(now time.Time, remote netip.AddrPort) {
	if !s.up || s.current == nil || !s.natRemote || s.natLocal || remote == s.path.Remote {
		return
	}
	s.seen = s.path
	s.seen.Remote = remote
	if s.current.req != nil {
		s.current.transmitRequest()
		return
	}
	s.checkLiveness(now)
}

// reindex finds the outbound SAs by the peer's new address.
func (s *session) reindex(old netip.Addr) {
	for _, a := range s.children.All() {
		k := childKey{spi: a.Info.Out, remote: old}
		if s.ep.children[k] == s {
			delete(s.ep.children, k)
		}
		s.ep.children[childKey{spi: a.Info.Out, remote: s.remoteAddr()}] = s
	}
}

// handleDataPlane passes an event on to the Child SA it concerns.
func (s *session) handleDataPlane(now time.Time, ev spd.Event) bool {
	if m, ok := ev.(spd.MappingEvent); ok {
		s.mapped(now, m.New)
		return true
	}
	return s.children.HandleDataPlane(now, ev)
}

// encap reports whether ESP travels in UDP.
func (s *session) encap() bool {
	return s.natLocal || s.natRemote || s.peer != nil && s.peer.ForceEncap
}

func (s *session) endpoints() spd.Endpoints {
	return spd.Endpoints{Local: s.path.Local, Remote: s.path.Remote, UDPEncap: s.encap()}
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
		s.ep.cfg.Trace(TraceRecord{Time: now, Session: s.id, Path: s.path, Outbound: outbound, Message: b})
	}
}

// releaseLease gives the addresses of a client back.
func (s *session) releaseLease() {
	if s.leased == nil || s.peer == nil || s.peer.Assign == nil {
		return
	}
	assign, r, cfg := s.peer.Assign, *s.leased, s.config
	s.leased = nil
	s.Cleanup(ike.JobAddress, 0, func(ctx context.Context) (any, error) {
		assign.Release(ctx, r, cfg)
		return nil, nil
	}, nil)
}

// answerAcquire tells the data plane what became of the acquire that began the
// session, if it has not been told yet.
func (s *session) answerAcquire(now time.Time, err error) {
	id := s.acquire
	s.acquire = 0
	s.acquireDone(id, err)
}

func (s *session) acquireDone(id spd.AcquireID, err error) {
	if id == 0 {
		return
	}
	plane := s.ep.cfg.DataPlane
	s.Cleanup(ike.JobAcquireDone, 0, func(ctx context.Context) (any, error) {
		return nil, plane.AcquireDone(ctx, id, err)
	}, nil)
}

// The session is the child.Host of its Child SAs.

// Job implements child.Host.
func (s *session) Job(kind ike.JobKind, order uint64, run func(ctx context.Context) (any, error),
	done func(now time.Time, v any, err error), abandon func(v any)) {
	s.ep.job(s, kind, order, run, done, abandon)
}

// Cleanup implements child.Host.
func (s *session) Cleanup(kind ike.JobKind, order uint64, run func(ctx context.Context) (any, error), done func(now time.Time, v any, err error)) {
	s.ep.job(nil, kind, order, run, done, nil)
}

// SetTimer implements child.Host.
func (s *session) SetTimer(t *child.Timer, at time.Time) { s.ep.setTimer(t, at) }

// StopTimer implements child.Host.
func (s *session) StopTimer(t *child.Timer) { s.ep.stopTimer(t) }

// Jitter implements child.Host.
func (s *session) Jitter(d time.Duration, fraction float64) time.Duration {
	return s.ep.jitter(d, fraction)
}

// Emit implements child.Host. A responder's first Child SA is decided before
// its session is up; what is to be told about it follows SessionUp.
func (s *session) Emit(e ike.Event) {
	if !s.up {
		switch e.(type) {
		case ike.ChildUp, ike.ChildFailed:
			s.early = append(s.early, e)
			return
		}
	}
	s.ep.emit(e)
}

// EventHeader implements child.Host.
func (s *session) EventHeader(now time.Time) ike.EventHeader {
	h := ike.EventHeader{Time: now, Session: s.id, Path: s.path}
	if s.peer != nil {
		h.Peer = s.peer.Name
	}
	return h
}

// Removed implements child.Host.
func (s *session) Removed(now time.Time, a *child.SA) {
	s.ep.childSAs--
	for _, k := range []childKey{{spi: a.Info.In}, {spi: a.Info.Out, remote: s.remoteAddr()}} {
		if s.ep.children[k] == s {
			delete(s.ep.children, k)
		}
	}
}

func (s *session) warn(now time.Time, err error) {
	s.ep.emit(ike.Warning{EventHeader: s.EventHeader(now), Err: err})
}

// localAddr and remoteAddr are the outer addresses.
func (s *session) localAddr() netip.Addr  { return s.path.Local.Addr().Unmap() }
func (s *session) remoteAddr() netip.Addr { return s.path.Remote.Addr().Unmap() }
