package hook

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/ike"
)

// Config says what to run.
type Config struct {
	// Scripts are the programs, by event, as absolute paths. They are run as
	// they are, without a shell.
	Scripts map[Event]string
	// ScriptOf, if set, is asked instead: peers may have scripts of their own.
	// "" is none.
	ScriptOf func(peer string, e Event) string

	Style Style
	// Timeout is how long a script may run before it is killed with all that it
	// has started; 0 is 30 s.
	Timeout time.Duration
	// Parallel is how many run at one time, 0 is 8; Queue how many may wait
	// before further ones are dropped, 0 is 1024.
	Parallel, Queue int
	// Path is the scripts' PATH; "" is that of the system's programs.
	Path string
	// Known, if set, reports whether a session is there. It is asked after
	// events were lost, so that what is remembered of sessions can be forgotten:
	// func(id ike.SessionID) bool { return m.Session(id) != nil }.
	Known func(id ike.SessionID) bool
	// Logger gets what the scripts print and how they end; nil discards it.
	Logger *slog.Logger
}

// A Runner runs scripts. Run may be called once.
type Runner struct {
	cfg Config
	log *slog.Logger

	sessions map[ike.SessionID]*ike.SessionInfo // of Run's goroutine

	mu      sync.Mutex
	pending map[ike.SessionID][]job // present while a script of the session runs
	ready   []job                   // of sessions of which none runs
	waiting int
	running int
	dropped int
	wg      sync.WaitGroup
}

// job is a script to run.
type job struct {
	session ike.SessionID
	peer    string
	event   Event
	script  string
	name    string // of the event, for the script
	env     []string
}

// New checks a configuration. Scripts that cannot be run, or that others than
// root and the daemon's user could change, are errors.
func New(cfg Config) (*Runner, error) {
	if cfg.Timeout < 0 || cfg.Parallel < 0 || cfg.Queue < 0 {
		return nil, errors.New("hook: Timeout, Parallel or Queue is negative")
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 30 * time.Second
	}
	if cfg.Parallel == 0 {
		cfg.Parallel = 8
	}
	if cfg.Queue == 0 {
		cfg.Queue = 1024
	}
	if cfg.Path == "" {
		cfg.Path = defaultPath
	}
	for e, path := range cfg.Scripts {
		if _, ok := names[e]; !ok {
			return nil, fmt.Errorf("hook: %q is no event", string(e))
		}
		if path == "" {
			continue
		}
		if err := Check(path); err != nil {
			return nil, fmt.Errorf("hook: script for %s: %w", e, err)
		}
	}
	r := &Runner{cfg: cfg, log: cfg.Logger, sessions: make(map[ike.SessionID]*ike.SessionInfo), pending: make(map[ike.SessionID][]job)}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	return r, nil
}

// Check reports why a script cannot be used, or nil.
func Check(path string) error {
	if !filepath.IsAbs(path) {
		return fmt.Errorf("%q is not an absolute path", path)
	}
	return checkFile(path)
}

// Run runs scripts for events until the channel is closed, and those that wait
// then; it returns nil. When ctx ends before, what runs is killed and what waits
// is dropped, and Run returns ctx's error.
func (r *Runner) Run(ctx context.Context, events <-chan ike.Event) error {
	defer r.wg.Wait()
	for {
		select {
		case ev, ok := <-events:
			if !ok {
				r.wg.Wait()
				return context.Cause(ctx)
			}
			r.handle(ctx, ev)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// handle turns an event into a job.
func (r *Runner) handle(ctx context.Context, ev ike.Event) {
	f := &facts{header: ev.Header()}
	id := f.header.Session
	switch ev := ev.(type) {
	case ike.SessionUp:
		info := ev.Info
		r.sessions[id] = &info
		f.event = SessionUp
	case ike.AddressAssigned:
		if info := r.sessions[id]; info != nil {
			info.Config = ev.Config
		}
		return
	case ike.SessionDown:
		f.event, f.reason, f.err = SessionDown, ev.Reason.String(), ev.Err
		if ev.Reason == ike.DownDead && r.script(f.header.Peer, SessionDead) != "" {
			f.event = SessionDead
		}
		defer delete(r.sessions, id)
	case ike.SessionRekeyed:
		f.event = SessionRekey
		if info := r.sessions[id]; info != nil {
			info.LocalSPI, info.RemoteSPI, info.Proposal = ev.LocalSPI, ev.RemoteSPI, ev.Proposal
		}
	case ike.SessionMoved:
		f.event, f.old = Migration, &ev.Old
	case ike.ChildUp:
		f.event, f.child = ChildUp, &ev.Child
	case ike.ChildRekeyed:
		f.event, f.child, f.former = ChildRekey, &ev.Child, &ev.Old
	case ike.ChildDown:
		f.event, f.child, f.reason, f.err = ChildDown, &ev.Child, ev.Reason.String(), ev.Err
		f.in, f.out = &ev.In, &ev.Out
	case racoon.EventsLost:
		r.log.Warn("hooks: events were lost, so scripts were not run", "count", ev.Count)
		if r.cfg.Known != nil {
			for id := range r.sessions {
				if !r.cfg.Known(id) {
					delete(r.sessions, id)
				}
			}
		}
		return
	default:
		return
	}
	f.info = r.sessions[id]
	script := r.script(f.header.Peer, f.event)
	if script == "" {
		return
	}
	r.submit(ctx, job{session: id, peer: f.header.Peer, event: f.event, script: script,
		name: f.event.name(r.cfg.Style, racoon.VersionOf(id)), env: environmentOf(f, r.cfg.Style, r.cfg.Path)})
}

func (r *Runner) script(peer string, e Event) string {
	if r.cfg.ScriptOf != nil {
		return r.cfg.ScriptOf(peer, e)
	}
	return r.cfg.Scripts[e]
}

// submit queues a job and starts what may run.
func (r *Runner) submit(ctx context.Context, j job) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiting >= r.cfg.Queue {
		r.dropped++
		if r.dropped == 1 || r.dropped%r.cfg.Queue == 0 {
			r.log.Warn("hooks: too many scripts wait; this one is not run", "event", string(j.event), "peer", j.peer, "dropped", r.dropped)
		}
		return
	}
	r.waiting++
	if queue, busy := r.pending[j.session]; busy {
		r.pending[j.session] = append(queue, j)
		return
	}
	r.pending[j.session] = nil
	r.ready = append(r.ready, j)
	r.start(ctx)
}

// start runs what is ready as far as it may. The mutex is held.
func (r *Runner) start(ctx context.Context) {
	for len(r.ready) > 0 && r.running < r.cfg.Parallel && ctx.Err() == nil {
		j := r.ready[0]
		r.ready[0] = job{}
		r.ready = r.ready[1:]
		r.waiting--
		r.running++
		r.wg.Go(func() {
			r.execute(ctx, j)
			r.done(ctx, j)
		})
	}
}

// done: a session's script is over, and its next one is ready.
func (r *Runner) done(ctx context.Context, j job) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.running--
	if queue := r.pending[j.session]; len(queue) > 0 {
		r.pending[j.session] = queue[1:]
		r.ready = append(r.ready, queue[0])
	} else {
		delete(r.pending, j.session)
	}
	r.start(ctx)
}
