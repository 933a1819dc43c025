package names

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func a(s string, ttl time.Duration) Answer { return Answer{addr(s), ttl} }

func newCache(cfg CacheConfig) (*Cache, *clock) {
	k := &clock{time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	cfg.Now = k.Now
	return NewCache(cfg), k
}

func TestCanonical(t *testing.T) {
	for in, want := range map[string]string{
		"WWW.Example.ORG": "www.example.org.", "www.example.org.": "www.example.org.", "": "", ".": "", "a..b": "", ".a": "", "a b": "", "a\x00": "", "caf\u00e9": "",
		strings.Repeat("a", 63) + ".b": strings.Repeat("a", 63) + ".b.", strings.Repeat("a", 64): "", strings.Repeat("a.", 128): "",
		"_kerberos.example.org": "_kerberos.example.org.",
	} {
		require.Equal(t, want, Canonical(in), "%q", in)
	}
}

func TestCacheLearnsRegisteredNames(t *testing.T) {
	var changed []string
	c, k := newCache(CacheConfig{Changed: func(n string) { changed = append(changed, n) }})
	require.False(t, c.Learn("www.example.org.", []Answer{a("192.0.2.1", time.Minute)}), "nobody wants it")
	before, err := c.Register("WWW.example.org")
	require.NoError(t, err)
	require.False(t, before)
	require.True(t, c.Learn("www.EXAMPLE.org.", []Answer{a("192.0.2.1", time.Minute), a("192.0.2.2", time.Minute), a("0.0.0.0", time.Minute), a("224.0.0.1", time.Minute)}))
	require.Equal(t, []netip.Addr{addr("192.0.2.1"), addr("192.0.2.2")}, c.Addrs("www.example.org"))
	require.Equal(t, []string{"www.example.org."}, c.Names(addr("::ffff:192.0.2.2")))

	// Only a part of the addresses in the next answer; those of the other family
	// are another question.
	require.True(t, c.Learn("www.example.org.", []Answer{a("2001:db8::1", time.Minute)}))
	k.now = k.now.Add(30 * time.Second)
	require.False(t, c.Learn("www.example.org.", []Answer{a("192.0.2.2", time.Minute)}))
	require.Len(t, c.Addrs("www.example.org"), 3)
	k.now = k.now.Add(31 * time.Second)
	require.Equal(t, []netip.Addr{addr("192.0.2.2"), addr("2001:db8::1")}, c.Addrs("www.example.org"), "its time is over, and a newer answer lacks it")
	k.now = k.now.Add(30 * time.Minute)
	require.Len(t, c.Addrs("www.example.org"), 2, "stale, but nobody knows better")
	require.Equal(t, k.now.Add(29*time.Minute+59*time.Second), c.Expire())
	require.Equal(t, CacheStats{Addrs: 2, Registered: 1, Names: 1, Mappings: 2}, c.Stats())
	k.now = k.now.Add(2 * time.Hour)
	require.True(t, c.Expire().IsZero())
	require.Empty(t, c.Names(addr("192.0.2.2")))
	require.Equal(t, []string{"www.example.org.", "www.example.org.", "www.example.org.", "www.example.org."}, changed)
	require.NoError(t, c.Deregister("www.example.org"))
	require.ErrorIs(t, c.Deregister("www.example.org"), ErrNotRegistered)
	require.Equal(t, CacheStats{}, c.Stats())
}

func TestCacheLatestNameFirst(t *testing.T) {
	c, _ := newCache(CacheConfig{LearnAll: true})
	for _, n := range []string{"a.example.", "b.example.", "a.example."} {
		c.Learn(n, []Answer{a("192.0.2.1", time.Minute)})
	}
	require.Equal(t, []string{"a.example.", "b.example."}, c.Names(addr("192.0.2.1")))
}

// C27: whatever the DNS says, memory is bounded.
func TestC27_CacheIsBounded(t *testing.T) {
	c, _ := newCache(CacheConfig{LearnAll: true, MaxNames: 100, MaxAddrs: 4})
	_, err := c.Register("kept.example")
	require.NoError(t, err)
	for i := range 10_000 {
		var many []Answer
		for j := range 50 {
			many = append(many, Answer{netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), byte(j + 1)}), time.Duration(1<<63 - 1)})
		}
		c.Learn(fmt.Sprintf("n%d.example", i), many)
		if i == 0 {
			c.Learn("kept.example", many)
		}
		if i%50 == 0 {
			require.Len(t, c.Addrs("n0.example"), 4, "in use, so it stays")
		}
	}
	st := c.Stats()
	require.Equal(t, 100, st.Names)
	require.LessOrEqual(t, st.Mappings, 400)
	require.LessOrEqual(t, st.Addrs, 400)
	require.Len(t, c.Addrs("kept.example"), 4)
	for i := range 99 {
		_, err := c.Register(fmt.Sprintf("r%d.example", i))
		require.NoError(t, err)
	}
	_, err = c.Register("one.more.example")
	require.ErrorIs(t, err, ErrFull)
	_, err = c.Register("not a name")
	require.ErrorIs(t, err, ErrName)
}

// fakeDNS is a resolver.
type fakeDNS struct {
	mu    sync.Mutex
	addrs map[string][]Answer
	ptr   map[netip.Addr][]string
	err   error
	asked []time.Time
}

func (f *fakeDNS) LookupAddrs(_ context.Context, name string) ([]Answer, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, time.Now())
	if f.err != nil {
		return nil, f.err
	}
	if r := f.addrs[name]; r != nil {
		return r, nil
	}
	return nil, ErrNoName
}

func (f *fakeDNS) LookupNames(_ context.Context, a netip.Addr) ([]string, error) {
	if r := f.ptr[a]; r != nil {
		return r, f.err
	}
	return nil, ErrNoName
}

func (f *fakeDNS) times() []time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.asked)
}

func (f *fakeDNS) set(name string, answers ...Answer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.addrs[name] = answers
}

func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewCache(CacheConfig{})
		dns := &fakeDNS{addrs: map[string][]Answer{"www.example.": {a("192.0.2.1", 100*time.Second)}}}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- c.Follow(ctx, dns) }()
		synctest.Wait()
		_, err := c.Register("www.example")
		require.NoError(t, err)
		synctest.Wait()
		require.Equal(t, []netip.Addr{addr("192.0.2.1")}, c.Addrs("www.example"), "at once")
		began := time.Now()
		time.Sleep(89 * time.Second)
		synctest.Wait()
		require.Len(t, dns.times(), 1)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		require.Len(t, dns.times(), 2, "before its time is over")
		require.Equal(t, 90*time.Second, dns.times()[1].Sub(began))

		dns.set("www.example.", a("192.0.2.2", 100*time.Second))
		time.Sleep(200 * time.Second)
		synctest.Wait()
		require.Equal(t, []netip.Addr{addr("192.0.2.2")}, c.Addrs("www.example"), "the old one's time is over")

		dns.mu.Lock()
		dns.err = errors.New("no answer")
		asked := len(dns.asked)
		dns.mu.Unlock()
		time.Sleep(30 * time.Minute)
		synctest.Wait()
		require.Len(t, c.Addrs("www.example"), 1, "while nobody knows it stays")
		require.Less(t, len(dns.times())-asked, 15, "ever more seldom")
		dns.mu.Lock()
		dns.err = nil
		delete(dns.addrs, "www.example.")
		dns.mu.Unlock()
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		require.Empty(t, c.Addrs("www.example"), "the name is gone")
		cancel()
		require.ErrorIs(t, <-done, context.Canceled)
	})
}

// What an address says its name is counts only if the name agrees.
func TestDirectoryConfirmsNames(t *testing.T) {
	dns := &fakeDNS{addrs: map[string][]Answer{"real.example.": {a("192.0.2.1", time.Minute)}, "victim.example.": {a("198.51.100.1", time.Minute)}},
		ptr: map[netip.Addr][]string{addr("192.0.2.1"): {"victim.example.", "Real.example.", "no such.example.", "gone.example."}}}
	c, _ := newCache(CacheConfig{})
	d := Directory{c, dns}
	names, err := d.Names(t.Context(), addr("::ffff:192.0.2.1"))
	require.NoError(t, err)
	require.Equal(t, []string{"real.example."}, names)
	_, err = d.Names(t.Context(), addr("192.0.2.9"))
	require.ErrorIs(t, err, ErrNoName)
	dns.ptr[addr("192.0.2.9")] = slices.Repeat([]string{"victim.example."}, 1000)
	dns.asked = nil
	_, err = d.Names(t.Context(), addr("192.0.2.9"))
	require.ErrorIs(t, err, ErrNoName)
	require.LessOrEqual(t, len(dns.asked), maxClaims)

	addrs, err := d.Addrs(t.Context(), "real.example")
	require.NoError(t, err)
	require.Equal(t, []netip.Addr{addr("192.0.2.1")}, addrs)
	_, err = d.Addrs(t.Context(), "not a name")
	require.ErrorIs(t, err, ErrName)
	_, err = Directory{Cache: c}.Addrs(t.Context(), "real.example")
	require.ErrorIs(t, err, ErrNoName)
}

func TestHosts(t *testing.T) {
	h, err := ParseHosts(strings.NewReader("# x\n127.0.0.1 localhost\n192.0.2.1\tWWW.example.org www # c\n::1 localhost\nfe80::1%lo x\nnonsense\n1.2.3 y\n"))
	require.NoError(t, err)
	answers, err := h.LookupAddrs(t.Context(), "www.example.ORG")
	require.NoError(t, err)
	require.Equal(t, addr("192.0.2.1"), answers[0].Addr)
	names, err := h.LookupNames(t.Context(), addr("192.0.2.1"))
	require.NoError(t, err)
	require.Equal(t, []string{"www.", "www.example.org."}, names)
	answers, err = h.LookupAddrs(t.Context(), "localhost")
	require.NoError(t, err)
	require.Len(t, answers, 2)
	_, err = ParseHosts(strings.NewReader(strings.Repeat("x", 10_000)))
	require.Error(t, err)

	broken := &fakeDNS{err: errors.New("no answer")}
	f := First{h, broken}
	answers, err = f.LookupAddrs(t.Context(), "www.")
	require.NoError(t, err)
	require.Len(t, answers, 1)
	_, err = f.LookupAddrs(t.Context(), "other.")
	require.ErrorContains(t, err, "no answer", "that is not to say that there is no such name")
	_, err = First{h, &fakeDNS{}}.LookupAddrs(t.Context(), "other.")
	require.ErrorIs(t, err, ErrNoName)
}
