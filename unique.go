package racoon

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/spd"
)

// identityPair is whose session it is, with names in one spelling.
// With a user (XAuth), who may share the identity with others, he counts too.
type identityPair struct {
	local, remote ike.Identity
	user          string
}

func pairOf(i ike.SessionInfo) identityPair {
	return identityPair{oneSpelling(i.LocalID), oneSpelling(i.RemoteID), i.User}
}

func oneSpelling(id ike.Identity) ike.Identity {
	if id.Type == ike.IDFQDN || id.Type == ike.IDRFC822Addr {
		id.Data = strings.ToLower(id.Data)
	}
	return id
}

// claim is what the registry remembers of a session between its authorization
// and its establishment.
type claim struct {
	pair           identityPair
	keep           bool // holds the pair against others
	initialContact bool
	at             time.Time
}

const (
	// claimTime is how long a handshake may take after its authorization.
	claimTime = time.Minute
	// crossing is how close two sessions that both sides began have to be to
	// be taken for one wish.
	crossing = 3 * time.Second
	// handover is how long a client that seems to reauthenticate has to delete
	// its old session itself.
	handover = 10 * time.Second
)

// authorize is the cores' Authorize callback: it asks the program, then the
// registry, since identities may be unique over all workers.
func (m *Manager) authorize(ctx context.Context, q ike.AuthorizeRequest) error {
	p := m.peers.Load().byName[q.Peer]
	if p == nil {
		return fmt.Errorf("peer %q is no longer configured", q.Peer)
	}
	m.log.Info("peer authenticated", "peer", q.Peer, "remote", q.Path.Remote, "local", q.Path.Local, "remote-id", q.RemoteID.String(),
		"local-id", q.LocalID.String(), "method", q.Method, "initiator", q.Initiator, "initial-contact", q.InitialContact, "why", q.Why)
	if err := m.checkNamed(ctx, p, q); err != nil {
		return err
	}
	if ask := m.decisions.Load().authorize; ask != nil {
		if err := ask(ctx, q); err != nil {
			return err
		}
	}
	if q.Initiator {
		return nil
	}
	return m.reg.claim(q, p)
}

// narrow is the cores' Narrow callback.
func (m *Manager) narrow(ctx context.Context, q ike.NarrowRequest) (local, remote []spd.TrafficSelector, err error) {
	if ask := m.decisions.Load().narrow; ask != nil {
		return ask(ctx, q)
	}
	return q.Local, q.Remote, nil
}

// claim admits a peer that called, or refuses it because its identity has a
// session already.
func (r *registry) claim(q ike.AuthorizeRequest, p *peer) error {
	defer r.lock()()
	now := clock()
	pair := pairOf(ike.SessionInfo{LocalID: q.LocalID, RemoteID: q.RemoteID})
	if len(r.claims) >= 1024 {
		for id, c := range r.claims {
			if now.Sub(c.at) > claimTime {
				delete(r.claims, id)
			}
		}
	}
	keep := p.cfg.Unique == ike.UniqueKeep && p.cfg.Users == nil // a user is not known yet
	if keep && !q.InitialContact {
		for _, s := range r.byPair[pair] {
			if s.path.Remote != q.Path.Remote { // else it reauthenticates
				id := s.id
				r.m.workerOf(id).post(func(now time.Time, c core) error { return c.CheckLiveness(now, id) })
				return fmt.Errorf("%v has a session from %v, and its peer's Unique policy is to keep it", q.RemoteID, s.path.Remote)
			}
		}
		for id, c := range r.claims {
			if id != q.Session && c.keep && c.pair == pair && now.Sub(c.at) <= claimTime {
				return fmt.Errorf("%v is about to have another session, and its peer's Unique policy is to keep that", q.RemoteID)
			}
		}
	}
	if keep || q.InitialContact {
		r.claims[q.Session] = claim{pair, keep, q.InitialContact, now}
	}
	return nil
}

// unique applies the policies to a session that has just come up: others of
// the same identities may have to go.
func (r *registry) unique(s *Session) {
	c := r.claims[s.id]
	delete(r.claims, s.id)
	p := r.m.peers.Load().byName[s.peer]
	if p == nil || p.cfg.Unique == ike.UniqueNever {
		return
	}
	for _, old := range r.byPair[pairOf(s.info)] {
		switch {
		case old.id == s.replaces:
			// Goes when this one has all that it takes over.
		case old.info.Initiator != s.info.Initiator && s.up.Sub(old.up) < crossing && p.cfg.Unique != ike.UniqueNo:
			// Both sides have begun a session at the same time, each perhaps as its
			// first contact. They must come to the same choice, or both go.
			loser := old
			if initiatorSPI(old) < initiatorSPI(s) {
				loser = s
			}
			r.replace(loser, s, false)
		case s.info.Initiator || p.cfg.Unique == ike.UniqueNo && !c.initialContact:
			// An identity that connects again is the responder's to judge.
		case old.path.Remote == s.path.Remote && !c.initialContact:
			time.AfterFunc(handover, func() { r.delete(old, ike.DownReplaced) })
		default:
			r.replace(old, s, c.initialContact)
		}
	}
}

// firstContact: the peer of a session says late that it has no other one. Those
// of the same identities that were there before are forgotten, on whatever
// worker they are.
func (r *registry) firstContact(s *Session) {
	p := r.m.peers.Load().byName[s.peer]
	if s.state != established || p == nil || p.cfg.Unique == ike.UniqueNever {
		return
	}
	for _, old := range slices.Clone(r.byPair[pairOf(s.info)]) {
		if old != s && old.up.Before(s.up) {
			r.replace(old, s, true)
		}
	}
}

// replace ends a session in favour of another one; the peer is told unless it
// has forgotten it.
func (r *registry) replace(loser, by *Session, forgotten bool) {
	r.m.log.Info("one session for each identity", "peer", by.peer, "remote-id", by.info.RemoteID.String(), "deleted", uint64(loser.id))
	if w := r.m.workerOf(loser.id); w != nil && forgotten {
		id := loser.id
		w.post(func(now time.Time, c core) error { return c.Forget(now, id, ike.DownReplaced) })
		return
	}
	r.delete(loser, ike.DownReplaced)
}

func initiatorSPI(s *Session) uint64 {
	if s.info.Initiator {
		return s.info.LocalSPI
	}
	return s.info.RemoteSPI
}
