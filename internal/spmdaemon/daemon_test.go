package spmdaemon

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/spd"
	"github.com/racoon3/racoon/spd/names"
	"github.com/racoon3/racoon/spd/spmif"
)

var (
	addrA, addrB = netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	netA, netB   = netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("10.2.0.0/16")
	pair         = spmif.AddrPair{Src: addrA, Dst: addrB}
)

func ts(s string) []spd.TrafficSelector {
	t, err := spd.ParseTrafficSelector(s)
	if err != nil {
		panic(err)
	}
	return []spd.TrafficSelector{t}
}

func rule(name string) spd.Rule {
	return spd.Rule{Name: name, Local: ts("10.1.0.0/16"), Remote: ts("10.9.0.0/16"), Action: spd.ActionProtect, LocalAddr: addrA, RemoteAddr: addrB}
}

// declared are rules without names.
func declared(rules ...spd.Rule) Policies {
	return Policies{
		Rules: func(func(string) []netip.Addr) ([]spd.Rule, []string) { return rules, nil },
		Rule: func(name string) (spd.Rule, bool) {
			for _, r := range rules {
				if r.Name == name {
					return r, true
				}
			}
			r := rule(name)
			return r, strings.HasPrefix(name, "rw")
		},
	}
}

// named is a rule that discards what goes to a name.
func named(name string) Policies {
	return Policies{Names: []string{name}, Rules: func(lookup func(string) []netip.Addr) ([]spd.Rule, []string) {
		r := spd.Rule{Name: "to " + name, Local: ts("10.1.0.0/16")}
		for _, a := range lookup(name) {
			r.Remote = append(r.Remote, spd.FromAddr(a))
		}
		if r.Remote == nil {
			return nil, []string{r.Name}
		}
		return []spd.Rule{r}, nil
	}}
}

type store struct {
	has map[spd.Policy]spd.StoredPolicy
}

func (s *store) Load() (r []spd.StoredPolicy, _ error) {
	for _, p := range s.has {
		r = append(r, p)
	}
	return r, nil
}
func (s *store) Add(list []spd.StoredPolicy) error {
	for _, p := range list {
		if s.has == nil {
			s.has = map[spd.Policy]spd.StoredPolicy{}
		}
		s.has[p.Policy] = p
	}
	return nil
}
func (s *store) Remove(list []spd.Policy) error {
	for _, p := range list {
		delete(s.has, p)
	}
	return nil
}

// run starts a daemon; stop ends it and returns its error.
func run(t *testing.T, opt Options) (d *Daemon, stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan error, 1)
	opt.Ready = func() { close(ready) }
	d = New(opt)
	go func() { done <- d.Run(ctx) }()
	select {
	case <-ready:
	case err := <-done:
		t.Fatal(err)
	}
	return d, func() error { cancel(); return <-done }
}

func client(t *testing.T, d *Daemon) *spmif.Client {
	t.Helper()
	here, there := net.Pipe()
	go spmif.NewServer(d.serverConfig()).ServeConn(context.Background(), there, spmif.Peer{})
	c, err := spmif.NewClient(t.Context(), here, nil)
	require.NoError(t, err)
	return c
}

func TestClientsPolicies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := spd.NewMemory(spd.MemoryConfig{})
		d, stop := run(t, Options{DataPlane: m, Policies: declared(rule("site")), MaxPolicies: 3})
		ctx := t.Context()
		c := client(t, d)
		require.Len(t, m.Policies(), 2)
		require.NoError(t, c.AddPolicy(ctx, "rw", 0, netA, netB, pair))
		require.Len(t, m.Policies(), 4)
		out := m.Policies()[slices.IndexFunc(m.Policies(), func(p spd.Policy) bool {
			return p.Direction == spd.Out && p.Selector.Remote == spd.FromPrefix(netB)
		})]
		require.Equal(t, addrA, out.Local)
		require.Equal(t, addrB, out.Remote)
		require.Equal(t, spd.ActionTrap, out.Action)
		require.NoError(t, c.AddPolicy(ctx, "rw", 0, netA, netB, pair), "again is no error")
		require.Len(t, m.Policies(), 4)
		require.ErrorContains(t, c.AddPolicy(ctx, "unknown", 0, netA, netB, pair), "selector not found")

		list, err := c.Policies(ctx)
		require.NoError(t, err)
		require.Len(t, list, 4)
		for _, p := range list {
			name, err := c.Selector(ctx, p.ID)
			require.NoError(t, err)
			require.Equal(t, p.Name, name)
		}

		to := spmif.AddrPair{Src: netip.MustParseAddr("198.51.100.1"), Dst: addrB}
		require.NoError(t, c.Migrate(ctx, "rw", pair, to))
		require.Error(t, c.Migrate(ctx, "rw", pair, to), "nothing is there any more")
		require.NoError(t, c.DeletePolicy(ctx, "rw", netA, netB, to), "by where it is now")
		require.Error(t, c.DeletePolicy(ctx, "rw", netA, netB, to))
		require.Error(t, c.DeletePolicies(ctx, "site"), "the configuration's own stay")
		require.Len(t, m.Policies(), 2)

		host := func(i int) netip.Prefix {
			return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 3, 0, byte(i)}), 32)
		}
		for i := range 3 {
			require.NoError(t, c.AddPolicy(ctx, "rw", time.Minute, netA, host(i), pair))
		}
		require.Error(t, c.AddPolicy(ctx, "rw", time.Minute, netA, host(3), pair), "more than a client may have")
		time.Sleep(30 * time.Second)
		require.NoError(t, c.AddPolicy(ctx, "rw", time.Minute, netA, host(0), pair))
		time.Sleep(31 * time.Second)
		synctest.Wait()
		require.Len(t, m.Policies(), 4, "the lifetime of two is over, one was renewed")
		time.Sleep(30 * time.Second)
		synctest.Wait()
		require.Len(t, m.Policies(), 2)
		require.NoError(t, c.AddPolicy(ctx, "rw", 0, netA, host(0), pair))
		require.NoError(t, c.AddPolicy(ctx, "rw2", 0, netA, host(0), pair))
		require.NoError(t, c.DeletePolicies(ctx, "rw"))
		require.Len(t, m.Policies(), 4)
		require.NoError(t, c.Quit(ctx))
		require.ErrorIs(t, stop(), context.Canceled)
		require.Empty(t, m.Leaks())
	})
}

// C21: what becomes of the policies of a client that is gone is configured; to
// keep them lets nothing go in clear that was not to.
func TestC21_CrashedClient(t *testing.T) {
	for _, lost := range []Lost{LostKeep, LostRemove} {
		synctest.Test(t, func(t *testing.T) {
			m := spd.NewMemory(spd.MemoryConfig{})
			d, stop := run(t, Options{DataPlane: m, Policies: declared(), Lost: lost, Grace: time.Minute})
			c := client(t, d)
			require.NoError(t, c.AddPolicy(t.Context(), "rw", 0, netA, netB, pair))
			require.NoError(t, c.Quit(t.Context()))
			time.Sleep(time.Hour)
			require.Len(t, m.Policies(), 2, "it has taken leave, as racoon2's spmdctl does")

			c = client(t, d)
			require.NoError(t, c.AddPolicy(t.Context(), "rw", 0, netA, netB, pair), "now it is this one's")
			require.NoError(t, c.Close())
			time.Sleep(59 * time.Second)
			synctest.Wait()
			require.Len(t, m.Policies(), 2)
			c = client(t, d)
			require.NoError(t, c.AddPolicy(t.Context(), "rw", 0, netA, netB, pair))
			time.Sleep(time.Minute)
			synctest.Wait()
			require.Len(t, m.Policies(), 2, "it has come back in time")
			require.NoError(t, c.Close())
			time.Sleep(61 * time.Second)
			synctest.Wait()
			require.Equal(t, lost == LostKeep, len(m.Policies()) == 2)
			require.ErrorIs(t, stop(), context.Canceled)
		})
	}
}

// The kernel refuses a removal: it is tried again.
func TestRemovalIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := spd.NewMemory(spd.MemoryConfig{})
		d, stop := run(t, Options{DataPlane: m, Policies: declared()})
		c := client(t, d)
		require.NoError(t, c.AddPolicy(t.Context(), "rw", time.Minute, netA, netB, pair))
		m.FailNext(spd.OpSetPolicies, errors.New("boom"))
		time.Sleep(time.Minute + time.Second)
		synctest.Wait()
		require.Len(t, m.Policies(), 2)
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Empty(t, m.Policies())
		require.NoError(t, c.Quit(t.Context()))
		require.ErrorIs(t, stop(), context.Canceled)
	})
}

type dns struct {
	mu    sync.Mutex
	addrs []netip.Addr
	err   error
}

func (f *dns) LookupAddrs(context.Context, string) (r []names.Answer, _ error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, a := range f.addrs {
		r = append(r, names.Answer{Addr: a, TTL: time.Minute})
	}
	if r == nil && f.err == nil {
		return nil, names.ErrNoName
	}
	return r, f.err
}
func (f *dns) LookupNames(context.Context, netip.Addr) ([]string, error) { return nil, names.ErrNoName }
func (f *dns) set(err error, addrs ...netip.Addr) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.addrs, f.err = addrs, err
}

func TestNamesInPolicies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, f, s := spd.NewMemory(spd.MemoryConfig{}), &dns{addrs: []netip.Addr{addrA}}, &store{}
		opt := Options{DataPlane: m, Store: s, Policies: named("www.example."), Resolver: f, Keep: true}
		_, stop := run(t, opt)
		remotes := func() (r []netip.Addr) {
			for _, p := range m.Policies() {
				if p.Direction == spd.Out {
					r = append(r, p.Selector.Remote.First)
				}
			}
			return r
		}
		require.Equal(t, []netip.Addr{addrA}, remotes(), "before it is ready")
		f.set(nil, addrB)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		require.Equal(t, []netip.Addr{addrB}, remotes())

		// After a restart nobody answers: the policies of the last life stay.
		require.ErrorIs(t, stop(), context.Canceled)
		require.Equal(t, []netip.Addr{addrB}, remotes())
		m.Crash()
		f.set(errors.New("no answer"))
		_, stop = run(t, opt)
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Equal(t, []netip.Addr{addrB}, remotes())
		f.set(nil, addrA)
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		require.Equal(t, []netip.Addr{addrA}, remotes())
		f.set(nil)
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		require.Empty(t, remotes(), "the name is gone")
		require.ErrorIs(t, stop(), context.Canceled)
	})
}

func TestReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, f := spd.NewMemory(spd.MemoryConfig{}), &dns{addrs: []netip.Addr{addrA}}
		d, stop := run(t, Options{DataPlane: m, Policies: named("www.example."), Resolver: f})
		c := client(t, d)
		require.ErrorContains(t, c.RegisterName(t.Context(), "www.example"), "Already Registered")
		require.ErrorContains(t, c.DeregisterName(t.Context(), "www.example"), "No such", "the configuration's stay")
		require.NoError(t, c.RegisterName(t.Context(), "other.example"))
		require.NoError(t, d.Reload(t.Context(), declared(rule("site"))))
		require.Len(t, m.Policies(), 2)
		list, err := c.RegisteredNames(t.Context())
		require.NoError(t, err)
		require.Equal(t, []string{"other.example."}, list)
		require.NoError(t, c.DeregisterName(t.Context(), "other.example"))

		bad := rule("bad")
		bad.Local = nil
		require.ErrorIs(t, d.Reload(t.Context(), declared(bad)), spd.ErrRule)
		require.Len(t, m.Policies(), 2)
		_, ok := d.policies.Rule("site")
		require.True(t, ok, "what was before holds")
		st, err := c.Stats(t.Context())
		require.NoError(t, err)
		require.Zero(t, st)
		require.NoError(t, c.Quit(t.Context()))
		require.ErrorIs(t, stop(), context.Canceled)
	})
}

// killable is what a process has, until it is killed: then it does nothing.
type killable struct {
	*spd.Memory
	*store
	killed bool
}

func (k *killable) SetPolicies(ctx context.Context, o spd.Owner, p []spd.Policy) error {
	if k.killed {
		return nil
	}
	return k.Memory.SetPolicies(ctx, o, p)
}

func (k *killable) Remove(list []spd.Policy) error {
	if k.killed {
		return nil
	}
	return k.store.Remove(list)
}

// process separates what both have of the name Remove.
type process struct {
	spd.DataPlane
	k *killable
}

func (p process) SetPolicies(ctx context.Context, o spd.Owner, l []spd.Policy) error {
	return p.k.SetPolicies(ctx, o, l)
}

func TestOrphansOfTheLastLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, s := spd.NewMemory(spd.MemoryConfig{}), &store{}
		opt := Options{DataPlane: m, Store: s, Policies: declared(rule("site"))}
		k := &killable{Memory: m, store: s}
		d, stop1 := run(t, Options{DataPlane: process{m, k}, Store: k, Policies: opt.Policies})
		c := client(t, d)
		require.NoError(t, c.AddPolicy(t.Context(), "rw", 0, netA, netB, pair))
		require.NoError(t, c.AddPolicy(t.Context(), "rw2", 0, netA, netA, pair))
		k.killed = true
		require.NoError(t, c.Close())
		require.ErrorIs(t, stop1(), context.Canceled)
		m.Crash()
		d2, stop := run(t, opt)
		require.Len(t, m.Policies(), 6)
		c2 := client(t, d2)
		require.NoError(t, c2.AddPolicy(t.Context(), "rw", 0, netA, netB, pair))
		time.Sleep(6 * time.Minute)
		synctest.Wait()
		require.Len(t, m.Policies(), 4, "one has been claimed")
		require.NoError(t, c2.Quit(t.Context()))
		require.ErrorIs(t, stop(), context.Canceled)
	})
}

func TestStartFails(t *testing.T) {
	m := spd.NewMemory(spd.MemoryConfig{})
	m.FailNext(spd.OpSetPolicies, errors.New("boom"))
	err := New(Options{DataPlane: m, Policies: declared(rule("site"))}).Run(t.Context())
	require.ErrorContains(t, err, "installing policies: boom")

	l, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	l.Close()
	err = New(Options{DataPlane: m, Policies: declared(rule("site")), Forwarder: &names.ForwarderConfig{}, Streams: []net.Listener{l}}).Run(t.Context())
	require.ErrorContains(t, err, "DNS: ")
	require.Empty(t, m.Leaks())
}
