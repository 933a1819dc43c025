package racoon

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/spd"
)

// A call is an attempt to begin a session, from looking up the peer's name to
// the first Child SAs. There is one for each peer at a time; whoever else wants
// the session joins it.
type call struct {
	peer   *peer
	order  order
	ctx    context.Context
	cancel context.CancelFunc

	// Guarded by the registry's mutex.
	tries     int      // versions of IKE tried in vain
	waiting   int      // callers of Initiate
	pending   []string // Child SAs that are not decided
	errs      []error  // of Child SAs
	session   *Session // once it has begun
	abandoned bool
	finished  bool
	then      []func(s *Session, err error)

	done chan struct{} // closed when finished; session and err do not change any more
	err  error
}

// order says what an attempt is for.
type order struct {
	names    []string // Child SAs; nil: all
	keep     bool     // go on even if nobody waits
	acquire  spd.AcquireID
	packet   *spd.Selector
	remote   netip.Addr // where the peer is, if that is known
	replaces *Session
	then     func(s *Session, err error) // called with the registry locked
}

// join returns the attempt for a peer, or begins one. If there is a session
// already it is a finished one.
func (r *registry) join(p *peer, o order) *call {
	defer r.lock()()
	return r.joinLocked(p, o)
}

func (r *registry) joinLocked(p *peer, o order) *call {
	c := r.calls[p.name()]
	if c == nil {
		c = &call{peer: p, order: o, done: make(chan struct{})}
		if s := r.withPeerAt(p, o.remote); s != nil && o.replaces == nil {
			c.session, c.finished = s, true
			close(c.done)
		} else if r.closed || r.m.isStopping() {
			c.finished, c.err = true, ErrClosed
			close(c.done)
		} else {
			c.ctx, c.cancel = context.WithCancel(r.m.ctx)
			c.pending = slices.Clone(o.names)
			if o.names == nil {
				for _, ch := range p.children {
					c.pending = append(c.pending, ch.Name)
				}
			}
			r.calls[p.name()] = c
			r.m.wg.Go(func() { r.m.dial(c) })
		}
	}
	if !o.keep {
		c.waiting++
	}
	c.order.keep = c.order.keep || o.keep
	if o.then != nil {
		if c.finished {
			o.then(c.session, c.err)
		} else {
			c.then = append(c.then, o.then)
		}
	}
	return c
}

// leave: a caller no longer waits.
func (r *registry) leave(c *call) {
	defer r.lock()()
	if c.waiting--; c.waiting == 0 && !c.order.keep {
		r.abandon(c, context.Canceled)
	}
}

// abandon gives an attempt up.
func (r *registry) abandon(c *call, err error) {
	if c.finished {
		return
	}
	c.abandoned = true
	if s := c.session; s != nil && s.state == connecting {
		r.delete(s, ike.DownLocal)
		r.remove(s, ike.DownLocal, nil) // the core tells no event of this
	}
	c.finish(r, nil, peerError(c.peer.name(), err))
}

// finish decides an attempt.
func (c *call) finish(r *registry, s *Session, err error) {
	if c.finished {
		return
	}
	c.finished, c.err = true, err
	if c.session != nil {
		c.session.call = nil
	}
	c.session = s
	if r.calls[c.peer.name()] == c {
		delete(r.calls, c.peer.name())
	}
	c.cancel()
	close(c.done)
	if s == nil && err != nil {
		r.answer(c.peer.name(), "", err)
	}
	for _, f := range c.then {
		f(s, err)
	}
}

// decide finishes an attempt whose session is up and whose Child SAs are
// there, or failed. Then what it replaces can go, without a gap for traffic.
func (c *call) decide(r *registry) {
	if s := c.session; s != nil && s.state == established && len(c.pending) == 0 {
		var err error
		if len(c.errs) > 0 {
			err = peerError(c.peer.name(), errors.Join(c.errs...))
		}
		if old := r.sessions[s.replaces]; old != nil {
			r.delete(old, ike.DownReauth)
		}
		c.finish(r, s, err)
	}
}

// childDecided: a Child SA of a session is up, or failed.
func (r *registry) childDecided(s *Session, name string, err error) {
	r.answer(s.peer, name, err)
	s.created(name)
	c := s.call
	if c == nil {
		return
	}
	i := slices.Index(c.pending, name)
	if name == "" && len(c.pending) > 0 {
		i = 0
	}
	if i < 0 {
		return
	}
	if err != nil {
		c.errs = append(c.errs, fmt.Errorf("Child SA %q: %w", c.pending[i], err))
	}
	c.pending = slices.Delete(c.pending, i, i+1)
	c.decide(r)
}

// dial finds the peer and tells a worker to begin.
func (m *Manager) dial(c *call) {
	err := m.begin(c)
	if err == nil {
		return
	}
	defer m.reg.lock()()
	if id := c.order.acquire; id != 0 && c.session == nil {
		m.answerAcquire(id, err)
	}
	c.finish(&m.reg, nil, peerError(c.peer.name(), err))
}

func (m *Manager) begin(c *call) error {
	p := c.peer
	addrs := []netip.Addr{c.order.remote}
	if !c.order.remote.IsValid() {
		var err error
		if addrs, err = m.resolve(c.ctx, p); err != nil {
			return err
		}
	}
	// Another attempt, another address.
	addr := addrs[m.sup.rotation(p.name())%len(addrs)]
	path, float, err := m.pathsTo(p, addr)
	if err != nil {
		return err
	}
	in := initiation{peer: p, version: p.cfg.Versions[c.tries], path: path, natt: float, children: c.order.names, packet: c.order.packet}
	// One worker for all that this side begins with a peer: it can tell
	// whether a session is the only one (INITIAL_CONTACT).
	w := m.workers[m.hashName(p.name())%uint64(len(m.workers))]
	if in.version == IKEv1 || in.version == KINK {
		w = m.workers[m.hashOfAddr(path.Remote.Addr())%len(m.workers)] // where the peer's messages come in
	}
	if old := c.order.replaces; old != nil {
		// The new session takes over what the old one has on its worker.
		in.replaces, w = old.id, m.workerOf(old.id)
	}
	return w.do(c.ctx, func(now time.Time, k core) error {
		defer m.reg.lock()()
		if c.finished {
			return c.err
		}
		if id := c.order.acquire; id != 0 && c.tries+1 < len(p.cfg.Versions) {
			// A try in vain must not answer it: that is done here.
			key := acquireKey{p.name(), c.order.names[0]}
			m.reg.acquires[key] = append(m.reg.acquires[key], id)
			c.order.acquire = 0
		}
		in.acquire = c.order.acquire
		id, err := k.Initiate(now, in)
		if err != nil {
			return err
		}
		s := m.reg.sessions[id]
		if s == nil {
			s = m.reg.add(id, p.name(), path, now)
		}
		s.call, s.replaces, c.session = c, in.replaces, s
		return nil
	})
}

// resolve returns the addresses of a peer that some socket could reach.
func (m *Manager) resolve(ctx context.Context, p *peer) ([]netip.Addr, error) {
	if p.addr.IsValid() {
		return []netip.Addr{p.addr}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, jobTimeout)
	defer cancel()
	addrs, err := m.cfg.Resolver.LookupNetIP(ctx, "ip", p.host)
	if err != nil {
		return nil, fmt.Errorf("looking up %q: %w", p.host, err)
	}
	var reachable []netip.Addr
	for _, a := range addrs {
		a = a.Unmap()
		if _, _, err := m.pathsTo(p, a); err == nil && !slices.Contains(reachable, a) {
			reachable = append(reachable, a)
		}
	}
	if len(reachable) > 0 {
		return reachable, nil
	}
	if len(addrs) == 0 {
		return nil, fmt.Errorf("looking up %q: the name has no address", p.host)
	}
	_, _, err = m.pathsTo(p, addrs[0].Unmap())
	return nil, err
}

// reauth begins a session that replaces another one.
func (r *registry) reauth(h ike.EventHeader) {
	s := r.sessions[h.Session]
	p := r.m.peers.Load().byName[h.Peer]
	if s == nil || p == nil || p.host == "" || r.calls[h.Peer] != nil {
		return // the core asks again
	}
	r.joinLocked(p, order{keep: true, names: s.childNames(), replaces: s})
}
