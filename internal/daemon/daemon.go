package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/conf"
	"github.com/racoon3/racoon/internal/control"
	"github.com/racoon3/racoon/internal/hook"
	"github.com/racoon3/racoon/internal/pidfile"
)

// daemon is a program that serves.
type daemon struct {
	Program
	opt     options
	log     *slog.Logger
	level   *slog.LevelVar
	output  *logOutput
	notify  *notifier
	current atomic.Pointer[conf.Config]

	reloading sync.Mutex // guards store and last
	store     conf.Store
	last      racoon.Config

	plane    *plane
	policies *policies
	capture  *capture
	control  *control.Daemon
	names    nameCache
	manager  *racoon.Manager

	closers []func() error
}

// atEnd orders what is done at the end, before what was ordered earlier.
func (d *daemon) atEnd(f func() error) { d.closers = append(d.closers, f) }

// close does what is to be done at the end.
func (d *daemon) close() error {
	var errs []error
	for _, f := range slices.Backward(d.closers) {
		errs = append(errs, f())
	}
	d.closers = nil
	return errors.Join(errs...)
}

// localTime bounds what needs no peer at the end.
const localTime = 5 * time.Second

// serve runs the daemon. Whatever fails, nothing is left behind.
func (p Program) serve(ctx context.Context, o options, env Env, cfg *conf.Config, stderr io.Writer) (err error) {
	d := &daemon{Program: p, opt: o, level: new(slog.LevelVar), output: &logOutput{stderr: stderr}}
	defer func() { err = errors.Join(err, d.close()) }()
	if err := d.output.open(cfg.Daemon.LogFile); err != nil {
		return err
	}
	d.atEnd(func() error { d.output.close(); return nil })
	d.level.Set(levelOf(cfg.Daemon.LogLevel))
	d.log = newLogger(&cfg.Daemon, d.level, d.output)
	d.notify = newNotifier(env.Getenv, d.log)
	for _, w := range cfg.Warnings {
		d.log.Warn(w.Error())
	}
	// Opening may take long: the kernel loads modules. A signal ends it.
	start, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	opened, stopWatching := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopWatching)
		select {
		case <-env.Terminate:
			cancel(errTerminated)
		case <-opened:
		case <-start.Done():
		}
	}()
	err = d.open(start, cfg)
	close(opened)
	<-stopWatching
	if errors.Is(context.Cause(start), errTerminated) || ctx.Err() != nil {
		return nil // told to end before it has begun: what err says follows from that
	}
	if err != nil {
		return err
	}
	return d.run(ctx, env)
}

var errTerminated = errors.New("told to end")

// open opens everything but the sockets of IKE.
func (d *daemon) open(ctx context.Context, cfg *conf.Config) error {
	if cfg.Daemon.User != "" || cfg.Daemon.Chroot != "" {
		return fmt.Errorf("%s: [daemon] user, group and chroot: %w by this program; let the service manager take its privileges away, as the units in examples/systemd do", cfg.File, errors.ErrUnsupported)
	}
	if err := checkHooks(cfg); err != nil {
		return err
	}
	manager, err := d.store.Manager(cfg, d.protocols(cfg)...)
	if err != nil {
		return err
	}
	for _, dir := range []string{pathDir(cfg.Control.Socket), pathDir(cfg.Daemon.PIDFile)} {
		if dir != "" {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return err
			}
		}
	}
	pid, err := pidfile.Make(cfg.Daemon.PIDFile)
	if err != nil {
		return err
	}
	d.atEnd(func() error { pid.Remove(); return nil })
	only, err := lockKernel(&cfg.DataPlane, d.opt.state, d.Name)
	if err != nil {
		return err
	}
	d.atEnd(func() error { only.Remove(); return nil })

	d.capture = &capture{log: d.log, peerOf: d.peerOf}
	if err := d.capture.configure(cfg.Capture); err != nil {
		return err
	}
	d.atEnd(func() error { d.capture.close(); return nil })

	if d.plane, err = openPlane(ctx, cfg, d.opt.state, d.Name, d.log); err != nil {
		return err
	}
	d.atEnd(d.closePlane)
	links, err := makeInterfaces(ctx, cfg, d.plane.xfrm, d.Name, d.log)
	if err != nil {
		return err
	}
	d.atEnd(func() error { return links.remove(d.short()) })
	if !d.opt.spmd && (len(cfg.Policies) > 0 || d.plane.remembered != nil) {
		if d.policies, err = newPolicies(ctx, cfg, d.plane, d.opt.state, d.Name, d.log); err != nil {
			return fmt.Errorf("policies: %w", err)
		}
		d.atEnd(func() error { return d.policies.close(d.short()) })
	}
	if err := d.plane.follow(ctx, d.opt.spmd, d.policies, d.movePolicies(ctx, cfg)); err != nil {
		return err
	}

	d.control = &control.Daemon{Name: d.Name, Version: version(), Reload: d.reload, Policies: d.plane.policies(), Recorder: d.capture, LogLevel: d.level, Logger: d.log}
	d.complete(cfg, &manager)
	if u := d.plane.user; u != nil {
		if err := u.prepare(&manager); err != nil {
			return err
		}
	}
	d.followNames(ctx, &manager)
	if d.manager, err = racoon.NewManager(manager); err != nil {
		return err
	}
	d.control.Manager = d.manager
	d.last = manager
	d.current.Store(cfg)
	return nil
}

func pathDir(path string) string {
	if path == "" {
		return ""
	}
	return filepath.Dir(path)
}

// short is a context for what is done at the end; nothing is left to end it but
// time.
func (d *daemon) short() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), localTime)
	time.AfterFunc(localTime, cancel)
	return ctx
}

func (d *daemon) closePlane() error {
	var err error
	if d.plane.user != nil {
		err = d.plane.user.close()
	}
	return errors.Join(err, d.plane.Close())
}

// complete fills in what the program decides of a Manager's configuration.
func (d *daemon) complete(cfg *conf.Config, m *racoon.Config) {
	m.DataPlane, m.Logger, m.Trace = d.plane.DataPlane, d.log, d.capture.trace
	m.Authorize = d.control.Authorize(nil)
	for i := range m.Peers {
		p := &m.Peers[i]
		if p.UserPrompt != nil {
			p.UserPrompt = d.control.UserPrompt(p.UserPrompt)
		}
	}
}

func (d *daemon) peerOf(id ike.SessionID) string {
	if m := d.manager; m != nil {
		if s := m.Session(id); s != nil {
			return s.Peer()
		}
	}
	return ""
}

// run serves until it is told to end.
func (d *daemon) run(ctx context.Context, env Env) error {
	cfg := d.current.Load()
	hooks, err := newHooks(cfg, &d.current, func(id ike.SessionID) bool { return d.manager.Session(id) != nil }, d.log)
	if err != nil {
		return err
	}
	var listener *control.Listener
	if cfg.Control.Socket != "" {
		listener, err = control.Listen(control.ListenConfig{Path: cfg.Control.Socket, Owner: cfg.Control.Owner, Group: cfg.Control.Group, Mode: cfg.Control.FileMode()})
		if err != nil {
			return fmt.Errorf("the control socket: %w", err)
		}
	}
	// What follows the events ends when the Manager does.
	var followers sync.WaitGroup
	end, kill := context.WithCancel(context.Background())
	defer kill()
	hooked := d.manager.Subscribe(context.Background())
	followers.Go(func() { d.runHooks(end, hooks, hooked) })
	if u := d.plane.user; u != nil {
		u.start(d.manager)
		if u.routes != nil {
			u.routes.configure(cfg)
			events := d.manager.Subscribe(context.Background())
			followers.Go(func() { u.routes.follow(d.manager, events) })
		}
	}
	ctl, stopControl := context.WithCancel(context.Background())
	defer stopControl()
	served := make(chan error, 1)
	go func() { served <- d.manager.Serve(context.Background()) }()
	select {
	case <-d.manager.Ready():
	case err := <-served:
		if listener != nil {
			_ = listener.Close()
		}
		kill()
		followers.Wait()
		return err
	}
	if listener != nil {
		followers.Go(func() {
			if err := d.control.Serve(ctl, listener); err != nil {
				d.log.Error("the control socket has failed", "err", err)
			}
		})
	}
	if d.plane.remembered != nil {
		followers.Go(func() { d.dropStale(ctl, cfg) }) // no script that could take its time at the end
	}
	d.log.Info("ready", "program", d.Name, "version", version(), "config", cfg.File, "peers", len(d.manager.Peers()), "protocols", d.protocols(cfg))
	d.notify.ready()
	d.tellStatus()

	failure := d.wait(ctx, env, served)
	d.notify.stopping()
	stopControl()
	if failure == nil {
		failure = d.shutdown(env, served)
	}
	// The scripts of the sessions' ends may take their time, within bounds.
	done := make(chan struct{})
	go func() { followers.Wait(); close(done) }()
	select {
	case <-done:
	case <-env.Terminate:
	case <-time.After(localTime):
		d.log.Warn("scripts that still run are killed")
	}
	kill()
	<-done
	d.log.Info("ended", "program", d.Name)
	return failure
}

// wait serves signals until the daemon is to end; it returns why, if that is an
// error.
func (d *daemon) wait(ctx context.Context, env Env, served chan error) error {
	questions := newQuestions(ctx, d.manager, d.log)
	defer questions.end()
	status := time.NewTicker(10 * time.Second)
	defer status.Stop()
	var watchdog <-chan time.Time
	if d.notify.every > 0 {
		t := time.NewTicker(d.notify.every)
		defer t.Stop()
		watchdog = t.C
	}
	var device <-chan struct{}
	if u := d.plane.user; u != nil {
		device = u.pump.Done()
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case s := <-env.Terminate:
			d.log.Info("told to end", "signal", fmt.Sprint(s))
			return nil
		case <-env.Reload:
			_, _ = d.reload(ctx) // it is logged
		case <-env.Status:
			questions.ask()
		case <-status.C:
			d.tellStatus()
		case <-watchdog:
			if d.alive(ctx) {
				d.notify.tell("WATCHDOG=1")
			} else {
				d.log.Error("the workers do not answer: the service manager is not told that all is well")
			}
		case <-device:
			return fmt.Errorf("the TUN device has failed: %w", d.plane.user.pump.Err())
		case err := <-served:
			served <- err
			return fmt.Errorf("key management has ended: %w", err)
		}
	}
}

// alive reports whether every worker answers.
func (d *daemon) alive(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, d.notify.every)
	defer cancel()
	d.manager.Stats(ctx)
	return ctx.Err() == nil
}

func (d *daemon) tellStatus() {
	if d.notify.socket == "" {
		return
	}
	n := 0
	for range d.manager.Sessions() {
		n++
	}
	d.notify.status("%d peers, %d sessions", len(d.manager.Peers()), n)
}

// shutdown ends the sessions, at once when it is told to end a second time.
func (d *daemon) shutdown(env Env, served chan error) error {
	ctx, cancel := context.WithTimeout(context.Background(), d.current.Load().Daemon.ShutdownTimeout.D())
	defer cancel()
	ended := make(chan struct{})
	go func() {
		select {
		case <-env.Terminate:
			d.log.Warn("told to end a second time: peers are not waited for")
			cancel()
		case <-ended:
		}
	}()
	err := d.manager.Shutdown(ctx)
	close(ended)
	if err != nil {
		d.log.Warn("not all peers have answered", "err", err)
	}
	select {
	case err = <-served:
		return err
	case <-time.After(localTime):
		return errors.New("key management does not end")
	}
}

// runHooks runs scripts until the Manager has ended and those that wait have
// run, or ctx ends.
func (d *daemon) runHooks(ctx context.Context, r *hook.Runner, events <-chan ike.Event) {
	if err := r.Run(ctx, events); err != nil && ctx.Err() == nil {
		d.log.Error("hooks have ended", "err", err)
	}
}

// How long policies of a predecessor stay: at least until those that the
// configuration says are installed, and at most until peers that are always up
// must be.
const (
	staleAtLeast = 2 * time.Second
	staleAtMost  = 30 * time.Second
)

// dropStale removes the policies of a predecessor that the configuration does
// not say any more.
func (d *daemon) dropStale(ctx context.Context, cfg *conf.Config) {
	if d.plane.remembered.stale() == 0 {
		return
	}
	var wanted []string
	for _, p := range cfg.Peers {
		if p.Start == "always" || slices.ContainsFunc(p.Children, func(c *conf.Child) bool { return c.Start == "always" }) {
			wanted = append(wanted, p.Name)
		}
	}
	begin := time.Now()
	t := time.NewTicker(200 * time.Millisecond)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-t.C:
			age := now.Sub(begin)
			if age < staleAtLeast || age < staleAtMost && !d.allUp(wanted) {
				continue
			}
		}
		if err := d.plane.remembered.dropStale(ctx); err != nil {
			d.log.Error("policies of the last daemon are left", "err", err)
		} else {
			d.log.Info("policies of the last daemon that nobody wants any more are gone")
		}
		return
	}
}

func (d *daemon) allUp(peers []string) bool {
	up := make(map[string]bool)
	for s := range d.manager.Sessions() {
		up[s.Peer()] = true
	}
	return !slices.ContainsFunc(peers, func(p string) bool { return !up[p] })
}
