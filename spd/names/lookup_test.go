package names

import (
	"context"
	"net"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

// A Directory is asked as a net.Resolver is, in both directions.
func TestDirectoryLikeNetResolver(t *testing.T) {
	v4, v6 := netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("2001:db8::7")
	h := Hosts{}
	h.Add("Host.Example.ORG", v4)
	h.Add("host.example.org", v6)
	d := Directory{Cache: NewCache(CacheConfig{}), Resolver: h}
	ctx := t.Context()
	for network, want := range map[string][]netip.Addr{"ip": {v4, v6}, "ip4": {v4}, "ip6": {v6}} {
		got, err := d.LookupNetIP(ctx, network, "host.example.org")
		require.NoError(t, err)
		require.ElementsMatch(t, want, got)
	}
	got, err := d.LookupNetIP(ctx, "ip", "::ffff:192.0.2.1")
	require.NoError(t, err)
	require.Equal(t, []netip.Addr{netip.MustParseAddr("192.0.2.1")}, got)
	_, err = d.LookupNetIP(ctx, "ip6", "192.0.2.1")
	require.ErrorIs(t, err, ErrNoName)
	_, err = d.LookupNetIP(ctx, "ip", "nobody.example.org")
	require.ErrorIs(t, err, ErrNoName)

	list, err := d.LookupAddr(ctx, "192.0.2.7")
	require.NoError(t, err)
	require.Equal(t, []string{"host.example.org."}, list)
	_, err = d.LookupAddr(ctx, "192.0.2.8")
	require.ErrorIs(t, err, ErrNoName)
	_, err = d.LookupAddr(ctx, "host")
	require.Error(t, err)

	type resolver interface {
		LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
		LookupAddr(ctx context.Context, addr string) ([]string, error)
	}
	var _, _ resolver = d, net.DefaultResolver
}
