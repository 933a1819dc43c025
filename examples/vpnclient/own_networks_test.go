package main

import (
	"net/netip"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/spd"
)

var own = []ownNetwork{
	{"lo", netip.MustParsePrefix("127.0.0.0/8")},
	{"eth0", netip.MustParsePrefix("192.168.1.0/24")},
	{"eth0", netip.MustParsePrefix("2001:db8:1::/64")},
}

func selector(s string) spd.TrafficSelector { return spd.FromPrefix(netip.MustParsePrefix(s)) }

// A hostile gateway cannot have this host stand for its router, its resolver or
// the gateway.
func TestCheckAddress(t *testing.T) {
	server := netip.MustParseAddr("203.0.113.1")
	for _, bad := range []string{"192.168.1.1", "192.168.1.17", "127.0.0.1", "2001:db8:1::1", "203.0.113.1"} {
		require.ErrorContains(t, checkAddress(netip.MustParseAddr(bad), server, own), "the gateway gives "+bad, bad)
	}
	for _, good := range []string{"10.3.0.1", "192.168.2.1", "2001:db8:2::1"} {
		require.NoError(t, checkAddress(netip.MustParseAddr(good), server, own))
	}
}

// It cannot draw the traffic of this host's own networks into the tunnel, nor
// fill the routing table.
func TestRoutesFor(t *testing.T) {
	everything := []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
	routes, refused, err := routesFor([]spd.TrafficSelector{selector("0.0.0.0/0"), selector("192.168.1.1/32"), selector("192.168.1.0/24"),
		selector("10.0.0.0/8"), selector("10.0.0.0/8"), selector("2001:db8:1::/64")}, everything, own)
	require.NoError(t, err)
	require.Equal(t, []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("10.0.0.0/8")}, routes)
	require.Len(t, refused, 3)

	routes, refused, err = routesFor([]spd.TrafficSelector{selector("192.168.1.128/25")}, []netip.Prefix{netip.MustParsePrefix("192.168.0.0/16")}, own)
	require.NoError(t, err)
	require.Empty(t, refused, "asked for by name")
	require.Len(t, routes, 1)

	var many []spd.TrafficSelector
	for i := range 200 { // 200 ranges of 254 prefixes each
		odd := spd.AnyIPv6
		odd.First, odd.Last = netip.AddrFrom16([16]byte{15: byte(i + 1)}), netip.AddrFrom16([16]byte{0: 255, 15: byte(i + 1)})
		many = append(many, odd)
	}
	_, _, err = routesFor(many, everything, own)
	require.ErrorContains(t, err, "more than 256 routes")
}

// Of everything that was negotiated the client keeps to what the gateway names,
// and to what it has negotiated.
func TestSplitInclude(t *testing.T) {
	everything := []spd.TrafficSelector{spd.AnyIPv4, spd.AnyIPv6}
	require.Equal(t, everything, splitInclude(everything, nil))
	require.Equal(t, []spd.TrafficSelector{spd.AnyIPv6, selector("10.1.0.0/16"), selector("10.20.0.0/16")},
		splitInclude(everything, []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("10.20.0.0/16")}))
	require.Empty(t, splitInclude([]spd.TrafficSelector{selector("10.1.0.0/16")}, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}))
}

func TestOwnNetworks(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the program is for Linux, which calls its loopback device lo")
	}
	all, err := ownNetworks("none")
	require.NoError(t, err)
	require.Contains(t, all, own[0])
	without, err := ownNetworks("lo")
	require.NoError(t, err)
	require.NotContains(t, without, own[0])
}
