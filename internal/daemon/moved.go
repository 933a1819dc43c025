package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/conf"
	"github.com/racoon3/racoon/spd"
	"github.com/racoon3/racoon/spd/spmif"
)

// A policyService moves policies: spmd, by [spmif.Client].
type policyService interface {
	Selector(ctx context.Context, id uint32) (string, error)
	Migrate(ctx context.Context, selector string, from, to spmif.AddrPair) error
	Quit(ctx context.Context) error
	Close() error
}

// movedPolicies are the tunnels of spmd's policies that are somewhere else than
// spmd has them from its configuration: their peer has moved, and its SAs with
// it. They go home when the last of those SAs has gone; spmd is told again if it
// has forgotten, or was not there. A file remembers them, so that what a killed
// daemon has moved goes home when the next one starts.
type movedPolicies struct {
	log  *slog.Logger
	dial func(context.Context) (policyService, error)
	file string        // "": nothing is remembered
	poke chan struct{} // has room for one: look after them now

	asking  sync.Mutex // held while spmd is asked, before mu
	service policyService
	failed  bool // the last attempt; what fails again is not logged again

	mu   sync.Mutex
	away []*awayPolicy
}

// An awayPolicy is the policy of a name. Pairs are of its own addresses and the
// peer's.
type awayPolicy struct {
	Name   string
	Home   spd.AddrPair
	At     spd.AddrPair   // where it is to be
	Before []spd.AddrPair // where it may be still

	lines map[uint32]bool // whose SAs it leads there
}

const (
	// movedInterval is how often spmd is told again where policies are that are
	// not at home.
	movedInterval = 5 * time.Second
	// moveTimeout bounds how long spmd is waited for.
	moveTimeout = 3 * time.Second
	// maxBefore is how many former places of a policy are kept in mind. One that
	// moves on while spmd is away is at most where spmd saw it last, or at home.
	maxBefore = 8
)

func newMovedPolicies(file string, dial func(context.Context) (policyService, error), log *slog.Logger) *movedPolicies {
	m := &movedPolicies{log: log, dial: dial, file: file, poke: make(chan struct{}, 1)}
	m.load()
	return m
}

// load takes up what a killed daemon has moved: no SAs are there any more.
func (m *movedPolicies) load() {
	if m.file == "" {
		return
	}
	b, err := os.ReadFile(m.file)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err == nil {
		err = json.Unmarshal(b, &m.away)
	}
	if err != nil {
		m.log.Error("which policies of spmd have been moved is not known", "err", err)
		m.away = nil
		return
	}
	m.away = slices.DeleteFunc(m.away, func(a *awayPolicy) bool { return a == nil })
	for _, a := range m.away {
		a.Before, a.At = append(a.Before, a.At), a.Home
	}
	m.wake()
}

// save remembers. m.mu is held.
func (m *movedPolicies) save() {
	if m.file == "" {
		return
	}
	err := os.Remove(m.file)
	if len(m.away) > 0 {
		var b []byte
		if b, err = json.Marshal(m.away); err == nil {
			if err = os.WriteFile(m.file+".new", b, 0o600); err == nil {
				err = os.Rename(m.file+".new", m.file)
			}
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		m.log.Error("remembering which policies of spmd are moved", "err", err)
	}
}

func (m *movedPolicies) wake() {
	select {
	case m.poke <- struct{}{}:
	default:
	}
}

// run looks after the policies until ctx ends.
func (m *movedPolicies) run(ctx context.Context) {
	t := time.NewTicker(movedInterval)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.poke:
		case <-t.C:
		}
		m.settle(ctx)
	}
}

// close sends all policies home.
func (m *movedPolicies) close(ctx context.Context) {
	m.mu.Lock()
	for _, a := range m.away {
		a.goTo(a.Home)
	}
	m.mu.Unlock()
	m.settle(ctx)
	m.asking.Lock()
	defer m.asking.Unlock()
	if m.service != nil {
		_ = m.service.Quit(ctx) // nothing is lost if it does not hear it
		m.service = nil
	}
}

func (a *awayPolicy) goTo(to spd.AddrPair) {
	if a.At == to {
		return
	}
	if a.Before = append(slices.DeleteFunc(a.Before, func(p spd.AddrPair) bool { return p == to || p == a.At }), a.At); len(a.Before) > maxBefore {
		a.Before = a.Before[1:]
	}
	a.At = to
}

// ask makes a request of spmd, at a connection that may have to be made.
// m.asking is held.
func (m *movedPolicies) ask(ctx context.Context, f func(ctx context.Context, s policyService) error) error {
	ctx, cancel := context.WithTimeout(ctx, moveTimeout)
	defer cancel()
	for {
		fresh := m.service == nil
		if fresh {
			s, err := m.dial(ctx)
			if err != nil {
				return err
			}
			m.service = s
		}
		err := f(ctx, m.service)
		if _, refused := errors.AsType[*spmif.ReplyError](err); err == nil || refused {
			return err
		}
		_ = m.service.Close()
		if m.service = nil; fresh {
			return err
		}
		// spmd may have been started anew.
	}
}

// move has the policy of the kernel's number lead SAs of a line elsewhere. home
// is for one that is to go home only.
func (m *movedPolicies) move(ctx context.Context, id, line uint32, from, to spd.AddrPair, homeOnly bool) {
	var name string
	m.asking.Lock()
	err := m.ask(ctx, func(ctx context.Context, s policyService) (err error) { name, err = s.Selector(ctx, id); return err })
	m.asking.Unlock()
	if err != nil {
		m.log.Warn("spmd does not say whose policy it is that leads where a peer is no longer", "policy", id, "err", err)
		return
	}
	if !m.note(name, line, from, to, homeOnly) {
		return
	}
	m.settle(ctx)
}

// note notes where a policy is to be; it reports whether it is.
func (m *movedPolicies) note(name string, line uint32, from, to spd.AddrPair, homeOnly bool) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := slices.IndexFunc(m.away, func(a *awayPolicy) bool { return a.Name == name && (a.At == from || a.At == to) })
	switch {
	case i >= 0:
	case homeOnly:
		return false
	default:
		i = len(m.away)
		m.away = append(m.away, &awayPolicy{Name: name, Home: from, At: from})
	}
	a := m.away[i]
	if a.lines == nil {
		a.lines = map[uint32]bool{}
	}
	a.lines[line] = true
	a.goTo(to)
	m.save() // before spmd does it
	return true
}

// none reports whether all policies are at home.
func (m *movedPolicies) none() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.away) == 0
}

// homeOf reports whether a policy that is at a place has been moved there from a
// home.
func (m *movedPolicies) homeOf(at, home spd.AddrPair) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.ContainsFunc(m.away, func(a *awayPolicy) bool { return a.Home == home && (a.At == at || slices.Contains(a.Before, at)) })
}

// use notes that SAs of a line are where policies have been moved to.
func (m *movedPolicies) use(line uint32, at spd.AddrPair) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, a := range m.away {
		if fits(a.At, at) && a.At != a.Home {
			a.lines[line] = true
		}
	}
}

// release notes that a line has no SAs any more.
func (m *movedPolicies) release(line uint32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, a := range m.away {
		if !a.lines[line] {
			continue
		}
		if delete(a.lines, line); len(a.lines) == 0 {
			a.goTo(a.Home)
			m.wake()
		}
	}
}

// settle has spmd move the policies that are not where they are to be, or have
// been brought back.
func (m *movedPolicies) settle(ctx context.Context) {
	m.asking.Lock()
	defer m.asking.Unlock()
	m.mu.Lock()
	away := slices.Clone(m.away)
	m.mu.Unlock()
	failed := false
	for _, a := range away {
		m.mu.Lock()
		name, to, from := a.Name, a.At, slices.Clone(a.Before)
		if to != a.Home && !slices.Contains(from, a.Home) {
			from = append(from, a.Home)
		}
		m.mu.Unlock()
		var err error
		for _, p := range from {
			if err = m.migrate(ctx, name, p, to); err != nil {
				break
			}
		}
		if err == nil {
			m.done(a, to, from)
			continue
		}
		if failed = true; !m.failed {
			m.log.Error("spmd cannot be made to move a policy to where its peer is now; it is asked again and again", "policy", name, "to", to.Remote, "err", err)
		}
		if _, refused := errors.AsType[*spmif.ReplyError](err); !refused {
			break // it is not there for the others either
		}
	}
	m.failed = failed
}

// done notes that a policy is where it was to be, and no longer where it was.
func (m *movedPolicies) done(a *awayPolicy, at spd.AddrPair, from []spd.AddrPair) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := len(a.Before)
	a.Before = slices.DeleteFunc(a.Before, func(p spd.AddrPair) bool { return slices.Contains(from, p) })
	home := at == a.Home && a.At == at && len(a.Before) == 0
	if home {
		m.away = slices.DeleteFunc(m.away, func(o *awayPolicy) bool { return o == a })
	}
	if home || len(a.Before) != n {
		m.save()
	}
}

// migrate makes the request, for what is at from. That there is nothing is no
// error.
func (m *movedPolicies) migrate(ctx context.Context, name string, from, to spd.AddrPair) error {
	// Of a selector for inbound packets alone the peer is the source.
	for _, inbound := range []bool{false, true} {
		f, t := wirePair(from, to, inbound), wirePair(to, from, inbound)
		err := m.ask(ctx, func(ctx context.Context, s policyService) error { return s.Migrate(ctx, name, f, t) })
		if errors.Is(err, spmif.ErrNotFound) {
			continue
		}
		if err == nil {
			m.log.Info("spmd has moved a policy", "policy", name, "from", from.Remote, "to", to.Remote)
		}
		return err
	}
	return nil
}

// wirePair says a pair in spmif, where an end that is left open is 0.0.0.0 or ::.
func wirePair(p, other spd.AddrPair, inbound bool) spmif.AddrPair {
	open := netip.IPv4Unspecified()
	for _, a := range []netip.Addr{p.Local, p.Remote, other.Local, other.Remote} {
		if a.Is6() {
			open = netip.IPv6Unspecified()
		}
	}
	for _, a := range []*netip.Addr{&p.Local, &p.Remote} {
		if !a.IsValid() {
			*a = open
		}
	}
	if inbound {
		p.Local, p.Remote = p.Remote, p.Local
	}
	return spmif.AddrPair{Src: p.Local, Dst: p.Remote}
}

// fits reports whether SAs between at are between the ends of a policy, of which
// some may be open.
func fits(policy, at spd.AddrPair) bool {
	return (!policy.Local.IsValid() || policy.Local == at.Local) && (!policy.Remote.IsValid() || policy.Remote == at.Remote)
}

// movePolicies begins to look after spmd's policies, until the end; nil without
// spmd, or if it has no policy service.
func (d *daemon) movePolicies(ctx context.Context, cfg *conf.Config) *movedPolicies {
	if !d.opt.spmd || cfg.Spmd.Socket == "" || d.plane.kernel == nil {
		return nil
	}
	dial := func(ctx context.Context) (policyService, error) {
		c := d.current.Load()
		if c == nil {
			c = cfg
		}
		var password spmif.Password
		if file := c.Spmd.PasswordFile; file != "" {
			k, err := ike.LoadKeyFile(file)
			if err != nil {
				return nil, err
			}
			password = k.PSK
			defer password.Wipe()
		}
		s, err := spmif.Dial(ctx, c.Spmd.Socket, password)
		if err != nil {
			return nil, err
		}
		return s, nil
	}
	file := ""
	if d.opt.state != "" && cfg.DataPlane.AtStart == "adopt" {
		file = filepath.Join(d.opt.state, d.Name+".moved")
	}
	m := newMovedPolicies(file, dial, d.log)
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() { defer close(done); m.run(ctx) }()
	d.atEnd(func() error { stop(); <-done; m.close(d.short()); return nil })
	return m
}
