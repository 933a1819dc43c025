package racoon

import (
	"slices"
	"sync"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/schedule"
	"github.com/racoon3/racoon/spd"
)

const (
	// maxDials is how many attempts the supervisor has under way, so that
	// thousands of peers are called one after the other.
	maxDials = 64
	// steady is how long a session has to live before the next attempt is
	// made at once instead of after a back-off.
	steady = time.Minute
)

// The supervisor brings back what has to be up: peers with StartAlways, those
// whose DeadAction or CloseAction is to restart, and what a reauthentication
// has ended. It is one goroutine with one timer, whatever the number of peers.
// Others tell it what happened by posting functions.
type supervisor struct {
	m    *Manager
	wake chan struct{}

	mu    sync.Mutex
	notes []func()

	// Of the supervisor's goroutine.
	peers   map[string]*supervised
	timers  schedule.Queue[*supervised]
	dialing int
	waiting []*supervised // for one of maxDials
	silent  bool          // the Manager shuts down

	rotations sync.Map // peer name to *int32: which of the peer's addresses is next
}

// supervised is what the supervisor knows of a peer.
type supervised struct {
	p        *peer
	wanted   bool     // has to be up
	children []string // nil: all
	failures int
	dialing  bool
	queued   bool
	traps    []spd.Policy
	timer    schedule.Timer[*supervised]
}

func (s *supervisor) init(m *Manager) {
	s.m = m
	s.wake = make(chan struct{}, 1)
	s.peers = make(map[string]*supervised)
}

// post runs f on the supervisor's goroutine.
func (s *supervisor) post(f func()) {
	s.mu.Lock()
	s.notes = append(s.notes, f)
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *supervisor) run(stop <-chan struct{}) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		s.mu.Lock()
		notes := s.notes
		s.notes = nil
		s.mu.Unlock()
		for _, f := range notes {
			f()
		}
		now := clock()
		for t, ok := s.timers.Pop(now); ok; t, ok = s.timers.Pop(now) {
			s.due(t.Owner)
		}
		if len(notes) > 0 {
			continue
		}
		if at, ok := s.timers.Next(); ok {
			timer.Reset(at.Sub(now))
		} else {
			timer.Reset(time.Hour)
		}
		select {
		case <-s.wake:
		case <-timer.C:
		case <-stop:
			return
		}
	}
}

// setPeers takes a new configuration: what is new is started, what is gone is
// forgotten. Sessions are the reload's business.
func (s *supervisor) setPeers(ps *peerSet) {
	s.post(func() {
		for name, e := range s.peers {
			if ps.byName[name] == nil {
				s.timers.Stop(&e.timer)
				e.wanted = false
				s.trap(e, nil)
				delete(s.peers, name)
			}
		}
		for _, p := range ps.peers {
			e := s.peers[p.name()]
			fresh := e == nil
			if fresh {
				e = &supervised{}
				e.timer.Owner = e
				s.peers[p.name()] = e
			}
			before := e.p
			e.p = p
			s.trap(e, p.trapPolicies(p.starts(StartTrap)))
			always := p.starts(StartAlways)
			was := before != nil && len(before.starts(StartAlways)) > 0
			switch {
			case len(always) > 0 && (fresh || !was || !slices.Equal(always, before.starts(StartAlways))):
				e.wanted, e.failures = true, 0
				e.children = always
				if len(always) == len(p.children) {
					e.children = nil
				}
				s.after(e, 0)
			case len(always) == 0 && was:
				e.wanted = false
				s.timers.Stop(&e.timer)
			}
		}
	})
}

// trap sets a peer's trap policies if they are others than before.
func (s *supervisor) trap(e *supervised, policies []spd.Policy) {
	if slices.Equal(e.traps, policies) {
		return
	}
	e.traps = policies
	s.m.setTraps(e.p.name(), policies)
}

// removeTraps takes all trap policies away, at the end.
func (s *supervisor) removeTraps() {
	done := make(chan struct{})
	s.post(func() {
		for _, e := range s.peers {
			s.trap(e, nil)
		}
		close(done)
	})
	select {
	case <-done:
	case <-s.m.stop:
	}
}

// quiet makes the supervisor begin nothing any more.
func (s *supervisor) quiet() {
	s.post(func() {
		s.silent = true
		s.waiting = nil
		for _, e := range s.peers {
			e.wanted = false
			s.timers.Stop(&e.timer)
		}
	})
}

// after schedules an attempt.
func (s *supervisor) after(e *supervised, d time.Duration) {
	if s.silent {
		return
	}
	s.timers.Set(&e.timer, clock().Add(d))
}

// backoff schedules an attempt after a failure.
func (s *supervisor) backoff(e *supervised) {
	d := e.p.cfg.Backoff
	for range min(e.failures, 32) {
		if d = 2 * d; d >= e.p.cfg.BackoffMax {
			break
		}
	}
	e.failures++
	s.after(e, s.m.random.spread(min(d, e.p.cfg.BackoffMax)))
}

// due makes what is wanted.
func (s *supervisor) due(e *supervised) {
	if !e.wanted || e.dialing || s.silent || s.peers[e.p.name()] != e {
		return
	}
	if s.dialing >= maxDials {
		if !e.queued {
			e.queued = true
			s.waiting = append(s.waiting, e)
		}
		return
	}
	if missing := s.m.reg.bringUp(e.p, e.children); missing {
		return // the session is up, Child SAs are on their way
	}
	e.dialing = true
	s.dialing++
	s.m.reg.join(e.p, order{names: e.children, keep: true, then: func(up *Session, err error) {
		s.post(func() { s.decided(e, up, err) })
	}})
}

// decided: an attempt has come to its end.
func (s *supervisor) decided(e *supervised, up *Session, err error) {
	e.dialing = false
	s.dialing--
	for s.dialing < maxDials && len(s.waiting) > 0 {
		next := s.waiting[0]
		s.waiting = s.waiting[1:]
		next.queued = false
		s.due(next)
	}
	if err == nil || !e.wanted || s.silent {
		return
	}
	if up == nil {
		s.rotate(e.p.name())
	}
	if s.peers[e.p.name()] == e {
		s.backoff(e)
	}
}

// sessionUp: whoever began it, what is wanted may be there.
func (s *supervisor) sessionUp(peer string) {
	s.post(func() {
		e := s.peers[peer]
		if e == nil || e.dialing {
			return
		}
		if len(e.p.starts(StartAlways)) > 0 && !s.silent {
			e.wanted = true // the program may have deleted it before
		}
		if e.wanted {
			s.after(e, e.p.cfg.Backoff) // to see whether a Child SA is missing
		}
	})
}

// sessionDown decides whether a session comes back.
func (s *supervisor) sessionDown(peer string, reason ike.DownReason, initiator bool, lived time.Duration, children []string, another bool) {
	s.post(func() {
		e := s.peers[peer]
		if e == nil || s.silent {
			return
		}
		if lived >= steady {
			e.failures = 0
		}
		action := ActionClear
		switch reason {
		case ike.DownLocal, ike.DownConfig, ike.DownShutdown:
			e.wanted = false
			s.timers.Stop(&e.timer)
			return
		case ike.DownReauth:
			if !another && e.p.host != "" && (initiator || len(e.p.starts(StartAlways)) > 0) {
				s.restart(e, children, true)
			}
			return
		case ike.DownReplaced:
			if another {
				return
			}
			action = e.p.cfg.action(e.p.cfg.CloseAction)
		case ike.DownRemote:
			action = e.p.cfg.action(e.p.cfg.CloseAction)
		default:
			action = e.p.cfg.action(e.p.cfg.DeadAction)
		}
		if e.p.host == "" {
			return
		}
		switch action {
		case ActionRestart:
			s.restart(e, children, lived >= steady)
		case ActionTrap:
			s.trapAgain(e, children)
		}
	})
}

// restart calls a peer again with what was up, and what always has to be.
func (s *supervisor) restart(e *supervised, children []string, atOnce bool) {
	names := e.p.starts(StartAlways)
	for _, c := range children {
		if e.p.child(c) != nil && !slices.Contains(names, c) {
			names = append(names, c)
		}
	}
	e.wanted, e.children = true, names
	if len(names) == 0 || len(names) == len(e.p.children) {
		e.children = nil
	}
	if e.dialing {
		return
	}
	if atOnce {
		s.after(e, 0)
		return
	}
	s.backoff(e)
}

// trapAgain makes packets bring back what was up.
func (s *supervisor) trapAgain(e *supervised, children []string) {
	names := e.p.starts(StartTrap)
	for _, c := range children {
		if !slices.Contains(names, c) {
			names = append(names, c)
		}
	}
	s.trap(e, e.p.trapPolicies(names))
}

// childDown decides whether a Child SA comes back while its session is up.
func (s *supervisor) childDown(peer, child string, reason ike.DownReason) {
	var action func(p *peerConfig) Action
	switch reason {
	case ike.DownRemote:
		action = func(p *peerConfig) Action { return p.action(p.CloseAction) }
	case ike.DownDead, ike.DownExpired, ike.DownFailed:
		action = func(p *peerConfig) Action { return p.action(p.DeadAction) }
	default:
		return
	}
	s.post(func() {
		e := s.peers[peer]
		if e == nil || s.silent || e.p.host == "" || e.p.child(child) == nil {
			return
		}
		switch action(&e.p.cfg) {
		case ActionRestart:
			s.restart(e, []string{child}, false)
		case ActionTrap:
			s.trapAgain(e, []string{child})
		}
	})
}

// peerConfig is the user's form of a peer.
type peerConfig = Peer

// childFailed tries a Child SA again that always has to be up.
func (s *supervisor) childFailed(peer, child string) {
	s.post(func() {
		e := s.peers[peer]
		if e == nil || !e.wanted || e.dialing || s.silent {
			return
		}
		if e.children == nil || slices.Contains(e.children, child) {
			s.backoff(e)
		}
	})
}

// rotation returns which of a peer's addresses is to be tried.
func (s *supervisor) rotation(peer string) int {
	n, _ := s.rotations.Load(peer)
	i, _ := n.(int)
	return i
}

func (s *supervisor) rotate(peer string) { s.rotations.Store(peer, (s.rotation(peer)+1)&0xffff) }

// bringUp reports whether a session with a peer is established; what is
// missing of the named Child SAs (nil: all) is ordered.
func (r *registry) bringUp(p *peer, names []string) bool {
	defer r.lock()()
	s := r.withPeer(p)
	if s == nil || r.calls[p.name()] != nil {
		return false
	}
	for _, c := range p.children {
		if names == nil || slices.Contains(names, c.Name) {
			r.create(s, c.Name, false)
		}
	}
	return true
}

// create orders a Child SA that is not there and not ordered yet. again says
// that the one there is about to go.
func (r *registry) create(s *Session, name string, again bool) {
	if slices.Contains(s.creating, name) || !again && slices.ContainsFunc(s.children, func(c ChildSA) bool { return c.Name == name }) {
		return
	}
	s.creating = append(s.creating, name)
	r.m.workerOf(s.id).post(func(now time.Time, k core) error {
		err := k.CreateChild(now, s.id, name, 0, nil)
		if err != nil {
			defer r.lock()()
			s.created(name)
		}
		return err
	})
}

// created: a Child SA was ordered and is decided.
func (s *Session) created(name string) {
	if i := slices.Index(s.creating, name); i >= 0 {
		s.creating = slices.Delete(s.creating, i, i+1)
	}
}
