package control

import (
	"context"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/spd"
)

func (s *server) status(r *http.Request) (any, error) {
	st := Status{Daemon: s.Name, Version: s.Version, PID: os.Getpid(), Started: s.started.Round(0), Addresses: []string{}}
	if s.LogLevel != nil {
		st.LogLevel = levelText(s.LogLevel.Level())
	}
	if m := s.Manager; m != nil {
		select {
		case <-m.Ready():
			st.Serving = true
		default:
		}
		for _, a := range m.Addrs() {
			st.Addresses = append(st.Addresses, a.String())
		}
		stats := m.Stats(r.Context())
		st.Peers, st.Sessions, st.HalfOpen, st.Calls = len(m.Peers()), stats.Sessions, stats.HalfOpen, stats.Calls
	}
	return st, nil
}

// selectOf reads a Select from a query string, in which flags may stand too.
func selectOf(v url.Values, flags ...string) (*selection, error) {
	var q Select
	fields := map[string]*string{"session": &q.Session, "peer": &q.Peer, "remote": &q.Remote, "local": &q.Local, "user": &q.User, "spi": &q.SPI,
		"child": &q.Child, "protocol": &q.Protocol, "source": &q.Source, "destination": &q.Destination}
	for name, values := range v {
		switch f := fields[name]; {
		case f != nil && len(values) == 1:
			*f = values[0]
		case f != nil:
			return nil, badRequest("%s is said twice", name)
		case !slices.Contains(flags, name):
			return nil, badRequest("%q is unknown here", name)
		}
	}
	return q.parse()
}

// described returns the sessions that are meant, in their JSON form.
func (s *server) described(ctx context.Context, q *selection, stats bool) ([]Session, error) {
	if s.Manager == nil {
		return nil, unsupported("sessions")
	}
	states, err := s.Manager.States(ctx)
	if err != nil {
		return nil, err
	}
	byID := make(map[ike.SessionID]*ike.SessionState, len(states))
	for i := range states {
		byID[states[i].ID] = &states[i]
	}
	out := []Session{}
	for _, c := range s.choose(q) {
		st := byID[c.session.ID()]
		if st == nil {
			continue // it has just come up, or ended
		}
		d := describeSession(st, c.session.Version())
		if q.ofChildren() || len(c.children) > 0 {
			d.Children = slices.DeleteFunc(d.Children, func(a ChildSA) bool {
				return !slices.ContainsFunc(c.children, func(b racoon.ChildSA) bool { return idText(b.ID) == a.ID })
			})
		}
		if stats {
			st, err := c.session.Stats(ctx)
			if err != nil {
				return nil, err
			}
			d.addStats(st)
		}
		out = append(out, d)
	}
	return out, nil
}

func (s *server) sessions(r *http.Request) (any, error) {
	q, err := selectOf(r.URL.Query(), "stats")
	if err != nil {
		return nil, err
	}
	list, err := s.described(r.Context(), q, r.URL.Query().Has("stats"))
	return map[string]any{"sessions": list}, err
}

func (s *server) sas(r *http.Request) (any, error) {
	q, err := selectOf(r.URL.Query(), "stats")
	if err != nil {
		return nil, err
	}
	list, err := s.described(r.Context(), q, r.URL.Query().Has("stats"))
	all := []ChildSA{}
	for _, d := range list {
		all = append(all, d.Children...)
	}
	return map[string]any{"sas": all}, err
}

func (s *server) peers(r *http.Request) (any, error) {
	if s.Manager == nil {
		return nil, unsupported("peers")
	}
	list, err := s.Manager.PeerStatus(r.Context())
	out := []Peer{}
	for i := range list {
		out = append(out, describePeer(&list[i]))
	}
	return map[string]any{"peers": out}, err
}

func (s *server) policies(r *http.Request) (any, error) {
	if s.Policies == nil {
		return nil, unsupported("list of policies: its data plane does not tell them")
	}
	list, err := s.Policies(r.Context())
	slices.SortStableFunc(list, func(a, b spd.Policy) int { return int(a.Direction) - int(b.Direction) })
	out := []Policy{}
	for i := range list {
		out = append(out, describePolicy(&list[i]))
	}
	return map[string]any{"policies": out}, err
}

func (s *server) schedule(r *http.Request) (any, error) {
	if s.Manager == nil {
		return nil, unsupported("schedule")
	}
	states, err := s.Manager.States(r.Context())
	if err != nil {
		return nil, err
	}
	out := []Due{}
	for i := range states {
		st := &states[i]
		names := make(map[ike.ChildID]string)
		for _, c := range st.Children {
			names[c.ID] = c.Name
		}
		for _, d := range st.Deadlines {
			due := Due{At: d.At.Round(0), What: d.What.String(), Peer: st.Peer, Session: idText(st.ID)}
			if d.Child != 0 {
				due.Child, due.Name = idText(d.Child), names[d.Child]
			}
			out = append(out, due)
		}
	}
	peers, err := s.Manager.PeerStatus(r.Context())
	if err != nil {
		return nil, err
	}
	for _, p := range peers {
		if !p.Next.IsZero() {
			out = append(out, Due{At: p.Next.Round(0), What: "call", Peer: p.Name})
		}
	}
	slices.SortFunc(out, func(a, b Due) int { return a.At.Compare(b.At) })
	return map[string]any{"schedule": out}, nil
}

func (s *server) stats(r *http.Request) (any, error) {
	if s.Manager == nil {
		return nil, unsupported("statistics")
	}
	return describeStats(s.Manager.Stats(r.Context())), nil
}

func (s *server) certificate(r *http.Request) (any, error) {
	if s.Manager == nil {
		return nil, unsupported("sessions")
	}
	q, err := selectOf(r.URL.Query())
	if err != nil {
		return nil, err
	}
	list := s.choose(q)
	var found []chosen
	for _, c := range list {
		if s.certificates.get(c.session.ID()) != nil {
			found = append(found, c)
		}
	}
	switch {
	case len(list) == 0:
		return nil, notFound("no session is like that")
	case len(found) == 0:
		return nil, notFound("the peer has shown no certificate")
	case len(found) > 1:
		return nil, &Error{Status: http.StatusConflict, Code: CodeConflict, Message: "there are several sessions like that: " + sessionNames(found)}
	}
	c := found[0].session
	return Certificate{Session: idText(c.ID()), Peer: c.Peer(), RemoteID: c.Info().RemoteID.String(), Chain: s.certificates.get(c.ID())}, nil
}

func sessionNames(list []chosen) string {
	var names []string
	for i, c := range list {
		if i == 8 {
			names = append(names, "...")
			break
		}
		names = append(names, c.session.Peer()+" "+idText(c.session.ID()))
	}
	return strings.Join(names, ", ")
}
