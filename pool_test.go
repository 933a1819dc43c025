package racoon

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/pool"
)

func addrs(ss ...string) (out []netip.Addr) {
	for _, s := range ss {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

func assigned(t *testing.T, p *Pool, r ike.AddressRequest) (out []string, cfg *ike.NetworkConfig) {
	t.Helper()
	cfg, err := p.Assign(context.Background(), r)
	require.NoError(t, err)
	for _, n := range cfg.Addresses {
		out = append(out, n.Addr().String())
	}
	return out, cfg
}

func TestPoolOfUsers(t *testing.T) {
	p, err := NewPool(PoolConfig{
		Addresses: []string{"10.99.0.0/29"}, Exclude: []string{"10.99.0.1"}, Static: map[string][]string{"alice": {"10.99.0.6"}},
		DNS: addrs("10.1.0.53"), Options: ike.NetworkConfig{DNS: addrs("192.0.2.53"), Banner: "welcome", SavePassword: true, Expiry: time.Hour},
	})
	require.NoError(t, err)
	group := ike.Identity{Type: ike.IDKeyID, Data: "sales"} // that all the users share
	ask := func(session ike.SessionID, user string, fixed ...string) ike.AddressRequest {
		return ike.AddressRequest{Session: session, RemoteID: group, User: user, IPv4: true, IPv6: true, Fixed: addrs(fixed...)}
	}
	got, cfg := assigned(t, p, ask(1, "alice"))
	require.Equal(t, []string{"10.99.0.6"}, got, "a static address of a user")
	require.Equal(t, &ike.NetworkConfig{Addresses: cfg.Addresses, DNS: addrs("10.1.0.53"), Banner: "welcome", SavePassword: true, Expiry: time.Hour}, cfg)

	got, bob := assigned(t, p, ask(2, "bob"))
	require.Equal(t, []string{"10.99.0.2"}, got)
	again, _ := assigned(t, p, ask(2, "bob"))
	require.Equal(t, got, again, "a session that asks again keeps what it has")
	require.Equal(t, 2, p.Stats().Leased)
	p.Release(context.Background(), ask(2, "bob"), bob)
	p.Release(context.Background(), ask(2, "bob"), bob)
	require.Equal(t, 1, p.Stats().Leased, "and one release ends it")

	// What the authentication says: in the pool, outside, and of a family that
	// the pool does not have.
	got, carol := assigned(t, p, ask(3, "carol", "172.16.0.9", "2001:db8::9"))
	require.Equal(t, []string{"172.16.0.9", "2001:db8::9"}, got)
	got, _ = assigned(t, p, ask(4, "dave", "::ffff:10.99.0.3"))
	require.Equal(t, []string{"10.99.0.3"}, got)
	got, _ = assigned(t, p, ask(5, "erin"))
	require.NotContains(t, got, "10.99.0.3")

	before := p.Stats().Leased
	for _, fixed := range [][]string{{"172.16.0.9"}, {"10.99.0.6"}, {"10.99.0.1"}, {"172.16.0.10", "2001:db8::9"}} {
		_, err = p.Assign(context.Background(), ask(6, "mallory", fixed...))
		require.ErrorIs(t, err, pool.ErrTaken, fixed)
	}
	require.Equal(t, before, p.Stats().Leased, "a request that fails leaves nothing")
	p.Release(context.Background(), ask(3, "carol"), carol)
	got, _ = assigned(t, p, ask(6, "mallory", "172.16.0.9"))
	require.Equal(t, []string{"172.16.0.9"}, got)

	// Another user in the same session (XAuth again, after a timeout).
	got, _ = assigned(t, p, ask(6, "frank"))
	require.NotEqual(t, []string{"172.16.0.9"}, got)
	require.Equal(t, before-1, p.Stats().Leased)

	_, err = NewPool(PoolConfig{Addresses: []string{"10.99.0.0/29"}, Options: ike.NetworkConfig{Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/32")}}})
	require.ErrorIs(t, err, ErrConfig)
	require.ErrorContains(t, err, "PoolConfig.Options.Addresses")
	_, err = p.Assign(context.Background(), ike.AddressRequest{Session: 9, RemoteID: group, IPv6: true})
	require.ErrorContains(t, err, "no addresses of the families")
}
