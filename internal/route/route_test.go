//go:build linux

package route_test

import (
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/internal/lab"
	"github.com/racoon3/racoon/internal/route"
)

// state is all that this package can change, as the ip program sees it.
func state(t *testing.T, ns *lab.Namespace) string {
	t.Helper()
	var b strings.Builder
	for _, args := range [][]string{{"-br", "addr"}, {"route", "show", "table", "all"}, {"-6", "route", "show", "table", "all"}, {"rule"}, {"-6", "rule"}} {
		b.WriteString(ns.Run("ip", args...))
	}
	return b.String()
}

func newChanges(t *testing.T, ns *lab.Namespace) (c *route.Changes) {
	t.Helper()
	var err error
	ns.Do(func() { c, err = route.New() })
	require.NoError(t, err)
	return c
}

func TestUndo(t *testing.T) {
	lab.Require(t, lab.Root)
	a, b := lab.NewPair(t)
	a.IP("link add d0 type veth peer name d1", "link set d1 up", "link set d0 up", "route add default via "+b.Outer.String())
	a.MustPing(a.Outer, b.Outer)
	before := state(t, a.Namespace)
	c := newChanges(t, a.Namespace)
	a.Do(func() {
		require.NoError(t, c.SetUp("d0", 1400))
		require.NoError(t, c.AddAddress("d0", netip.MustParsePrefix("10.50.0.1/32")))
		require.NoError(t, c.AddAddress("d0", netip.MustParsePrefix("10.50.0.1/32")), "again")
		require.NoError(t, c.AddAddress("d0", netip.MustParsePrefix("fd50::1/128")))
		require.NoError(t, c.AddAddress("d0", netip.MustParsePrefix("10.50.0.2/32")))
		require.NoError(t, c.RemoveAddress("d0", netip.MustParsePrefix("10.50.0.2/32")))
		r := route.Route{Dst: netip.MustParsePrefix("10.60.0.0/16"), Link: "d0", Src: netip.MustParseAddr("10.50.0.1")}
		require.NoError(t, c.AddRoute(r))
		require.ErrorIs(t, c.AddRoute(r), os.ErrExist)
		require.ErrorContains(t, c.AddRoute(r), "10.60.0.0/16 dev d0")
		require.NoError(t, c.AddRoute(route.Route{Dst: netip.MustParsePrefix("fd60::/16"), Link: "d0"}))
		require.NoError(t, c.AddRoute(route.Route{Dst: netip.MustParsePrefix("0.0.0.0/0"), Link: "d0", Table: 777}))
		require.NoError(t, c.AddRoute(route.Route{Dst: netip.MustParsePrefix("::/0"), Unreachable: true, Table: 777}))
		require.NoError(t, c.AddRoute(route.Route{Dst: netip.MustParsePrefix("192.0.2.1/32"), Link: a.Device, Gateway: b.Outer}))
		for _, v6 := range []bool{false, true} {
			require.NoError(t, c.AddRule(route.Rule{IPv6: v6, Priority: 100, Mark: 0x77, Table: route.TableMain}))
			require.NoError(t, c.AddRule(route.Rule{IPv6: v6, Priority: 101, Table: route.TableMain, NoDefault: true}))
			require.NoError(t, c.AddRule(route.Rule{IPv6: v6, Priority: 102, Table: 777}))
		}
		require.NoError(t, c.Set("net/ipv4/ip_forward", "0"))
		require.Error(t, c.Set("net/ipv4/no_such_thing", "0"))

		// The kernel's own words.
		now := state(t, a.Namespace)
		for _, want := range []string{
			"10.50.0.1/32", "fd50::1/128", "10.60.0.0/16 dev d0 proto static scope link src 10.50.0.1", "fd60::/16 dev d0",
			"default dev d0 table 777", "unreachable default dev lo table 777", "192.0.2.1 via 10.99.0.2 dev out0",
			"100:	from all fwmark 0x77 lookup main", "101:	from all lookup main suppress_prefixlength 0", "102:	from all lookup 777",
		} {
			require.Contains(t, now, want)
		}
		require.NotContains(t, now, "10.50.0.2")
		require.Contains(t, a.Run("ip", "link", "show", "d0"), "mtu 1400")

		found, err := c.Lookup(netip.MustParseAddr("203.0.113.9"))
		require.NoError(t, err)
		require.Equal(t, "d0", found.Link, "the rules send it to the table")
		found, err = c.Lookup(netip.MustParseAddr("192.0.2.1"))
		require.NoError(t, err)
		require.Equal(t, route.Route{Dst: netip.MustParsePrefix("192.0.2.1/32"), Link: a.Device, Gateway: b.Outer, Src: a.Outer, Table: route.TableMain}, found)
		_, err = c.Lookup(netip.MustParseAddr("2001:db8::1"))
		require.Error(t, err, "unreachable")

		require.NoError(t, c.Undo())
		require.NoError(t, c.Undo(), "again")
		require.Error(t, c.AddAddress("d0", netip.MustParsePrefix("10.50.0.1/32")))
		forward, err := os.ReadFile("/proc/sys/net/ipv4/ip_forward")
		require.NoError(t, err)
		require.Equal(t, "1\n", string(forward))
	})
	require.Equal(t, before, state(t, a.Namespace))
}

// TestUndoWithoutDevice: what went away with a device is no error, the rest is
// taken back.
func TestUndoWithoutDevice(t *testing.T) {
	lab.Require(t, lab.Root)
	ns := lab.NewNamespace(t, "a")
	before := state(t, ns)
	ns.IP("link add d0 type veth peer name d1", "link set d1 up", "link set d0 up")
	c := newChanges(t, ns)
	ns.Do(func() {
		require.NoError(t, c.AddAddress("d0", netip.MustParsePrefix("10.50.0.1/32")))
		require.NoError(t, c.AddRoute(route.Route{Dst: netip.MustParsePrefix("10.60.0.0/16"), Link: "d0"}))
		require.NoError(t, c.AddRule(route.Rule{Priority: 102, Table: 777}))
		ns.IP("link del d0")
		require.NoError(t, c.Undo())
	})
	require.Equal(t, before, state(t, ns))
}

// TestRuleLeftBehind: a rule of a program that was killed is taken over.
func TestRuleLeftBehind(t *testing.T) {
	lab.Require(t, lab.Root)
	ns := lab.NewNamespace(t, "a")
	before := state(t, ns)
	for range 2 {
		c := newChanges(t, ns)
		require.NoError(t, c.AddRule(route.Rule{Priority: 102, Mark: 7, Table: 777}))
		if strings.Count(state(t, ns), "lookup 777") != 1 {
			t.Fatal(state(t, ns))
		}
		defer c.Undo()
	}
	c := newChanges(t, ns)
	require.NoError(t, c.AddRule(route.Rule{Priority: 102, Mark: 7, Table: 777}))
	require.NoError(t, c.Undo())
	require.Equal(t, before, state(t, ns))
}

// TestReplacedTunnel: while the routes of a tunnel are replaced, what they led
// into it goes nowhere, and not beside it; the way around it stays known.
func TestReplacedTunnel(t *testing.T) {
	lab.Require(t, lab.Root)
	for _, marked := range []bool{true, false} {
		a, b := lab.NewPair(t)
		server := netip.MustParseAddr("198.51.100.9")
		a.IP("link add d0 type veth peer name d1", "link set d1 up", "link set d0 up", "route add default via "+b.Outer.String())
		way := func(addr string) string {
			out, err := a.Exec(t.Context(), "ip", "route", "get", addr)
			if err != nil {
				return err.Error()
			}
			return string(out)
		}
		prefixes := []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("10.60.0.0/16"), netip.MustParsePrefix("::/0")}
		tunnel := route.Tunnel{Link: "d0", Prefixes: prefixes, Addresses: []netip.Addr{netip.MustParseAddr("10.50.0.1")}, Outer: server, Marked: marked}
		a.Do(func() {
			old := newChanges(t, a.Namespace)
			require.NoError(t, old.AddTunnel(tunnel))
			for range 3 { // to other servers
				guard := newChanges(t, a.Namespace)
				require.NoError(t, guard.Block(prefixes))
				require.Contains(t, way("203.0.113.1"), "dev d0", "not yet")
				require.NoError(t, old.Undo())
				for _, addr := range []string{"203.0.113.1", "10.60.0.1", "2001:db8::1"} {
					require.Regexp(t, "unreachable|No route to host", way(addr), addr)
				}
				require.Contains(t, way(b.Outer.String()), "dev out0", "the host's own networks are reached")
				tunnel.Outer = tunnel.Outer.Next()
				old = newChanges(t, a.Namespace)
				found, err := old.Lookup(tunnel.Outer)
				require.NoError(t, err)
				require.Equal(t, b.Outer, found.Gateway)
				require.NoError(t, old.AddTunnel(tunnel))
				require.NoError(t, guard.Undo())
				require.Contains(t, way("203.0.113.1"), "dev d0")
				require.Contains(t, way("10.60.0.1"), "dev d0")
			}
			require.NoError(t, old.Undo())
		})
		for _, left := range []string{"29283", "29284", "29286", "29288", "unreachable", "10.60."} {
			require.NotContains(t, state(t, a.Namespace), left)
		}
	}
}
