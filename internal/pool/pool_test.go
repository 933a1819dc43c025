package pool

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var (
	now = time.Unix(1_000_000, 0)
	no  netip.Addr
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func ranges(t testing.TB, ss ...string) (r []Range) {
	for _, s := range ss {
		x, err := ParseRange(s)
		require.NoError(t, err)
		r = append(r, x)
	}
	return r
}

func newPool(t testing.TB, cfg Config, ss ...string) *Pool {
	cfg.Ranges = ranges(t, ss...)
	p, err := New(cfg)
	require.NoError(t, err)
	return p
}

func lease(t testing.TB, p *Pool, id string) Lease {
	t.Helper()
	l, err := p.Lease(id, no, now)
	require.NoError(t, err)
	return l
}

func TestSticky(t *testing.T) {
	p := newPool(t, Config{}, "10.0.0.0/29")
	a, b := lease(t, p, "alice"), lease(t, p, "bob")
	require.Equal(t, addr("10.0.0.1"), a.Addr)
	require.Equal(t, addr("10.0.0.2"), b.Addr)
	a2 := lease(t, p, "alice")
	require.Equal(t, addr("10.0.0.3"), a2.Addr, "a second device of the same identity")
	require.NoError(t, p.Release(a, now))
	require.ErrorIs(t, p.Release(a, now), ErrNotLeased)
	require.Equal(t, addr("10.0.0.4"), lease(t, p, "carol").Addr, "not alice's, while there are others")
	require.Equal(t, a.Addr, lease(t, p, "alice").Addr, "alice has it again")
	require.Equal(t, Stats{Size: 6, Online: 4}, p.Stats())
}

func TestReauthenticationKeepsTheAddress(t *testing.T) {
	p := newPool(t, Config{}, "10.0.0.0/29")
	old := lease(t, p, "alice")
	next, err := p.Lease("alice", old.Addr, now)
	require.NoError(t, err)
	require.Equal(t, old.Addr, next.Addr)
	require.NoError(t, p.Release(old, now))
	require.ErrorIs(t, p.Release(old, now), ErrNotLeased, "the old session cannot release it twice")
	require.Equal(t, 1, p.Stats().Online)
	require.NoError(t, p.Release(next, now))
	require.Equal(t, Stats{Size: 6, Offline: 1}, p.Stats())
}

// C15: what clients ask for and cannot have.
func TestC15_RequestedAddress(t *testing.T) {
	p := newPool(t, Config{Exclude: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/32")}, Static: map[string]netip.Addr{"srv": addr("10.0.0.9"), "far": addr("172.16.0.1")}, Keep: time.Hour}, "10.0.0.0/28")
	taken := lease(t, p, "bob")
	reserved := lease(t, p, "carol")
	require.NoError(t, p.Release(reserved, now))
	for _, want := range []netip.Addr{
		addr("10.0.0.1"), taken.Addr, reserved.Addr, addr("10.0.0.9"), addr("172.16.0.1"), addr("10.0.0.0"), addr("10.0.0.15"),
		addr("8.8.8.8"), addr("0.0.0.0"), addr("255.255.255.255"), addr("::1"), addr("::"), addr("::ffff:10.0.0.5"), no,
	} {
		l, err := p.Lease("mallory", want, now)
		require.NoError(t, err)
		require.NotEqual(t, want, l.Addr)
		require.True(t, p.dynamic(l.Addr))
		require.NoError(t, p.Release(l, now))
	}
	l, err := p.Lease("dave", addr("10.0.0.14"), now)
	require.NoError(t, err)
	require.Equal(t, addr("10.0.0.14"), l.Addr, "a free one it gets")
	l, err = p.Lease("eve", reserved.Addr, now.Add(time.Hour))
	require.NoError(t, err)
	require.Equal(t, reserved.Addr, l.Addr, "and one whose reservation is over")
	for id, want := range map[string]string{"srv": "10.0.0.9", "far": "172.16.0.1"} {
		l, err := p.Lease(id, addr("10.0.0.5"), now)
		require.NoError(t, err)
		require.Equal(t, addr(want), l.Addr)
	}
	_, err = p.Lease("", no, now)
	require.ErrorIs(t, err, ErrNoIdentity)
}

// C15: a pool of one address, and those at the ends of the address space.
func TestC15_TinyPools(t *testing.T) {
	for in, want := range map[string][]string{
		"10.0.0.7/32":                     {"10.0.0.7"},
		"10.0.0.6/31":                     {"10.0.0.6", "10.0.0.7"},
		"10.0.0.4/30":                     {"10.0.0.5", "10.0.0.6"},
		"0.0.0.0/32":                      {"0.0.0.0"},
		"255.255.255.255/32":              {"255.255.255.255"},
		"255.255.255.254-255.255.255.255": {"255.255.255.254", "255.255.255.255"},
		"2001:db8::1/128":                 {"2001:db8::1"},
		"2001:db8::/127":                  {"2001:db8::", "2001:db8::1"},
		"2001:db8::/126":                  {"2001:db8::1", "2001:db8::2", "2001:db8::3"},
		"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128": {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
		"10.0.0.9":          {"10.0.0.9"},
		"10.0.0.0-10.0.0.1": {"10.0.0.0", "10.0.0.1"},
	} {
		p := newPool(t, Config{}, in)
		require.Equal(t, uint64(len(want)), p.Stats().Size, in)
		var held []Lease
		for i, w := range want {
			l := lease(t, p, fmt.Sprint(i))
			require.Equal(t, addr(w), l.Addr, in)
			held = append(held, l)
		}
		for range 3 {
			_, err := p.Lease("one too many", no, now)
			require.ErrorIs(t, err, ErrExhausted, in)
			_, err = p.Lease("one too many", addr(want[0]), now)
			require.ErrorIs(t, err, ErrExhausted, in)
		}
		require.NoError(t, p.Release(held[0], now))
		require.Equal(t, addr(want[0]), lease(t, p, "one too many").Addr)
	}
	huge := newPool(t, Config{}, "::/0")
	require.Equal(t, uint64(1<<64-1), huge.Stats().Size)
	require.Equal(t, uint64(1<<32-2), newPool(t, Config{}, "0.0.0.0/0").Stats().Size)
	require.Equal(t, uint64(1<<64-1), newPool(t, Config{}, "2001:db8::/64").Stats().Size)
}

func TestExhaustionTakesTheOldest(t *testing.T) {
	p := newPool(t, Config{Keep: time.Hour}, "10.0.0.0/30")
	a, b := lease(t, p, "a"), lease(t, p, "b")
	require.NoError(t, p.Release(b, now))
	require.NoError(t, p.Release(a, now.Add(time.Minute)))
	_, err := p.Lease("c", no, now.Add(time.Hour-1))
	require.ErrorIs(t, err, ErrExhausted, "both are reserved")
	c, err := p.Lease("c", no, now.Add(time.Hour))
	require.NoError(t, err)
	require.Equal(t, b.Addr, c.Addr)
	_, err = p.Lease("b", no, now.Add(time.Hour))
	require.ErrorIs(t, err, ErrExhausted)
	again, err := p.Lease("a", no, now.Add(24*time.Hour))
	require.NoError(t, err)
	require.Equal(t, a.Addr, again.Addr)

	// A clock that goes back does not block a pool without reservations.
	q := newPool(t, Config{}, "10.0.0.1")
	x := lease(t, q, "x")
	require.NoError(t, q.Release(x, now))
	_, err = q.Lease("y", no, now.Add(-time.Hour))
	require.NoError(t, err)
}

func TestConfigErrors(t *testing.T) {
	for want, cfg := range map[string]Config{
		"no address is left": {},
		"another family":     {Ranges: ranges(t, "10.0.0.0/24", "2001:db8::/64")},
		"is not a range":     {Ranges: []Range{{addr("10.0.0.9"), addr("10.0.0.1")}}},
		"IPv4-mapped":        {Ranges: []Range{{addr("::ffff:10.0.0.1"), addr("::ffff:10.0.0.9")}}},
		"invalid prefix":     {Ranges: ranges(t, "10.0.0.0/24"), Exclude: make([]netip.Prefix, 1)},
		"is excluded":        {Ranges: ranges(t, "10.0.0.0/24"), Exclude: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/28")}, Static: map[string]netip.Addr{"a": addr("10.0.0.3")}},
		`"a" and to "b"`:     {Ranges: ranges(t, "10.0.0.0/24"), Static: map[string]netip.Addr{"a": addr("10.0.0.3"), "b": addr("10.0.0.3")}},
		"of another family":  {Ranges: ranges(t, "10.0.0.0/24"), Static: map[string]netip.Addr{"a": addr("::3")}},
		"is not an IPv4":     {Static: map[string]netip.Addr{"a": {}}},
		"version 2":          {Ranges: ranges(t, "10.0.0.0/24"), Restore: &State{Version: 2}},
	} {
		_, err := New(cfg)
		require.ErrorContains(t, err, want)
	}
	for _, s := range []string{"", "x", "10.0.0.0/33", "10.0.0.1/24", "10.0.0.9-10.0.0.1", "10.0.0.1-::1", "fe80::1%eth0", "::ffff:1.2.3.4"} {
		_, err := ParseRange(s)
		require.Error(t, err, s)
	}
}

func TestExclude(t *testing.T) {
	p := newPool(t, Config{Exclude: []netip.Prefix{netip.MustParsePrefix("10.0.0.3/32"), netip.MustParsePrefix("10.0.0.4/31"), netip.MustParsePrefix("::/0"), netip.MustParsePrefix("10.0.0.14/31")}}, "10.0.0.0/29", "10.0.0.4/30", "10.0.0.10-10.0.0.15")
	var got []string
	for i := range 7 {
		got = append(got, lease(t, p, fmt.Sprint(i)).Addr.String())
	}
	require.Equal(t, []string{"10.0.0.1", "10.0.0.2", "10.0.0.6", "10.0.0.10", "10.0.0.11", "10.0.0.12", "10.0.0.13"}, got)
	require.True(t, p.Contains(addr("10.0.0.6")))
	require.False(t, p.Contains(addr("10.0.0.3")))
}

func TestExportRestore(t *testing.T) {
	static := map[string]netip.Addr{"srv": addr("10.0.0.9")}
	p := newPool(t, Config{Static: static, Keep: time.Hour}, "10.0.0.0/24")
	held := map[string]netip.Addr{}
	for _, id := range []string{"a", "b", "c", "srv"} {
		l := lease(t, p, id)
		held[id] = l.Addr
		if id == "b" {
			require.NoError(t, p.Release(l, now.Add(-time.Minute)))
		}
	}
	b, err := json.Marshal(p.Export(now))
	require.NoError(t, err)
	var s State
	require.NoError(t, json.Unmarshal(b, &s))
	require.Len(t, s.Leases, 4)
	require.Equal(t, "b", s.Leases[0].Identity)
	s.Leases = append(s.Leases, LeaseState{"gone", addr("192.0.2.1"), now}, LeaseState{"x", addr("10.0.0.9"), now}, LeaseState{"dup", held["a"], now}, LeaseState{})

	q := newPool(t, Config{Static: static, Keep: time.Hour, Restore: &s}, "10.0.0.0/24")
	require.Equal(t, 4, q.Stats().Offline)
	require.Equal(t, addr("10.0.0.4"), lease(t, q, "new").Addr, "the restored ones are reserved")
	for id, a := range held {
		require.Equal(t, a, lease(t, q, id).Addr, id)
	}
}

// No two identities hold one address, whatever happens, and what is remembered
// stays within its bounds.
func TestRandomUse(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 1))
		p := newPool(t, Config{MaxOffline: 5, Keep: time.Duration(r.IntN(2)) * time.Minute, Static: map[string]netip.Addr{"id3": addr("10.0.0.3")}}, "10.0.0.0/27")
		at := now
		var held []Lease
		for range 2000 {
			at = at.Add(time.Duration(r.IntN(20)) * time.Second)
			if r.IntN(2) == 0 {
				id, want := fmt.Sprintf("id%d", r.IntN(60)), no
				if r.IntN(2) == 0 {
					want = netip.AddrFrom4([4]byte{10, 0, 0, byte(r.IntN(40))})
				}
				l, err := p.Lease(id, want, at)
				if err != nil {
					require.ErrorIs(t, err, ErrExhausted)
					continue
				}
				for _, h := range held {
					require.True(t, h.Addr != l.Addr || h.Identity == id, "%v and %v", h, l)
				}
				require.True(t, p.Contains(l.Addr))
				held = append(held, l)
			} else if len(held) > 0 {
				i := r.IntN(len(held))
				require.NoError(t, p.Release(held[i], at))
				held = append(held[:i], held[i+1:]...)
			}
			require.LessOrEqual(t, p.offline.len, 5)
			require.LessOrEqual(t, len(p.free), 30)
			require.Len(t, p.isFree, len(p.free))
			addrs := map[netip.Addr]bool{}
			for _, h := range held {
				addrs[h.Addr] = true
			}
			require.Equal(t, len(addrs), p.online)
			require.Len(t, p.byAddr, p.online+p.offline.len)
		}
		for _, l := range held {
			require.NoError(t, p.Release(l, at))
		}
		chained := 0
		for id, e := range p.byIdentity {
			for ; e != nil; e = e.sibling {
				require.Equal(t, id, e.identity)
				chained++
			}
		}
		require.Equal(t, p.offline.len, chained)
		if p.cfg.Keep == 0 {
			n := 0
			for i := range 40 {
				if _, err := p.Lease(fmt.Sprintf("last%d", i), no, at); err == nil {
					n++
				}
			}
			require.Equal(t, 29, n, "all but the static address and the two ends: nothing leaked")
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	p := newPool(t, Config{}, "10.0.0.0/24")
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 200 {
				l, err := p.Lease(fmt.Sprintf("%d/%d", g, i%20), no, now)
				if err == nil {
					p.Stats()
					_ = p.Release(l, now)
				}
			}
		})
	}
	wg.Wait()
	require.Zero(t, p.Stats().Online)
}

func BenchmarkLeaseRelease(b *testing.B) {
	for _, n := range []int{1000, 100_000} {
		p := newPool(b, Config{MaxOffline: 1 << 20}, "10.0.0.0/8")
		ids := make([]string, n)
		for i := range ids {
			ids[i] = fmt.Sprintf("user%d@example.org", i)
			lease(b, p, ids[i])
		}
		b.Run(fmt.Sprintf("%d-held", n), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				l, _ := p.Lease(ids[i%n], no, now)
				_ = p.Release(l, now)
			}
		})
	}
}

func BenchmarkLease100k(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		p := newPool(b, Config{}, "10.0.0.0/8")
		for range 100_000 {
			if _, err := p.Lease("one identity", no, now); err != nil {
				b.Fatal(err)
			}
		}
	}
}
