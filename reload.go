package racoon

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/racoon3/racoon/ike"
)

// Effect says when a changed field counts for sessions that are up. New
// sessions have it at once.
type Effect uint8

// Effects, the stronger ones later.
const (
	EffectLive    Effect = iota // at once
	EffectRekey                 // from the next rekey on
	EffectReauth                // when the session is next authenticated
	EffectDelete                // what it was for is deleted
	EffectRestart               // not before a new Manager is made
)

func (e Effect) String() string {
	return nameOf([]string{"live", "at the next rekey", "at reauthentication", "deletes", "needs a restart"}, e)
}

// A Change is one difference between the configuration before and after a
// reload, and what follows from it.
type Change struct {
	Peer, Child string // empty for the Manager's own fields
	Field       string // empty: the peer or Child as a whole
	Effect      Effect
	Sessions    int // established ones that it concerns
}

func (c Change) String() string {
	s := "configuration"
	if c.Peer != "" {
		s = fmt.Sprintf("peer %q", c.Peer)
	}
	if c.Child != "" {
		s += fmt.Sprintf(" Child %q", c.Child)
	}
	if c.Field != "" {
		s += " " + c.Field
	}
	return fmt.Sprintf("%s: %v (%d sessions)", s, c.Effect, c.Sessions)
}

// fieldEffects says when a field of Peer counts for its sessions. What is not
// listed counts at reauthentication.
var fieldEffects = map[string]Effect{
	"Remote": EffectLive, "RemoteNATT": EffectLive, // where to call next time
	"Start": EffectLive, "DeadAction": EffectLive, "CloseAction": EffectLive, "Backoff": EffectLive, "BackoffMax": EffectLive,
	"Unique": EffectLive, "MakeBeforeBreak": EffectLive,
	"Timing": EffectRekey, "Proposals": EffectRekey, "Quirks": EffectRekey, "FragmentSize": EffectRekey,
}

// childEffects is the same for Child. What is not listed counts at the next
// rekey.
var childEffects = map[string]Effect{
	"Start": EffectLive,
	"Local": EffectDelete, "Remote": EffectDelete, "Mode": EffectDelete, "Protocol": EffectDelete, "ReqID": EffectDelete,
	"NoPolicies": EffectDelete,
}

// globalEffects is the same for Config.
var globalEffects = map[string]Effect{"Authorize": EffectLive, "Narrow": EffectLive, "KINK": EffectLive}

// Reload takes another configuration. Nothing that has not changed is
// dropped: sessions go on, and what has changed counts as the returned
// changes say. A session whose peer is gone is deleted, and so is a Child SA
// that is gone or protects other traffic now; a Child SA that has to be up is
// then set up again.
//
// A configuration with an error changes nothing. So does one that changes what
// needs a new Manager (DataPlane, Listen, Limits, Workers, ...): then the
// error names the fields. Pointers and functions are compared by identity.
//
// What is taken is taken as a whole. Reload returns when new handshakes have it,
// or when ctx ends, and then they have it a moment later. An error means that
// nothing has changed, but for [ErrClosed].
func (m *Manager) Reload(ctx context.Context, cfg Config) ([]Change, error) {
	m.reloading.Lock()
	defer m.reloading.Unlock()
	if m.isStopping() {
		return nil, ErrClosed
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	next, err := cfg.fill()
	if err != nil {
		return nil, err
	}
	changes := compareGlobals(&m.asked, &cfg)
	var needs []error
	for _, c := range changes {
		if c.Effect == EffectRestart {
			needs = append(needs, configError(c.Field, "cannot change while the Manager serves; make a new Manager"))
		}
	}
	if len(needs) > 0 {
		return nil, errors.Join(needs...)
	}
	c := newCompiler(capabilitiesOf(m.cfg.DataPlane), next.KINK.Kerberos, m.given)
	ps, err := c.compile(next.Peers)
	if err != nil {
		return nil, err
	}
	if ps.mayHaveNonIKE() && !m.nonIKE.Load() {
		if err := m.allowNonIKE(); err != nil {
			return nil, err
		}
	}
	before := m.peers.Load()
	m.given, m.asked = c.reqIDs, cfg.copied()
	ps.kerberos = next.KINK
	m.replays.SetSkew(clock(), next.KINK.skew())
	m.noteRestrictions(ps)

	// From here on nothing fails. New handshakes first.
	m.peers.Store(ps)
	m.decisions.Store(&decisions{next.Authorize, next.Narrow})
	taken := make(chan struct{}, len(m.workers))
	for _, w := range m.workers {
		if !m.isReady() {
			w.core.SetPeers(ps) // not running yet
			taken <- struct{}{}
			continue
		}
		w.post(func(_ time.Time, k core) error {
			k.SetPeers(ps)
			taken <- struct{}{}
			return nil
		})
	}
	for _, p := range before.peers {
		if ps.byName[p.name()] == nil {
			changes = append(changes, m.dropPeer(p))
		}
	}
	for _, p := range ps.peers {
		q := before.byName[p.name()]
		if q == nil {
			changes = append(changes, Change{Peer: p.name(), Effect: EffectLive})
			continue
		}
		changes = append(changes, m.changePeer(q, p)...)
	}
	if m.isReady() {
		m.sup.setPeers(ps)
	}
	for _, c := range changes {
		m.log.Info("reloaded", "peer", c.Peer, "child", c.Child, "field", c.Field, "effect", c.Effect.String(), "sessions", c.Sessions)
	}
	for range m.workers {
		select {
		case <-taken:
		case <-ctx.Done(): // they take it when they come to it
			return changes, nil
		case <-m.stopped:
			return changes, ErrClosed
		}
	}
	return changes, nil
}

func compareGlobals(old, next *Config) []Change {
	var changes []Change
	eachDifference(reflect.ValueOf(*old), reflect.ValueOf(*next), func(field string) {
		effect, ok := globalEffects[field]
		if !ok || field == "KINK" && !sameRealm(&old.KINK, &next.KINK) {
			effect = EffectRestart
		}
		if field != "Peers" {
			changes = append(changes, Change{Field: field, Effect: effect})
		}
	})
	return changes
}

// dropPeer deletes the sessions of a peer that is no longer configured.
func (m *Manager) dropPeer(p *peer) Change {
	n := m.reg.dropPeer(p.name())
	return Change{Peer: p.name(), Effect: EffectDelete, Sessions: n}
}

func (r *registry) dropPeer(name string) int {
	defer r.lock()()
	if c := r.calls[name]; c != nil {
		r.abandon(c, errors.New("the peer is no longer configured"))
	}
	l := r.byPeer[name]
	for _, s := range l {
		r.delete(s, ike.DownConfig)
	}
	return len(l)
}

// changePeer finds out what has changed in a peer and tells its sessions.
func (m *Manager) changePeer(old, next *peer) []Change {
	sessions := m.reg.ofPeer(next.name())
	var changes []Change
	change := func(child, field string, effect Effect) {
		changes = append(changes, Change{Peer: next.name(), Child: child, Field: field, Effect: effect, Sessions: len(sessions)})
	}
	eachDifference(reflect.ValueOf(old.cfg), reflect.ValueOf(next.cfg), func(field string) {
		if field == "Children" {
			return // below
		}
		effect, ok := fieldEffects[field]
		if !ok {
			effect = EffectReauth
		}
		change("", field, effect)
	})
	var gone []string // Children whose SAs are deleted
	for i, c := range old.children {
		n := next.child(c.Name)
		if n == nil {
			gone = append(gone, c.Name)
			change(c.Name, "", EffectDelete)
			continue
		}
		eachDifference(reflect.ValueOf(old.cfg.Children[i]), reflect.ValueOf(next.cfg.Children[slices.Index(next.children, n)]), func(field string) {
			effect, ok := childEffects[field]
			if !ok {
				effect = EffectRekey
			}
			if effect == EffectDelete && !slices.Contains(gone, c.Name) {
				gone = append(gone, c.Name)
			}
			change(c.Name, field, effect)
		})
	}
	for _, c := range next.children {
		if old.child(c.Name) == nil {
			change(c.Name, "", EffectLive)
		}
	}
	if len(changes) == 0 {
		return nil
	}
	for _, s := range sessions {
		m.changeSession(s, next, gone)
	}
	return changes
}

// changeSession gives a session its new configuration and deletes the Child
// SAs that no longer have one.
func (m *Manager) changeSession(s *Session, p *peer, gone []string) {
	var drop []ike.ChildID
	var again []string
	for _, c := range s.ChildSAs() {
		if slices.Contains(gone, c.Name) {
			drop = append(drop, c.ID)
			if n := p.child(c.Name); n != nil && n.start == StartAlways {
				again = append(again, c.Name)
			}
		}
	}
	m.workerOf(s.id).post(func(now time.Time, k core) error {
		err := k.SetPeer(now, s.id, p)
		for _, id := range drop {
			err = errors.Join(err, k.DeleteChild(now, s.id, id))
		}
		if err != nil {
			m.log.Warn("session did not take its new configuration", "peer", p.name(), "session", uint64(s.id), "err", err)
		}
		return err
	})
	defer m.reg.lock()()
	for _, name := range again {
		m.reg.create(s, name, true)
	}
}

// eachDifference calls f with the names of the fields that differ.
func eachDifference(a, b reflect.Value, f func(field string)) {
	t := a.Type()
	for i := range t.NumField() {
		if t.Field(i).IsExported() && !same(a.Field(i), b.Field(i)) {
			f(t.Field(i).Name)
		}
	}
}

var requestType = reflect.TypeFor[*ike.ConfigRequest]()

// same compares values: structs and slices by what they hold, what points
// somewhere by identity.
func same(a, b reflect.Value) bool {
	switch a.Kind() {
	case reflect.Pointer:
		if a.Type() == requestType && !a.IsNil() && !b.IsNil() {
			return same(a.Elem(), b.Elem()) // the Manager has a copy of its own
		}
		return a.Pointer() == b.Pointer()
	case reflect.Func, reflect.Chan, reflect.UnsafePointer, reflect.Map:
		return a.Pointer() == b.Pointer()
	case reflect.Interface:
		if a.IsNil() || b.IsNil() {
			return a.IsNil() == b.IsNil()
		}
		return a.Elem().Type() == b.Elem().Type() && same(a.Elem(), b.Elem())
	case reflect.Struct:
		for i := range a.NumField() {
			if !same(a.Field(i), b.Field(i)) {
				return false
			}
		}
		return true
	case reflect.Slice:
		if a.IsNil() != b.IsNil() || a.Len() != b.Len() {
			return false
		}
		fallthrough
	case reflect.Array:
		for i := range a.Len() {
			if !same(a.Index(i), b.Index(i)) {
				return false
			}
		}
		return true
	}
	return a.Equal(b)
}
