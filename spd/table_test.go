package spd

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func policy(d Direction, local, remote string, a Action, priority uint32) Policy {
	return Policy{Direction: d, Selector: Selector{ts(local), ts(remote)}, Action: a, Priority: priority}
}

func flow(proto uint8, src, dst string) *Flow {
	s, d := netip.MustParseAddrPort(src), netip.MustParseAddrPort(dst)
	return &Flow{Src: s.Addr(), Dst: d.Addr(), SrcPort: s.Port(), DstPort: d.Port(), Protocol: proto}
}

func TestPolicyTablePrecedence(t *testing.T) {
	ps := []Policy{
		policy(Out, "0.0.0.0/0", "0.0.0.0/0", ActionDiscard, 100),
		policy(Out, "10.0.0.0/8", "192.0.2.0/24", ActionProtect, 100),
		policy(Out, "10.0.0.0/8", "192.0.2.0/24[udp/500]", ActionBypass, 100),
		policy(Out, "10.0.0.0/8", "192.0.2.0/24[udp]", ActionTrap, 100),
		policy(Out, "10.0.0.0/16", "192.0.2.0/24", ActionTrap, 100),
		policy(Out, "10.9.0.0/16", "192.0.2.0/24", ActionDiscard, 200),
		policy(Out, "0.0.0.0/0", "192.0.2.99", ActionBypass, 50),
		policy(Out, "10.0.0.0/8", "192.0.2.0/24", ActionDiscard, 100), // as specific as the second, but later
		policy(In, "10.0.0.0/8[tcp/80]", "192.0.2.0/24", ActionProtect, 100),
	}
	table, err := NewPolicyTable(ps)
	require.NoError(t, err)
	require.Equal(t, len(ps), table.Len())
	for _, c := range []struct {
		d    Direction
		f    *Flow
		want int
	}{
		{Out, flow(6, "10.1.0.1:1000", "192.0.2.1:80"), 1},
		{Out, flow(17, "10.1.0.1:1000", "192.0.2.1:500"), 2},
		{Out, flow(17, "10.1.0.1:1000", "192.0.2.1:501"), 3},
		{Out, flow(6, "10.0.0.1:1000", "192.0.2.1:80"), 4},
		{Out, flow(6, "10.9.0.1:1000", "192.0.2.1:80"), 1},  // lower priority value wins over the longer prefix
		{Out, flow(6, "10.0.0.1:1000", "192.0.2.99:80"), 6}, // same
		{Out, flow(6, "11.0.0.1:1000", "8.8.8.8:80"), 0},
		{Out, flow(6, "[::1]:1000", "[::2]:80"), -1},
		{In, flow(6, "192.0.2.1:1000", "10.0.0.1:80"), 8},
		{In, flow(6, "192.0.2.1:80", "10.0.0.1:1000"), -1},
		{In, flow(6, "10.0.0.1:80", "192.0.2.1:80"), -1},
		{Forward, flow(6, "192.0.2.1:1000", "10.0.0.1:80"), -1},
	} {
		got := table.Lookup(c.d, c.f)
		if c.want < 0 {
			require.Nil(t, got, "%v", c.f)
			continue
		}
		require.NotNil(t, got, "%v", c.f)
		require.Equal(t, ps[c.want], *got, "%v", c.f)
	}
	require.Nil(t, (*PolicyTable)(nil).Lookup(Out, flow(6, "10.0.0.1:1", "10.0.0.2:1")))
	require.Nil(t, table.Lookup(Out, &Flow{}))
	require.Nil(t, table.Lookup(99, flow(6, "10.0.0.1:1", "10.0.0.2:1")))
	_, err = NewPolicyTable([]Policy{{}})
	require.ErrorIs(t, err, ErrPolicy)
	require.ErrorIs(t, err, ErrSelector)
}

// RFC 4301 4.4.1.3: an ICMP type counts for the side that sends it.
func TestICMPDirections(t *testing.T) {
	// Willing to send echo requests and to receive echo replies, nothing else.
	local, remote := "10.0.0.0/8[icmp/8]", "192.0.2.0/24[icmp/0]"
	table, err := NewPolicyTable([]Policy{policy(Out, local, remote, ActionProtect, 1), policy(In, local, remote, ActionProtect, 1)})
	require.NoError(t, err)
	req := Flow{Src: netip.MustParseAddr("10.0.0.1"), Dst: netip.MustParseAddr("192.0.2.1"), Protocol: 1, SrcPort: 8 << 8}
	rep := req.Reverse()
	rep.SrcPort = 0
	require.NotNil(t, table.Lookup(Out, &req))
	require.NotNil(t, table.Lookup(In, &rep))
	rep.SrcPort = 8 << 8
	require.Nil(t, table.Lookup(In, &rep), "an echo request from the peer")
	req.SrcPort = 0
	require.Nil(t, table.Lookup(Out, &req))
	req.Opaque = true
	require.Nil(t, table.Lookup(Out, &req), "a fragment")

	sel := Selector{ts(local), ts(remote)}
	req = Flow{Src: req.Src, Dst: req.Dst, Protocol: 1, SrcPort: 8 << 8}
	require.True(t, req.Matches(Out, &sel))
	require.False(t, req.Matches(In, &sel))
	require.True(t, req.Within(Out, []TrafficSelector{ts("10.0.0.0/8[tcp]"), sel.Local}, []TrafficSelector{sel.Remote}))
	require.Equal(t, "10.0.0.1[icmp/8/0] === 192.0.2.1[icmp/8/0]", req.Selector(Out).String())
	require.Equal(t, "icmp 10.0.0.1 > 192.0.2.1 type 8 code 0", req.String())
}

func TestMarkAndInterface(t *testing.T) {
	a, b, c := policy(Out, "0.0.0.0/0", "0.0.0.0/0", ActionProtect, 1), policy(Out, "0.0.0.0/0", "0.0.0.0/0", ActionProtect, 1), policy(Out, "0.0.0.0/0", "0.0.0.0/0", ActionBypass, 2)
	a.Mark, b.InterfaceID = Mark{0x10, 0xf0}, 7
	table, err := NewPolicyTable([]Policy{a, b, c})
	require.NoError(t, err)
	f := flow(6, "10.0.0.1:1", "10.0.0.2:2")
	require.Equal(t, c, *table.Lookup(Out, f))
	f.Mark = 0x1a
	require.Equal(t, a, *table.Lookup(Out, f))
	f.Mark, f.InterfaceID = 0x2a, 7
	require.Equal(t, b, *table.Lookup(Out, f))
}

// naive is the specification: all policies in precedence, the first match.
type naive []Policy

func (n naive) sort() naive {
	prefixBits := func(s TrafficSelector) int { return s.SmallestPrefix().Bits() }
	ports := func(r PortRange) int {
		if r == OpaquePort {
			return 1
		}
		if r == AnyPort {
			return 65537
		}
		return int(r.Last) - int(r.First) + 1
	}
	key := func(p Policy) []int {
		s := p.Selector
		k := []int{int(p.Priority), -prefixBits(s.Local) - prefixBits(s.Remote), ports(s.Local.Ports) + ports(s.Remote.Ports), 0}
		if s.Local.Protocol == 0 && s.Remote.Protocol == 0 {
			k[3] = 1
		}
		return k
	}
	r := slices.Clone(n)
	slices.SortStableFunc(r, func(a, b Policy) int { return slices.Compare(key(a), key(b)) })
	return r
}

func (n naive) lookup(d Direction, f *Flow) *Policy {
	for i := range n {
		if n[i].Direction == d && f.Matches(d, &n[i].Selector) {
			return &n[i]
		}
	}
	return nil
}

func randomPolicy(r *rand.Rand) Policy {
	p := Policy{Direction: Direction(r.IntN(3)), Action: Action(r.IntN(4)), Priority: uint32(r.IntN(3)), ReqID: uint32(r.IntN(3))}
	for {
		p.Selector = Selector{randomTS(r), randomTS(r)}
		if r.IntN(8) == 0 {
			p.Selector.Remote = AnyIPv4
		}
		if r.IntN(8) == 0 {
			p.Selector.Remote = ts("9.255.255.7-10.0.0.9") // not near a prefix
		}
		if p.Valid() == nil {
			return p
		}
	}
}

func randomFlow(r *rand.Rand) *Flow {
	f := &Flow{Protocol: []uint8{6, 6, 17, 99}[r.IntN(4)], SrcPort: uint16(r.IntN(18)), DstPort: uint16(r.IntN(18)), Opaque: r.IntN(5) == 0}
	if r.IntN(3) > 0 {
		f.Src, f.Dst = netip.AddrFrom4([4]byte{10, 0, 0, byte(r.IntN(24))}), netip.AddrFrom4([4]byte{10, 0, 0, byte(r.IntN(24))})
	} else {
		f.Src, f.Dst = netip.AddrFrom16([16]byte{0: 0xfd, 15: byte(r.IntN(24))}), netip.AddrFrom16([16]byte{0: 0xfd, 15: byte(r.IntN(24))})
	}
	return f
}

// The table, built at once and by many changes, against a linear search; older
// snapshots must not notice what comes after them.
func TestPolicyTableAgainstLinearSearch(t *testing.T) {
	hits := 0
	for seed := range uint64(15) {
		r := rand.New(rand.NewPCG(seed, 7))
		var list naive
		var table *PolicyTable
		type old struct {
			list  naive
			table *PolicyTable
		}
		var history []old
		check := func(list naive, table *PolicyTable, n int) {
			sorted := list.sort()
			require.Equal(t, len(list), table.Len())
			for range n {
				f, d := randomFlow(r), Direction(r.IntN(3))
				want, got := sorted.lookup(d, f), table.Lookup(d, f)
				if want == nil {
					require.Nil(t, got, "%v", f)
					continue
				}
				hits++
				require.NotNil(t, got, "%v: want %v", f, want)
				require.Equal(t, *want, *got, "%v", f)
			}
		}
		for step := range 60 {
			var add, remove []Policy
			for range r.IntN(1 + step*2) {
				add = append(add, randomPolicy(r))
			}
			if r.IntN(3) == 0 {
				for range r.IntN(1 + len(list)/2) {
					remove = append(remove, list[r.IntN(len(list))])
				}
				remove = append(remove, randomPolicy(r))
			}
			var err error
			table, err = table.With(remove, add)
			require.NoError(t, err)
			list = slices.DeleteFunc(slices.Clone(list), func(p Policy) bool { return slices.Contains(remove, p) })
			for _, p := range add {
				if !slices.Contains(list, p) {
					list = append(list, p)
				}
			}
			if step%6 == 0 {
				check(list, table, 100)
				history = append(history, old{list, table})
			}
		}
		for _, h := range history {
			check(h.list, h.table, 20)
		}
		sorted := list.sort()
		var all []Policy
		for p := range table.All() {
			all = append(all, *p)
		}
		require.Len(t, all, len(sorted))
		for d := range Direction(3) {
			other := func(p Policy) bool { return p.Direction != d }
			require.Equal(t, slices.DeleteFunc(slices.Clone([]Policy(sorted)), other), slices.DeleteFunc(slices.Clone(all), other))
		}
		table, err := table.With(list, nil)
		require.NoError(t, err)
		require.Zero(t, table.Len())
		for d := range table.groups {
			require.Empty(t, table.groups[d][0])
			require.Empty(t, table.groups[d][1])
		}
	}
	require.Greater(t, hits, 2000)
}

func TestPolicyTableManyCells(t *testing.T) {
	ps := manyPolicies(20000)
	table, err := NewPolicyTable(ps)
	require.NoError(t, err)
	for i := 0; i < len(ps); i += 7 {
		require.Equal(t, ps[i], *table.Lookup(Out, flowOf(&ps[i])))
	}
	next, err := table.With(ps[:10000], nil)
	require.NoError(t, err)
	require.Equal(t, 10000, next.Len())
	for i := 0; i < len(ps); i += 7 {
		require.Equal(t, ps[i], *table.Lookup(Out, flowOf(&ps[i])))
		if got := next.Lookup(Out, flowOf(&ps[i])); i >= 10000 {
			require.Equal(t, ps[i], *got)
		} else if got != nil {
			require.NotEqual(t, ps[i], *got)
		}
	}
}

// manyPolicies is a gateway's table: road warriors, sites with one to four
// subnets, IPv6 ones, single services, ranges.
func manyPolicies(n int) []Policy {
	r := rand.New(rand.NewPCG(3, uint64(n)))
	ps := make([]Policy, 0, n)
	for i := range n {
		p := Policy{Direction: Out, Action: ActionProtect, ReqID: uint32(i + 1), Priority: 1000}
		a := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		switch k := r.IntN(20); {
		case k < 8:
			p.Selector = Selector{AnyIPv4, FromAddr(a)}
		case k < 14:
			p.Selector = Selector{ts("172.16.0.0/12"), FromPrefix(netip.PrefixFrom(netip.AddrFrom4([4]byte{20 + byte(i>>16), byte(i >> 8), byte(i), 0}), 24))}
		case k < 17:
			p.Selector = Selector{ts("2001:db8::/32"), FromPrefix(netip.PrefixFrom(netip.AddrFrom16([16]byte{0x2a, 0, byte(i >> 16), byte(i >> 8), byte(i)}), 56))}
		case k < 19:
			p.Selector = Selector{FromAddr(netip.AddrFrom4([4]byte{172, 16, byte(i >> 8), byte(i)})).WithProtocol(6, AnyPort), FromAddr(a).WithProtocol(6, PortRange{443, 443})}
		default:
			p.Selector = Selector{AnyIPv4, FromRange(netip.AddrFrom4([4]byte{11 + byte(i>>22), byte(i >> 14), byte(i >> 6), byte(i<<2) | 1}), netip.AddrFrom4([4]byte{11 + byte(i>>22), byte(i >> 14), byte(i >> 6), byte(i<<2) | 3}))}
			p.Priority = 2000
		}
		ps = append(ps, p)
	}
	return ps
}

func flowOf(p *Policy) *Flow {
	f := &Flow{Src: p.Selector.Local.First, Dst: p.Selector.Remote.First, Protocol: 17, SrcPort: 1000, DstPort: p.Selector.Remote.Ports.First}
	if p.Selector.Remote.Protocol != 0 {
		f.Protocol = p.Selector.Remote.Protocol
	}
	return f
}

func TestLookupAllocatesNothing(t *testing.T) {
	ps := manyPolicies(1000)
	table, err := NewPolicyTable(ps)
	require.NoError(t, err)
	f := flowOf(&ps[500])
	require.Zero(t, testing.AllocsPerRun(100, func() { table.Lookup(Out, f) }))
}

func BenchmarkLookup(b *testing.B) {
	for _, n := range []int{100, 10_000, 100_000} {
		ps := manyPolicies(n)
		table, err := NewPolicyTable(ps)
		require.NoError(b, err)
		flows := make([]*Flow, 4096)
		r := rand.New(rand.NewPCG(1, 1))
		for i := range flows {
			flows[i] = flowOf(&ps[r.IntN(len(ps))])
		}
		b.Run(fmt.Sprintf("%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if table.Lookup(Out, flows[i%len(flows)]) == nil {
					b.Fatal("no match")
				}
			}
		})
		b.Run(fmt.Sprintf("%d-miss", n), func(b *testing.B) {
			b.ReportAllocs()
			f := flow(6, "1.1.1.1:1", "8.8.8.8:8")
			for b.Loop() {
				if table.Lookup(Out, f) != nil {
					b.Fatal("match")
				}
			}
		})
	}
}

func BenchmarkPolicyTableBuild(b *testing.B) {
	ps := manyPolicies(100_000)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := NewPolicyTable(ps); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPolicyTableChange(b *testing.B) {
	for _, n := range []int{100, 10_000, 100_000} {
		ps := manyPolicies(n)
		table, err := NewPolicyTable(ps)
		require.NoError(b, err)
		b.Run(fmt.Sprintf("%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				one := ps[i%n : i%n+1]
				without, _ := table.With(one, nil)
				if table, err = without.With(nil, one); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// Two sessions with the same selectors, one taking over from the other: the
// packets of both are accepted, and a stranger's are not.
func TestLookupReqID(t *testing.T) {
	policy := func(reqID uint32, local string) Policy {
		return Policy{Direction: In, Action: ActionProtect, ReqID: reqID,
			Selector: Selector{Local: MustParseTrafficSelector(local), Remote: MustParseTrafficSelector("10.2.0.0/16")}}
	}
	table, err := new(PolicyTable).With(nil, []Policy{policy(1, "10.1.0.0/16"), policy(2, "10.1.0.0/16"), policy(3, "10.0.0.0/8")})
	require.NoError(t, err)
	f := Flow{Src: netip.MustParseAddr("10.2.0.1"), Dst: netip.MustParseAddr("10.1.0.1"), Protocol: 6}
	for asked, got := range map[uint32]uint32{1: 1, 2: 2, 3: 1, 9: 1} {
		require.Equal(t, got, table.LookupReqID(In, &f, asked).ReqID, "asked for %d", asked)
	}
	discard := policy(0, "10.1.0.0/16")
	discard.Action = ActionDiscard
	table, err = NewPolicyTable([]Policy{discard, policy(2, "10.1.0.0/16")})
	require.NoError(t, err)
	require.Equal(t, ActionDiscard, table.LookupReqID(In, &f, 2).Action, "it was there first")
}
