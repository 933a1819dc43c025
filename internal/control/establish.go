package control

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/spd"
)

func (s *server) establish(ctx context.Context, q *EstablishRequest) (any, error) {
	defer clear(q.Password)
	if s.Manager == nil {
		return nil, unsupported("sessions")
	}
	peer, child, err := s.find(ctx, q)
	if err != nil {
		return nil, err
	}
	if q.User == "" && len(q.Password) > 0 {
		return nil, badRequest("a password without a user")
	}
	if q.User != "" {
		if err := s.mayLogIn(peer, q); err != nil {
			return nil, err
		}
		if err := s.users.begin(peer.Name, q.User, q.Password); err != nil {
			return nil, err
		}
	}
	run := func(ctx context.Context) (*racoon.Session, string, error) {
		session, err := s.call(ctx, peer.Name, child)
		var warning string
		if q.User != "" && !s.users.end(peer.Name, session != nil && session.Up()) && session != nil {
			warning = "the gateway has not asked for the user"
		}
		return session, warning, err
	}
	if !q.Wait {
		select {
		case s.busy <- struct{}{}:
		default:
			if q.User != "" {
				s.users.end(peer.Name, false)
			}
			return nil, &Error{Status: http.StatusServiceUnavailable, Code: CodeBusy, Message: "too many orders are under way"}
		}
		ctx, end := s.calls.begin(s.ctx, peer, q.User)
		s.wg.Go(func() {
			defer func() { <-s.busy }()
			defer end()
			ctx, cancel := context.WithTimeout(ctx, s.limits.Operation)
			defer cancel()
			if _, _, err := run(ctx); err != nil {
				s.log.Warn("what was ordered through the control socket has failed", "peer", peer.Name, "err", err)
			}
		})
		return Established{Peer: peer.Name}, nil
	}
	calling, end := s.calls.begin(ctx, peer, q.User)
	session, warning, err := run(calling)
	end()
	if session == nil {
		return nil, err
	}
	if err != nil {
		warning = err.Error()
	}
	out := Established{Peer: peer.Name, Warning: warning}
	if st, err := session.State(ctx); err == nil {
		d := describeSession(&st, session.Version())
		out.Session = &d
	}
	return out, nil
}

// call brings up a peer, or one Child SA with it.
func (s *server) call(ctx context.Context, peer, child string) (*racoon.Session, error) {
	if child == "" {
		return s.Manager.Initiate(ctx, peer)
	}
	session, err := s.Manager.InitiateChild(ctx, peer, child)
	if err != nil {
		return nil, err // the session is not what was asked for
	}
	return session, nil
}

// mayLogIn refuses a user where it would have no effect.
func (s *server) mayLogIn(p *racoon.PeerStatus, q *EstablishRequest) error {
	if !p.UserPrompt {
		return badRequest("peer %q is configured to log in no user", p.Name)
	}
	for session := range s.Manager.Sessions() {
		if session.Peer() == p.Name && session.Info().Initiator {
			return &Error{Status: http.StatusConflict, Code: CodeConflict,
				Message: fmt.Sprintf("peer %q is up already; end that session (vpn-disconnect) to log in user %q", p.Name, q.User)}
		}
	}
	return nil
}

// find returns the peer that is meant, and the Child SA if one is.
func (s *server) find(ctx context.Context, q *EstablishRequest) (*racoon.PeerStatus, string, error) {
	list, err := s.Manager.PeerStatus(ctx)
	if err != nil {
		return nil, "", err
	}
	remote, err := parseAddr("remote", q.Remote)
	if err != nil && q.Peer == "" {
		return nil, "", err
	}
	local, err := parseAddr("local", q.Local)
	if err != nil {
		return nil, "", err
	}
	from, err := parseTraffic("source", q.Source)
	if err != nil {
		return nil, "", err
	}
	to, err := parseTraffic("destination", q.Destination)
	if err != nil {
		return nil, "", err
	}
	traffic := q.Child != "" || q.Protocol != "" || from != nil || to != nil
	if q.Peer == "" && q.Remote == "" && from == nil && to == nil {
		return nil, "", badRequest("it is not said what to establish; name a peer, an address or traffic")
	}
	type match struct {
		peer  *racoon.PeerStatus
		child string
	}
	var found []match
	for i := range list {
		p := &list[i]
		switch {
		case q.Peer != "" && q.Peer != p.Name:
			continue
		case q.Peer == "" && (p.Remote == "" || q.Remote != "" && !isRemote(p, remote) || local.addr.IsValid() && p.Local.IsValid() && p.Local != local.addr):
			continue
		case !traffic:
			found = append(found, match{p, ""})
			continue
		}
		for _, c := range p.Children {
			if (q.Child == "" || q.Child == c.Name) && (q.Protocol == "" || q.Protocol == protocolText(c.Protocol)) && protects(p, &c, from, to) {
				found = append(found, match{p, c.Name})
			}
		}
	}
	switch {
	case len(found) == 0 && q.Peer != "" && !slices.ContainsFunc(list, func(p racoon.PeerStatus) bool { return p.Name == q.Peer }):
		return nil, "", fmt.Errorf("%w: %q", racoon.ErrNoPeer, q.Peer)
	case len(found) == 0 && traffic:
		return nil, "", notFound("no configured Child SA is like that")
	case len(found) == 0:
		return nil, "", notFound("no configured peer is to be called at %s", q.Remote)
	case len(found) > 1 && !traffic:
		var names []string
		for _, m := range found {
			names = append(names, m.peer.Name)
		}
		return nil, "", &Error{Status: http.StatusConflict, Code: CodeConflict, Message: "several peers are like that: " + strings.Join(names[:min(len(names), 16)], ", ")}
	}
	// Of several Child SAs that protect the traffic, the first that is
	// configured.
	return found[0].peer, found[0].child, nil
}

// isRemote reports whether a peer is called at an address.
func isRemote(p *racoon.PeerStatus, a addrMatch) bool {
	addr, err := netip.ParseAddr(p.Remote)
	return err == nil && addr.Unmap() == a.addr
}

// protects reports whether a configured Child SA is for some traffic. A side
// that is not known before the session is up may be anything but, if the peer
// is known by its address, another host.
func protects(p *racoon.PeerStatus, c *racoon.ChildStatus, from, to *spd.TrafficSelector) bool {
	side := func(ts *spd.TrafficSelector, set []spd.TrafficSelector, dynamic bool, own netip.Addr) bool {
		if ts == nil || spd.Covers(set, *ts) {
			return true
		}
		return dynamic && (!own.IsValid() || own == hostOf(ts))
	}
	remote, _ := netip.ParseAddr(p.Remote)
	return side(from, c.Local, c.LocalDynamic, p.Local) && side(to, c.Remote, c.RemoteDynamic, remote)
}
