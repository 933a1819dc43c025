package spd

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func ts(s string) TrafficSelector { return MustParseTrafficSelector(s) }

func set(s ...string) (r []TrafficSelector) {
	for _, x := range s {
		r = append(r, ts(x))
	}
	return r
}

func TestTrafficSelectorText(t *testing.T) {
	for _, s := range []string{
		"10.1.0.0/16", "10.0.0.1", "10.0.0.1-10.0.0.9", "0.0.0.0/0", "::/0", "2001:db8::/32[tcp/443]",
		"10.0.0.1[udp/5000-5100]", "10.0.0.1[17/0-65534]", "10.0.0.1[tcp]", "10.0.0.1[tcp/opaque]", "10.0.0.1[any/opaque]",
		"10.0.0.0/8[icmp/8]", "10.0.0.0/8[icmp/3/4]", "10.0.0.0/8[icmp/3-5]", "10.0.0.0/8[icmp/3/1-5/2]", "::1[icmp6/128/0]",
		"::1[mh/5]", "::1[mh/1-5]", "::1[mh/5/1-5/2]", "10.0.0.1[200]", "10.0.0.1[200/7]",
	} {
		v, err := ParseTrafficSelector(s)
		require.NoError(t, err, s)
		again, err := ParseTrafficSelector(v.String())
		require.NoError(t, err, v.String())
		require.Equal(t, v, again)
		if s != "10.0.0.1[17/0-65534]" {
			require.Equal(t, s, v.String())
		}
	}
	require.Equal(t, PortRange{0x0800, 0x08ff}, ts("10.0.0.1[icmp/8]").Ports)
	require.Equal(t, PortRange{0x0304, 0x0304}, ts("10.0.0.1[icmp/3/4]").Ports)
	require.Equal(t, PortRange{0x0500, 0x0500}, ts("::1[mh/5]").Ports)
	require.Equal(t, "10.0.0.0/24", FromRange(netip.MustParseAddr("10.0.0.0"), netip.MustParseAddr("10.0.0.255")).String())
	require.Equal(t, "10.0.0.1", FromAddr(netip.MustParseAddr("::ffff:10.0.0.1")).String())
	require.Equal(t, "0.0.0.0/0", AnyIPv4.String())
	require.Equal(t, "::/0", AnyIPv6.String())
	require.Contains(t, TrafficSelector{}.String(), "invalid")
}

// C06: selectors as a hostile peer sends them, and as people mistype them.
func TestC06_MalformedSelectors(t *testing.T) {
	a := netip.MustParseAddr
	for name, v := range map[string]TrafficSelector{
		"zero":           {},
		"start > end":    {First: a("10.0.0.9"), Last: a("10.0.0.1"), Ports: AnyPort},
		"ports reversed": {First: a("10.0.0.1"), Last: a("10.0.0.9"), Ports: PortRange{9, 3}, Protocol: 6},
		"family mix":     {First: a("10.0.0.1"), Last: a("::9"), Ports: AnyPort},
		"mapped":         {First: a("::ffff:10.0.0.1"), Last: a("::ffff:10.0.0.1"), Ports: AnyPort},
		"zone":           {First: a("fe80::1%eth0"), Last: a("fe80::1%eth0"), Ports: AnyPort},
		"no protocol":    {First: a("10.0.0.1"), Last: a("10.0.0.9"), Ports: PortRange{80, 80}},
	} {
		require.ErrorIs(t, v.Valid(), ErrSelector, name)
		require.Contains(t, v.String(), "invalid", name)
		for _, any := range []TrafficSelector{AnyIPv4, AnyIPv6, v} {
			require.False(t, any.Contains(v), name)
			require.False(t, v.Contains(any), name)
			require.False(t, v.Overlaps(any), name)
			require.Empty(t, Narrow([]TrafficSelector{v}, []TrafficSelector{any}), name)
			require.Empty(t, Narrow([]TrafficSelector{any}, []TrafficSelector{v}), name)
		}
		require.Empty(t, slices.Collect(v.Prefixes()), name)
		require.False(t, Covers([]TrafficSelector{AnyIPv4, AnyIPv6}, v), name)
	}
	for in, want := range map[string]string{
		"":                             "not an IP address",
		"10.0.0.1/8":                   "10.0.0.0/8",
		"10.0.0.0/33":                  "not a prefix",
		"10.0.0.9-10.0.0.1":            "above the last",
		"10.0.0.1-::1":                 "different families",
		"10.0.0.1[tpc/80]":             `"tpc"`,
		"10.0.0.1[tcp/80":              "missing ]",
		"10.0.0.1[tcp/90-80]":          `"90-80"`,
		"10.0.0.1[tcp/65536]":          `"65536"`,
		"10.0.0.1[0/80]":               `"0"`,
		"10.0.0.1[any/80]":             "without a protocol",
		"10.0.0.1[icmp/256]":           `"256"`,
		"10.0.0.1[256]":                `"256"`,
		"10.0.0.1[tcp/80]x":            "missing ]",
		"::ffff:1.2.3.4":               "IPv4-mapped",
		"fe80::1%eth0":                 "zone",
		"::ffff:1.2.3.0/120":           "no address",
		"10.0.0.0/24-10.0.1.0":         "not an IP address",
		"10.0.0.1[icmp/3/4/5]":         `"3/4/5"`,
		"10.0.0.1-10.0.0.2-10.0.0.3":   "not an IP address",
		"10.0.0.1[tcp/opaque-opaque]":  "opaque-opaque",
		"10.0.0.1[]":                   "not an IP protocol",
		"10.0.0.1[tcp/]":               "is not a port",
		"10.0.0.1[icmp/5-3]":           `"5-3"`,
		"1.2.3.4[tcp/+80]":             `"+80"`,
		"10.0.0.1[udp/00000000000080]": "",
	} {
		_, err := ParseTrafficSelector(in)
		if want == "" {
			require.NoError(t, err, in)
			continue
		}
		require.ErrorIs(t, err, ErrSelector, in)
		require.ErrorContains(t, err, want, in)
	}
}

func TestIntersectPorts(t *testing.T) {
	for _, c := range []struct{ a, b, want string }{
		{"10.0.0.0/8", "10.1.0.0/16", "10.1.0.0/16"},
		{"10.0.0.0/8[tcp]", "10.1.0.0/16[tcp/80]", "10.1.0.0/16[tcp/80]"},
		{"10.0.0.0/8", "10.1.0.0/16[icmp/8]", "10.1.0.0/16[icmp/8]"},
		{"10.0.0.0/8[tcp/80-90]", "10.0.0.0/8[tcp/85-100]", "10.0.0.0/8[tcp/85-90]"},
		{"10.0.0.0/8[tcp/80]", "10.0.0.0/8[udp/80]", ""},
		{"10.0.0.0/8[tcp/80]", "10.0.0.0/8[tcp/81]", ""},
		{"10.0.0.0/8", "::/0", ""},
		{"10.0.0.0-10.0.0.9", "10.0.0.5-10.0.0.20", "10.0.0.5-10.0.0.9"},
		{"10.0.0.0/25", "10.0.0.128/25", ""},
		// RFC 7296 3.13.1: ANY includes OPAQUE; RFC 4301 4.4.1.1: a range does not.
		{"10.0.0.0/8[tcp/opaque]", "10.0.0.0/8", "10.0.0.0/8[tcp/opaque]"},
		{"10.0.0.0/8[tcp/opaque]", "10.0.0.0/8[tcp]", "10.0.0.0/8[tcp/opaque]"},
		{"10.0.0.0/8[tcp/opaque]", "10.0.0.0/8[tcp/0-65534]", ""},
		{"10.0.0.0/8[tcp/opaque]", "10.0.0.0/8[tcp/opaque]", "10.0.0.0/8[tcp/opaque]"},
		{"10.0.0.0/8[any/opaque]", "10.0.0.0/8[tcp/80]", ""},
	} {
		for _, swap := range []bool{false, true} {
			a, b := ts(c.a), ts(c.b)
			if swap {
				a, b = b, a
			}
			got, ok := a.Intersect(b)
			require.Equal(t, c.want != "", ok, "%v with %v", a, b)
			require.Equal(t, ok, a.Overlaps(b))
			if ok {
				require.Equal(t, c.want, got.String(), "%v with %v", a, b)
				require.True(t, a.Contains(got) && b.Contains(got))
			}
		}
	}
}

func TestPrefixes(t *testing.T) {
	for in, want := range map[string][]string{
		"10.0.0.0/8":                         {"10.0.0.0/8"},
		"0.0.0.0/0":                          {"0.0.0.0/0"},
		"::/0":                               {"::/0"},
		"10.0.0.1":                           {"10.0.0.1/32"},
		"10.0.0.1-10.0.0.9":                  {"10.0.0.1/32", "10.0.0.2/31", "10.0.0.4/30", "10.0.0.8/31"},
		"255.255.255.254-255.255.255.255":    {"255.255.255.254/31"},
		"fe80::-fe80::1:ffff:ffff:ffff:ffff": {"fe80::/63"},
		"ffff:ffff::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff": {"ffff:ffff::/32"},
	} {
		var got []string
		for p := range ts(in).Prefixes() {
			got = append(got, p.String())
		}
		require.Equal(t, want, got, in)
	}
	worst := FromRange(netip.MustParseAddr("0.0.0.1"), netip.MustParseAddr("255.255.255.254"))
	require.Len(t, slices.Collect(worst.Prefixes()), 62)
	worst = FromRange(netip.MustParseAddr("::1"), netip.MustParseAddr("ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe"))
	require.Len(t, slices.Collect(worst.Prefixes()), 254)
	require.Equal(t, "10.0.0.0/28", ts("10.0.0.1-10.0.0.9").SmallestPrefix().String())
	require.Equal(t, "0.0.0.0/0", ts("1.0.0.0-200.0.0.0").SmallestPrefix().String())
	require.Equal(t, "2001:db8::/127", ts("2001:db8::-2001:db8::1").SmallestPrefix().String())
	require.Equal(t, "10.0.0.1/32", ts("10.0.0.1").SmallestPrefix().String())
}

func TestNarrow(t *testing.T) {
	// The example of RFC 7296 2.9.
	tsi := set("198.51.100.43[tcp/1234]", "198.51.100.0/24")
	tsr := set("192.0.2.123[tcp/80]", "192.0.2.0/24")
	n, ok := NarrowPair(tsi, tsr, set("198.51.100.43"), set("192.0.2.0/24"))
	require.True(t, ok)
	require.Equal(t, set("198.51.100.43"), n.TSi)
	require.Equal(t, set("192.0.2.0/24"), n.TSr)
	require.True(t, n.First)
	require.False(t, n.All)

	n, ok = NarrowPair(tsi, tsr, set("0.0.0.0/0"), set("192.0.2.0/24"))
	require.True(t, ok)
	require.True(t, n.First && n.All)

	// The first choice is not acceptable, something else is.
	n, ok = NarrowPair(tsi, tsr, set("198.51.100.66"), set("192.0.2.0/24"))
	require.True(t, ok)
	require.False(t, n.First)
	require.Equal(t, set("198.51.100.66"), n.TSi)

	_, ok = NarrowPair(tsi, tsr, set("198.51.101.0/24"), set("192.0.2.0/24"))
	require.False(t, ok, "TSi empty after narrowing")
	_, ok = NarrowPair(tsi, nil, set("0.0.0.0/0"), set("0.0.0.0/0"))
	require.False(t, ok)

	require.Equal(t, set("10.2.0.0/16", "10.1.0.0/16"), Narrow(set("10.2.0.0/16", "10.1.0.0/16"), set("10.1.0.0/16", "10.0.0.0/8")), "offered order, contained ones dropped")
	require.Equal(t, set("10.0.0.0/8"), Narrow(set("10.2.0.0/16", "10.0.0.0/8"), set("0.0.0.0/0")))
}

// C06: selectors whose two sides fit no common packet are not accepted.
func TestC06_PartnerlessSelectors(t *testing.T) {
	any := set("0.0.0.0/0", "::/0")
	_, ok := NarrowPair(set("10.0.0.0/8"), set("2001:db8::/32"), any, any)
	require.False(t, ok, "family mix")
	_, ok = NarrowPair(set("10.0.0.0/8[tcp]"), set("10.0.0.0/8[udp]"), any, any)
	require.False(t, ok, "protocol mismatch")
	n, ok := NarrowPair(set("10.0.0.0/8", "2001:db8::/32"), set("192.0.2.0/24"), any, any)
	require.True(t, ok)
	require.Equal(t, set("10.0.0.0/8"), n.TSi)
	require.False(t, n.All)
}

// C06: 255 selectors each way, all different, against as many of our own.
func TestC06_255Selectors(t *testing.T) {
	var offered, own []TrafficSelector
	base := netip.MustParseAddr("10.0.0.0")
	a := base
	for i := range 255 {
		last := a
		for range 4 {
			last = last.Next()
		}
		offered = append(offered, FromRange(a, last).WithProtocol(6, PortRange{uint16(i), 65535}))
		own = append(own, FromRange(base, last).WithProtocol(6, PortRange{0, uint16(65535 - i)}))
		a = a.Next()
	}
	got := Narrow(offered, own)
	require.NotEmpty(t, got)
	require.LessOrEqual(t, len(got), MaxSelectors)
	for _, g := range got {
		require.True(t, Covers(offered, g) && Covers(own, g))
	}
	require.Len(t, Merge(offered, own), MaxSelectors)
}

func TestSingle(t *testing.T) {
	tsi := set("10.0.0.5[tcp/1000]", "10.0.0.0/24", "10.1.0.0/24")
	tsr := set("10.9.0.1[tcp/80]", "2001:db8::/32", "10.9.0.0/24")
	own := set("0.0.0.0/0", "::/0")
	n, ok := NarrowPair(tsi, tsr, own, own)
	require.True(t, ok)
	s, more := n.Single(tsi, tsr)
	require.True(t, more && s.First)
	require.Equal(t, set("10.0.0.0/24"), s.TSi)
	require.Equal(t, set("10.9.0.0/24"), s.TSr)

	n, ok = NarrowPair(tsi[1:], tsr[1:], own, own)
	require.True(t, ok)
	s, _ = n.Single(tsi[1:], tsr[1:])
	require.Equal(t, set("10.9.0.0/24"), s.TSr, "the IPv6 selector has no partner")
}

func TestCovers(t *testing.T) {
	for _, c := range []struct {
		set  []string
		ts   string
		want bool
	}{
		{[]string{"10.0.0.0/8"}, "10.1.0.0/16", true},
		{[]string{"10.0.0.0/25", "10.0.0.128/25"}, "10.0.0.0/24", true},
		{[]string{"10.0.0.0-10.0.0.127", "10.0.0.129-10.0.0.255"}, "10.0.0.0/24", false},
		{[]string{"10.0.0.0/24[tcp/0-100]", "10.0.0.0/24[tcp/101-65535]"}, "10.0.0.0/24[tcp/0-65534]", true},
		{[]string{"10.0.0.0/24[tcp/0-100]", "10.0.0.0/24[tcp/101-65535]"}, "10.0.0.0/24[tcp]", false}, // OPAQUE is missing
		{[]string{"10.0.0.0/24[tcp/0-100]", "10.0.0.0/24[tcp/101-65535]", "10.0.0.0/24[tcp/opaque]"}, "10.0.0.0/24[tcp]", true},
		{[]string{"10.0.0.0/25[tcp/0-100]", "10.0.0.128/25", "10.0.0.0/24[tcp/50-200]"}, "10.0.0.0/24[tcp/0-200]", true},
		{[]string{"10.0.0.0/24[tcp]", "10.0.0.0/24[udp]"}, "10.0.0.0/24", false},
		{[]string{"0.0.0.0/1", "128.0.0.0/1"}, "0.0.0.0/0", true},
		{[]string{"::/1", "8000::/1"}, "::/0", true},
		{nil, "10.0.0.1", false},
	} {
		require.Equal(t, c.want, Covers(set(c.set...), ts(c.ts)), "%v covers %v", c.set, c.ts)
	}
}

// randomTS makes selectors that meet often: few addresses, protocols, ports.
func randomTS(r *rand.Rand) TrafficSelector {
	base := netip.AddrFrom4([4]byte{10, 0, 0, byte(r.IntN(16))})
	if r.IntN(4) == 0 {
		base = netip.AddrFrom16([16]byte{0: 0xfd, 15: byte(r.IntN(16))})
	}
	last := base
	for range r.IntN(8) {
		last = last.Next()
	}
	v := FromRange(base, last)
	switch r.IntN(4) {
	case 0:
		return v
	case 1:
		return v.WithProtocol(6, OpaquePort)
	case 2:
		return v.WithProtocol(uint8(6+11*r.IntN(2)), AnyPort)
	}
	p := uint16(r.IntN(8))
	return v.WithProtocol(6, PortRange{p, p + uint16(r.IntN(8))})
}

// The set functions against a look at every single packet.
func TestSetsAgainstEveryPacket(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	has := func(set []TrafficSelector, a netip.Addr, proto uint8, port int) bool {
		for _, s := range set {
			if s.ContainsAddr(a) && (s.Protocol == 0 || s.Protocol == proto) && s.Ports.Has(uint16(port), port < 0) {
				return true
			}
		}
		return false
	}
	var addrs []netip.Addr
	for i := range 24 {
		addrs = append(addrs, netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), netip.AddrFrom16([16]byte{0: 0xfd, 15: byte(i)}))
	}
	covered := 0
	for range 1000 {
		var x, y []TrafficSelector
		for range 1 + r.IntN(5) {
			x = append(x, randomTS(r))
		}
		for range 1 + r.IntN(5) {
			y = append(y, randomTS(r))
		}
		n := Narrow(x, y)
		whole := true
		for _, a := range addrs {
			for _, proto := range []uint8{6, 17, 99} {
				for _, port := range []int{-1, 0, 3, 4, 5, 6, 7, 8, 9, 15, 16, 60000} {
					inX, inY := has(x, a, proto, port), has(y, a, proto, port)
					require.Equal(t, inX && inY, has(n, a, proto, port), "%v with %v: %v %d/%d", x, y, a, proto, port)
					if has(y[:1], a, proto, port) && !inX {
						whole = false
					}
				}
			}
		}
		got := Covers(x, y[0])
		if got {
			covered++
			require.True(t, whole, "%v covers %v", x, y[0])
		} else if y[0].Ports != AnyPort {
			// With ANY ports the sampled ones do not prove the whole.
			require.Equal(t, whole && fineSample(y[0]), got && fineSample(y[0]), "%v covers %v", x, y[0])
		}
	}
	require.Greater(t, covered, 20)
}

// fineSample: all ports of ts are among those sampled.
func fineSample(ts TrafficSelector) bool {
	return ts.Ports == OpaquePort || ts.Ports.First >= 3 && ts.Ports.Last <= 9
}
