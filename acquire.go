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

// acquireKey is the Child SA that packets wait for.
type acquireKey struct{ peer, child string }

// errNoPolicy answers packets that no configured Child wants.
var errNoPolicy = errors.New("no configured Child SA protects this packet")

// acquire finds out who can bring up the SA that a packet waits for. Each
// acquire is answered: by the core that negotiates for it, else from here.
func (r *registry) acquire(ev spd.AcquireEvent) {
	defer r.lock()()
	p, c := r.m.peers.Load().protecting(ev)
	stopping := r.closed || r.m.isStopping()
	if p == nil && !stopping && r.acquireByName(ev) {
		return
	}
	if p == nil || stopping {
		r.m.log.Debug("nobody to call for a packet", "packet", ev.Packet, "reqid", ev.Policy.ReqID)
		r.m.answerAcquire(ev.ID, errNoPolicy)
		return
	}
	r.acquireFor(p, c, ev, netip.Addr{})
}

// acquireFor has a Child SA brought up for a packet; remote is where the peer is,
// if that is known.
func (r *registry) acquireFor(p *peer, c *peerChild, ev spd.AcquireEvent, remote netip.Addr) {
	key := acquireKey{p.name(), c.Name}
	if waiting, under := r.acquires[key]; under {
		r.acquires[key] = append(waiting, ev.ID)
		return
	}
	r.m.log.Debug("a packet waits", "peer", key.peer, "child", key.child, "packet", ev.Packet)
	r.acquires[key] = nil
	packet := &ev.Packet
	if packet.Valid() != nil {
		packet = nil
	}
	if cl := r.calls[key.peer]; cl != nil {
		// Answered when the attempt is decided, or asked for then.
		r.acquires[key] = append(r.acquires[key], ev.ID)
		return
	}
	if s := r.withPeerAt(p, remote); s != nil {
		r.createFor(s, key, ev.ID, packet)
		return
	}
	r.joinLocked(p, order{names: []string{c.Name}, keep: true, acquire: ev.ID, packet: packet, remote: remote})
}

// createFor orders a Child SA for packets that wait.
func (r *registry) createFor(s *Session, key acquireKey, id spd.AcquireID, packet *spd.Selector) {
	m := r.m
	m.workerOf(s.id).post(func(now time.Time, c core) error {
		err := c.CreateChild(now, s.id, key.child, id, packet)
		if err != nil {
			defer r.lock()()
			if id != 0 {
				m.answerAcquire(id, err)
			}
			r.answer(key.peer, key.child, err)
		}
		return err
	})
}

// createWaiting orders the Child SAs that packets began to wait for while the
// session was set up for other ones.
func (r *registry) createWaiting(s *Session) {
	for key := range r.acquires {
		if key.peer != s.peer || s.call != nil && slices.Contains(s.call.pending, key.child) ||
			slices.ContainsFunc(s.children, func(c ChildSA) bool { return c.Name == key.child }) {
			continue
		}
		r.createFor(s, key, 0, nil)
	}
}

// answer tells the data plane what became of a peer's acquires: those for one
// Child, or with an empty name all of them.
func (r *registry) answer(peer, child string, err error) {
	if child != "" {
		key := acquireKey{peer, child}
		ids, ok := r.acquires[key]
		if ok {
			delete(r.acquires, key)
			for _, id := range ids {
				r.m.answerAcquire(id, err)
			}
		}
		return
	}
	for key, ids := range r.acquires {
		if key.peer == peer {
			delete(r.acquires, key)
			for _, id := range ids {
				r.m.answerAcquire(id, err)
			}
		}
	}
}

// answerAcquire answers one acquire.
func (m *Manager) answerAcquire(id spd.AcquireID, err error) {
	m.plane.add(func(ctx context.Context) {
		if e := m.cfg.DataPlane.AcquireDone(ctx, id, err); e != nil && !errors.Is(e, spd.ErrNotFound) {
			m.log.Warn("data plane", "operation", "acquire done", "err", e)
		}
	})
}

// protecting finds the Child that a packet waits for: by the ReqID of the
// policy that caught it, else by its selectors, the narrowest first.
func (ps *peerSet) protecting(ev spd.AcquireEvent) (*peer, *peerChild) {
	if id := ev.Policy.ReqID; id != 0 {
		if pc, ok := ps.byReqID[id]; ok {
			return pc.peer, pc.child
		}
	}
	var bestPeer *peer
	var best *peerChild
	for _, p := range ps.peers {
		if p.host == "" {
			continue
		}
		for _, c := range p.children {
			if best != nil && c.Priority >= best.Priority || !c.protects(ev) {
				continue
			}
			bestPeer, best = p, c
		}
	}
	return bestPeer, best
}

func (c *peerChild) protects(ev spd.AcquireEvent) bool {
	sel := ev.Packet
	if sel.Valid() != nil {
		sel = ev.Policy.Selector
	}
	return spd.Covers(c.Local, sel.Local) && spd.Covers(c.Remote, sel.Remote)
}

// trapOwner numbers the Manager's policies apart from those of Child SAs,
// whose IDs begin with a worker's number.
func (m *Manager) trapOwner(peer string) spd.Owner {
	return spd.Owner(1<<63 | m.hashName(peer))
}

// setTraps sets a peer's trap policies; nil removes them.
func (m *Manager) setTraps(peer string, policies []spd.Policy) {
	owner := m.trapOwner(peer)
	m.plane.add(func(ctx context.Context) {
		if err := m.cfg.DataPlane.SetPolicies(ctx, owner, policies); err != nil {
			m.log.Error("cannot set trap policies", "peer", peer, "err", err)
			m.events.publish(ike.Warning{EventHeader: ike.EventHeader{Time: clock(), Peer: peer}, Err: fmt.Errorf("trap policies: %w", err)})
		}
	})
}
