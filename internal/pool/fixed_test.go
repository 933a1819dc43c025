package pool

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func fixed(t testing.TB, p *Pool, id, a string) Lease {
	t.Helper()
	l, err := p.LeaseFixed(id, addr(a), now)
	require.NoError(t, err)
	require.Equal(t, addr(a), l.Addr)
	return l
}

func TestFixedAddresses(t *testing.T) {
	p := newPool(t, Config{Keep: time.Hour, Exclude: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/32"), netip.MustParsePrefix("192.168.0.0/16")},
		Static: map[string]netip.Addr{"srv": addr("10.0.0.5")}}, "10.0.0.0/29")
	inside := fixed(t, p, "alice", "10.0.0.2")
	require.Equal(t, addr("10.0.0.3"), lease(t, p, "bob").Addr, "what alice has is passed over")
	outside := fixed(t, p, "carol", "172.16.0.9")
	again := fixed(t, p, "alice", "10.0.0.2") // a second session, or a reauthentication
	require.Equal(t, Stats{Size: 4, Static: 1, Online: 3}, p.Stats())

	for a, want := range map[string]string{
		"10.0.0.2": `leased to "alice"`, "10.0.0.3": `leased to "bob"`, "172.16.0.9": `leased to "carol"`, "10.0.0.5": `belongs to "srv"`,
		"10.0.0.1": "is excluded", "192.168.7.7": "is excluded", "2001:db8::1": "no address for this pool", "0.0.0.0": "no address", "224.0.0.1": "no address", "::ffff:10.0.0.4": "no address",
	} {
		_, err := p.LeaseFixed("mallory", addr(a), now)
		require.ErrorIs(t, err, ErrTaken, a)
		require.ErrorContains(t, err, want, a)
	}
	_, err := p.LeaseFixed("mallory", no, now)
	require.ErrorIs(t, err, ErrTaken)
	_, err = p.LeaseFixed("", addr("10.0.0.4"), now)
	require.ErrorIs(t, err, ErrNoIdentity)
	fixed(t, p, "srv", "10.0.0.5")

	require.NoError(t, p.Release(inside, now))
	_, err = p.LeaseFixed("dave", addr("10.0.0.2"), now)
	require.ErrorIs(t, err, ErrTaken, "the second session still holds it")
	require.NoError(t, p.Release(again, now))
	l, err := p.Lease("eve", addr("10.0.0.2"), now)
	require.NoError(t, err)
	require.NotEqual(t, addr("10.0.0.2"), l.Addr, "reserved for alice")
	fixed(t, p, "dave", "10.0.0.2") // the user data says so
	require.NoError(t, p.Release(outside, now))
	l, err = p.Lease("eve", addr("172.16.0.9"), now)
	require.NoError(t, err)
	require.NotEqual(t, addr("172.16.0.9"), l.Addr, "an address outside is leased to nobody who just asks")
}

func TestFixedOnly(t *testing.T) {
	p, err := New(Config{FixedOnly: true})
	require.NoError(t, err)
	_, err = p.Lease("alice", no, now)
	require.ErrorIs(t, err, ErrExhausted)
	l := fixed(t, p, "alice", "2001:db8::7")
	_, err = p.LeaseFixed("bob", addr("2001:db8::7"), now)
	require.ErrorIs(t, err, ErrTaken)
	require.NoError(t, p.Release(l, now))
	fixed(t, p, "bob", "2001:db8::7")
}

// Fixed and other leases mixed: no two identities hold one address, and nothing
// leaks.
func TestRandomUseWithFixed(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 2))
		p := newPool(t, Config{MaxOffline: 5, Keep: time.Duration(r.IntN(2)) * time.Minute}, "10.0.0.0/28")
		at := now
		var held []Lease
		for range 1000 {
			at = at.Add(time.Duration(r.IntN(20)) * time.Second)
			id := fmt.Sprintf("id%d", r.IntN(20))
			var l Lease
			var err error
			switch r.IntN(4) {
			case 0:
				l, err = p.LeaseFixed(id, netip.AddrFrom4([4]byte{10, 0, 0, byte(1 + r.IntN(30))}), at)
			case 1:
				l, err = p.Lease(id, no, at)
			default:
				if len(held) > 0 {
					i := r.IntN(len(held))
					require.NoError(t, p.Release(held[i], at))
					held = append(held[:i], held[i+1:]...)
				}
				continue
			}
			if err != nil {
				continue
			}
			for _, h := range held {
				require.True(t, h.Addr != l.Addr || h.Identity == id, "seed %d: %v and %v", seed, h, l)
			}
			held = append(held, l)
			require.LessOrEqual(t, p.offline.len, 5)
			require.Len(t, p.byAddr, p.online+p.offline.len)
			require.Len(t, p.isFree, len(p.free))
		}
		for _, l := range held {
			require.NoError(t, p.Release(l, at))
		}
		got := map[netip.Addr]bool{}
		for i := range 40 {
			if l, err := p.Lease(fmt.Sprintf("last%d", i), no, at.Add(time.Hour)); err == nil {
				got[l.Addr] = true
			}
		}
		require.Len(t, got, 14, "seed %d: all of the ranges can be leased again", seed)
	}
}
