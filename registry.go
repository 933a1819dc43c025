package racoon

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/spd"
)

// The registry knows what crosses workers: the sessions and whose they are,
// the attempts to begin one, and the acquires that wait for one. It hears of
// everything by the cores' events and answers with orders to the workers; no
// datagram passes through it.
type registry struct {
	m *Manager

	mu       sync.Mutex
	closed   bool
	sessions map[ike.SessionID]*Session
	byPeer   map[string][]*Session
	byPair   map[identityPair][]*Session // established ones
	claims   map[ike.SessionID]claim     // authorized, not yet established
	calls    map[string]*call            // by name of the peer
	acquires map[acquireKey][]spd.AcquireID
	naming   int // acquires whose peer is being looked for by name
	watches  map[ike.SessionID][]*watch
	empty    chan struct{} // closed when the last session goes, while somebody waits
}

func (r *registry) init(m *Manager) {
	r.m = m
	r.sessions = make(map[ike.SessionID]*Session)
	r.byPeer = make(map[string][]*Session)
	r.byPair = make(map[identityPair][]*Session)
	r.claims = make(map[ike.SessionID]claim)
	r.calls = make(map[string]*call)
	r.acquires = make(map[acquireKey][]spd.AcquireID)
	r.watches = make(map[ike.SessionID][]*watch)
}

// lock locks the registry and returns what unlocks it.
func (r *registry) lock() func() {
	r.mu.Lock()
	return r.mu.Unlock
}

// watch waits for an event of a session.
type watch struct {
	answered func(ev ike.Event) (bool, error)
	done     chan error
}

func (r *registry) watch(s *Session, w *watch) bool {
	defer r.lock()()
	if s.state == ended {
		return false
	}
	r.watches[s.id] = append(r.watches[s.id], w)
	return true
}

func (r *registry) unwatch(s *Session, w *watch) {
	defer r.lock()()
	l := slices.DeleteFunc(r.watches[s.id], func(o *watch) bool { return o == w })
	if len(l) == 0 {
		delete(r.watches, s.id)
		return
	}
	r.watches[s.id] = l
}

// handleEvent takes an event of a worker's core.
func (m *Manager) handleEvent(w *worker, ev ike.Event) {
	m.reg.handle(ev)
	m.events.publish(ev)
}

func (r *registry) handle(ev ike.Event) {
	defer r.lock()()
	h := ev.Header()
	switch ev := ev.(type) {
	case ike.SessionUp:
		r.up(ev)
	case ike.SessionFailed:
		r.failed(ev)
	case ike.SessionDown:
		r.down(ev)
	case ike.ReauthNeeded:
		r.reauth(h)
	}
	s := r.sessions[h.Session]
	if s == nil {
		return
	}
	switch ev := ev.(type) {
	case ike.InitialContact:
		r.firstContact(s)
	case ike.SessionRekeyed:
		s.rekeys++
		s.info.LocalSPI, s.info.RemoteSPI, s.info.Proposal = ev.LocalSPI, ev.RemoteSPI, ev.Proposal
	case ike.SessionMoved:
		s.path = h.Path
	case ike.ChildUp:
		s.children = append(s.children, ChildSA{ChildInfo: ev.Child})
		r.childDecided(s, ev.Child.Name, nil)
	case ike.ChildRekeyed:
		for i := range s.children {
			if c := &s.children[i]; c.ID == ev.Child.ID {
				c.ChildInfo = ev.Child
				c.Rekeys++
			}
		}
	case ike.ChildDown:
		r.childGone(s, ev)
		if ev.SessionEnds { // what becomes of it is decided with the session
			s.past.last = append(s.past.last, ev.Child.Name)
		} else {
			r.m.sup.childDown(s.peer, ev.Child.Name, ev.Reason)
		}
	case ike.ChildFailed:
		r.childDecided(s, ev.Name, ev.Err)
		r.m.sup.childFailed(s.peer, ev.Name)
	}
	for _, w := range r.watches[h.Session] {
		if ok, err := w.answered(ev); ok {
			select {
			case w.done <- err:
			default:
			}
		}
	}
	if _, ok := ev.(ike.PeerAlive); ok {
		r.asked(s)
	}
}

// childGone takes the final counters of a Child SA.
func (r *registry) childGone(s *Session, ev ike.ChildDown) {
	if s.past == nil {
		s.past = new(pastTraffic)
	}
	s.past.in, s.past.out = s.past.in.Add(ev.In), s.past.out.Add(ev.Out)
	s.children = slices.DeleteFunc(s.children, func(c ChildSA) bool { return c.ID == ev.Child.ID })
}

// add enters a session that has begun.
func (r *registry) add(id ike.SessionID, peer string, path ike.Path, now time.Time) *Session {
	s := &Session{m: r.m, id: id, peer: peer, path: path, begun: now, place: len(r.byPeer[peer])}
	r.sessions[id] = s
	r.byPeer[peer] = append(r.byPeer[peer], s)
	return s
}

func (r *registry) remove(s *Session, reason ike.DownReason, err error) {
	if s.state == ended {
		return
	}
	if s.state == established {
		key := pairOf(s.info)
		r.byPair[key] = without(r.byPair[key], s)
		if len(r.byPair[key]) == 0 {
			delete(r.byPair, key)
		}
	}
	s.state, s.reason, s.err = ended, reason, err
	s.done.fire()
	delete(r.sessions, s.id)
	// The last one takes its place: a peer may have as many sessions as the
	// Manager.
	l := r.byPeer[s.peer]
	last := l[len(l)-1]
	l[s.place], last.place = last, s.place
	l[len(l)-1] = nil
	if l = l[:len(l)-1]; len(l) > 0 {
		r.byPeer[s.peer] = l
	} else {
		delete(r.byPeer, s.peer)
	}
	if len(r.sessions) == 0 && r.empty != nil {
		close(r.empty)
		r.empty = nil
	}
}

func without(l []*Session, s *Session) []*Session {
	return slices.DeleteFunc(l, func(o *Session) bool { return o == s })
}

// up: a session is established.
func (r *registry) up(ev ike.SessionUp) {
	s := r.sessions[ev.Session]
	if s == nil {
		s = r.add(ev.Session, ev.Peer, ev.Path, ev.Time)
	}
	s.state, s.info, s.path, s.up = established, ev.Info, ev.Path, ev.Time
	r.unique(s)
	key := pairOf(s.info)
	r.byPair[key] = append(r.byPair[key], s)
	if r.closed || r.m.isStopping() {
		r.delete(s, ike.DownShutdown)
		return
	}
	r.m.sup.sessionUp(s.peer)
	if c := s.call; c != nil {
		c.decide(r)
	}
	r.createWaiting(s)
}

func (r *registry) failed(ev ike.SessionFailed) {
	delete(r.claims, ev.Session)
	s := r.sessions[ev.Session]
	if s == nil {
		return // a responder's
	}
	r.remove(s, ike.DownFailed, ev.Err)
	c := s.call
	if c != nil && c.fallsBack(ev.Err) {
		r.m.log.Info("trying another version of IKE", "peer", s.peer, "version", c.peer.cfg.Versions[c.tries+1].String(), "why", ev.Err)
		s.call, c.session = nil, nil
		c.tries++
		r.m.wg.Go(func() { r.m.dial(c) })
		return
	}
	r.answer(s.peer, "", ev.Err)
	if c != nil {
		s.call = nil
		c.finish(r, nil, peerError(s.peer, ev.Err))
	}
}

func (r *registry) down(ev ike.SessionDown) {
	s := r.sessions[ev.Session]
	if s == nil {
		return
	}
	initiator, lived := s.info.Initiator, ev.Time.Sub(s.up)
	names := s.childNames()
	r.remove(s, ev.Reason, ev.Err)
	if c := s.call; c != nil {
		s.call = nil
		c.finish(r, nil, peerError(s.peer, s.endError()))
	}
	r.answer(s.peer, "", s.endError())
	r.m.sup.sessionDown(s.peer, ev.Reason, initiator, lived, names, len(r.byPeer[s.peer]) > 0)
}

// childNames are what the Child SAs are called, with those that have ended as
// the session does.
func (s *Session) childNames() []string {
	var names []string
	if s.past != nil {
		for _, name := range s.past.last {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	for _, c := range s.children {
		if !slices.Contains(names, c.Name) {
			names = append(names, c.Name)
		}
	}
	return names
}

func peerError(peer string, err error) error {
	if err == nil {
		err = errors.New("the session was given up")
	}
	return fmt.Errorf("racoon: peer %q: %w", peer, err)
}

// delete orders a session's worker to delete it.
func (r *registry) delete(s *Session, reason ike.DownReason) {
	if w := r.m.workerOf(s.id); w != nil {
		w.post(func(now time.Time, c core) error { return c.Delete(now, s.id, reason) })
	}
	if s.state == connecting && s.call == nil { // the core tells no event of a mere question's end
		r.remove(s, reason, nil)
	}
}

// deleteAll deletes all sessions. Attempts are given up.
func (r *registry) deleteAll(reason ike.DownReason) {
	defer r.lock()()
	r.closed = true
	for _, c := range r.calls {
		r.abandon(c, ErrClosed)
	}
	for _, s := range r.sessions {
		r.delete(s, reason)
	}
}

// forgetAll ends the sessions that are left without telling their peers.
func (r *registry) forgetAll() {
	defer r.lock()()
	for _, s := range r.sessions {
		id := s.id
		r.m.workerOf(id).post(func(now time.Time, c core) error { return c.Forget(now, id, ike.DownShutdown) })
	}
}

// waitEmpty waits until there is no session.
func (r *registry) waitEmpty(ctx context.Context) error {
	for {
		r.mu.Lock()
		n := len(r.sessions)
		if n > 0 && r.empty == nil {
			r.empty = make(chan struct{})
		}
		empty := r.empty
		r.mu.Unlock()
		if n == 0 {
			return nil
		}
		select {
		case <-empty:
		case <-ctx.Done():
			return fmt.Errorf("racoon: %d sessions were not deleted in time: %w", r.count(), context.Cause(ctx))
		}
	}
}

// close ends what is left when the Manager stops.
func (r *registry) close() {
	defer r.lock()()
	r.closed = true
	for _, c := range r.calls {
		r.abandon(c, ErrClosed)
	}
	for _, s := range r.sessions {
		r.remove(s, ike.DownShutdown, nil)
	}
}

func (r *registry) count() int {
	defer r.lock()()
	return len(r.sessions)
}

func (r *registry) session(id ike.SessionID) *Session {
	defer r.lock()()
	return r.sessions[id]
}

func (r *registry) all() []*Session {
	defer r.lock()()
	l := make([]*Session, 0, len(r.sessions))
	for _, s := range r.sessions {
		l = append(l, s)
	}
	return l
}

// ofPeer returns the sessions of a peer that are established.
func (r *registry) ofPeer(name string) []*Session {
	defer r.lock()()
	var l []*Session
	for _, s := range r.byPeer[name] {
		if s.state == established {
			l = append(l, s)
		}
	}
	return l
}

// withPeer returns an established session with a peer that is one host, or
// nil.
func (r *registry) withPeer(p *peer) *Session { return r.withPeerAt(p, netip.Addr{}) }

// withPeerAt is withPeer for a peer at an address, if that is valid.
func (r *registry) withPeerAt(p *peer, remote netip.Addr) *Session {
	_, exact := p.v2.Remote.ID.IsExact()
	for _, s := range r.byPeer[p.name()] {
		if s.state == established && (exact || s.info.Initiator) && (!remote.IsValid() || s.path.Remote.Addr().Unmap() == remote) {
			return s
		}
	}
	return nil
}
