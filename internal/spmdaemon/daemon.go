package spmdaemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/racoon3/racoon/spd"
	"github.com/racoon3/racoon/spd/names"
	"github.com/racoon3/racoon/spd/spmif"
)

// Policies are what a configuration declares.
type Policies struct {
	// Rules returns the rules to install, with the addresses that lookup finds
	// for names. Rules that need a name without addresses are left out, and named
	// in waiting.
	Rules func(lookup func(name string) []netip.Addr) (rules []spd.Rule, waiting []string)
	// Names are the names in the rules.
	Names []string
	// Rule returns the rule of a name, for clients to install with other
	// addresses, whether Rules has it or not.
	Rule func(name string) (spd.Rule, bool)
}

// Lost says what becomes of the policies of a client that is gone without QUIT.
type Lost uint8

// What becomes of them.
const (
	LostKeep   Lost = iota // as racoon2: what they protect goes on waiting for an SA
	LostRemove             // after Options.Grace
)

// Options are what a [Daemon] is made of. DataPlane is needed.
type Options struct {
	DataPlane spd.DataPlane
	Store     spd.PolicyStore // nil: nothing is known of an earlier life
	Policies  Policies

	// Keep leaves the policies installed at the end, for the next start.
	Keep bool

	// ResolveWait is how long the start waits for the addresses of names; 0 is
	// 3 s. Rules without go on waiting after that, and what an earlier life has
	// installed for them stays.
	ResolveWait time.Duration
	// OrphanGrace is how long clients have after a start to install again what
	// they had installed in an earlier life; 0 is 5 minutes.
	OrphanGrace time.Duration

	Listener    *spmif.Listener // nil: no policy service
	Password    spmif.Password
	MaxClients  int
	MaxPolicies int // of a client; 0 is 10,000
	Lost        Lost
	Grace       time.Duration

	Names    names.CacheConfig // Changed is the daemon's own
	Resolver names.Resolver    // nil: names are learnt from the forwarder alone

	Forwarder *names.ForwarderConfig // nil: none. Its Cache is the daemon's.
	Packets   []net.PacketConn
	Streams   []net.Listener
	// AskForwarder asks the forwarder's name servers for what Resolver does not
	// know.
	AskForwarder bool

	Ready  func() // called once everything is served
	Logger *slog.Logger
}

// A Daemon runs once.
type Daemon struct {
	opt   Options
	log   *slog.Logger
	db    *spd.Database
	cache *names.Cache
	dir   names.Directory
	dns   *names.Forwarder // nil: none
	again chan struct{}    // has room for one: declare anew

	mu         sync.Mutex
	policies   Policies
	registered []string        // names of policies
	resolved   map[string]bool // rules that have had addresses in this life
	clients    clientPolicies
	byClients  map[string]bool // names
}

// New returns a daemon that does nothing yet.
func New(opt Options) *Daemon {
	opt.ResolveWait = cmp.Or(opt.ResolveWait, 3*time.Second)
	opt.OrphanGrace = cmp.Or(opt.OrphanGrace, 5*time.Minute)
	opt.MaxPolicies = cmp.Or(opt.MaxPolicies, 10_000)
	d := &Daemon{opt: opt, log: opt.Logger, again: make(chan struct{}, 1), policies: opt.Policies, resolved: map[string]bool{}, byClients: map[string]bool{}}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	cfg := opt.Names
	cfg.Changed = func(string) { d.changed() }
	d.cache = names.NewCache(cfg)
	if opt.Forwarder != nil {
		f := *opt.Forwarder
		f.Cache = d.cache
		d.dns = names.NewForwarder(f)
		if opt.AskForwarder && opt.Resolver != nil {
			d.opt.Resolver = names.First{opt.Resolver, d.dns}
		} else if opt.AskForwarder {
			d.opt.Resolver = d.dns
		}
	}
	d.dir = names.Directory{Cache: d.cache, Resolver: d.opt.Resolver}
	d.db = spd.NewDatabase(spd.DatabaseConfig{DataPlane: opt.DataPlane, Store: opt.Store, Logger: d.log})
	d.clients.init(d)
	return d
}

// Database returns the daemon's database.
func (d *Daemon) Database() *spd.Database { return d.db }

// changed says that the addresses of a name have changed.
func (d *Daemon) changed() {
	select {
	case d.again <- struct{}{}:
	default:
	}
}

// Run serves until ctx ends. The error is that of a part that has failed, or
// ctx's.
func (d *Daemon) Run(ctx context.Context) (err error) {
	r, err := d.db.Restore(ctx)
	if err != nil {
		return fmt.Errorf("taking up the policies of the last life: %w", err)
	}
	if r != (spd.Restored{}) {
		d.log.Info("policies of the last life were found", "declared", r.Declared, "generated", r.Generated, "gone", r.Gone)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var parts sync.WaitGroup
	part := func(name string, f func() error) {
		parts.Go(func() {
			if err := f(); err != nil && ctx.Err() == nil {
				cancel(fmt.Errorf("%s: %w", name, err))
			}
		})
	}
	d.register()
	part("names", func() error { return d.cache.Follow(ctx, d.opt.Resolver) })
	d.await(ctx)
	if err := d.declare(ctx); err != nil {
		cancel(nil)
		parts.Wait()
		// What the last life has installed stays: nothing better is known.
		return errors.Join(fmt.Errorf("installing policies: %w", err), d.db.Close(context.WithoutCancel(ctx), true))
	}
	part("policies", func() error { return d.follow(ctx) })
	part("events", func() error { return d.ignoreEvents(ctx) })
	if f := d.dns; f != nil {
		for _, c := range d.opt.Packets {
			part("DNS", func() error { return f.ServePacket(ctx, c) })
		}
		for _, l := range d.opt.Streams {
			part("DNS", func() error { return f.ServeStream(ctx, l) })
		}
	}
	if l := d.opt.Listener; l != nil {
		server := spmif.NewServer(d.serverConfig())
		part("the policy service", func() error { return server.Serve(ctx, l) })
	}
	if d.opt.Ready != nil {
		d.opt.Ready()
	}
	<-ctx.Done()
	parts.Wait()
	d.clients.stop()
	end, stop := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer stop()
	return errors.Join(context.Cause(ctx), d.db.Close(end, d.opt.Keep))
}

// ignoreEvents takes what the data plane tells: packets that need SAs are the
// business of the key daemons, and a queue that fills up would be cleared with
// what they have begun.
func (d *Daemon) ignoreEvents(ctx context.Context) error {
	events := d.opt.DataPlane.Events()
	for {
		select {
		case _, ok := <-events:
			if !ok {
				return nil
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// Reload replaces what the configuration declares. An error changes nothing.
func (d *Daemon) Reload(ctx context.Context, p Policies) error {
	d.mu.Lock()
	before := d.policies
	d.policies = p
	d.mu.Unlock()
	d.register()
	if err := d.declare(ctx); err != nil {
		d.mu.Lock()
		d.policies = before
		d.mu.Unlock()
		d.register()
		return err
	}
	return nil
}

// register makes the cache follow the names of the policies.
func (d *Daemon) register() {
	d.mu.Lock()
	defer d.mu.Unlock()
	before := d.registered
	d.registered = nil
	for _, n := range d.policies.Names {
		if _, err := d.cache.Register(n); err != nil {
			d.log.Error("a name cannot be followed", "name", n, "err", err)
			continue
		}
		d.registered = append(d.registered, n)
	}
	for _, n := range before {
		_ = d.cache.Deregister(n)
	}
}

// await waits until all names have addresses, or for as long as that may take.
func (d *Daemon) await(ctx context.Context) {
	timer := time.NewTimer(d.opt.ResolveWait)
	defer timer.Stop()
	for {
		if !slices.ContainsFunc(d.opt.Policies.Names, func(n string) bool { return len(d.cache.Addrs(n)) == 0 }) || d.opt.Resolver == nil {
			return
		}
		select {
		case <-d.again:
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// declare installs the rules with the addresses of now.
func (d *Daemon) declare(ctx context.Context) error {
	d.mu.Lock()
	p := d.policies
	d.mu.Unlock()
	if p.Rules == nil {
		return d.db.Declare(ctx, nil)
	}
	rules, waiting := p.Rules(d.cache.Addrs)
	d.mu.Lock()
	for _, r := range rules {
		d.resolved[r.Name] = true
	}
	// A rule that has had its addresses and has lost them is over; one that has
	// not had them yet keeps what it had in the last life.
	waiting = slices.DeleteFunc(waiting, func(n string) bool { return d.resolved[n] })
	d.mu.Unlock()
	return d.db.Declare(ctx, rules, waiting...)
}

// follow declares anew when addresses change, and ends what the last life's
// clients have not claimed.
func (d *Daemon) follow(ctx context.Context) error {
	orphans := time.NewTimer(d.opt.OrphanGrace)
	defer orphans.Stop()
	retry := time.NewTimer(time.Hour)
	retry.Stop()
	defer retry.Stop()
	wait := time.Second
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-orphans.C:
			if err := d.db.DropOrphans(ctx); err != nil {
				d.log.Error("policies of the last life could not be removed", "err", err)
				orphans.Reset(time.Minute)
			}
			continue
		case <-d.again:
		case <-retry.C:
		}
		if err := d.declare(ctx); err != nil {
			d.log.Error("policies could not be changed", "err", err, "again", wait)
			retry.Reset(wait)
			wait = min(2*wait, time.Minute)
		} else {
			wait = time.Second
		}
	}
}
