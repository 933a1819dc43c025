package xfrm_test

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/spd"
	"github.com/racoon3/racoon/xfrm"
	"github.com/racoon3/racoon/xfrm/xfrmtest"
)

func bypass(d spd.Direction, local, remote spd.TrafficSelector, priority uint32) spd.Policy {
	return spd.Policy{Direction: d, Selector: spd.Selector{Local: local, Remote: remote}, Action: spd.ActionBypass, Priority: priority}
}

func tcp(ts spd.TrafficSelector, first, last uint16) spd.TrafficSelector {
	return ts.WithProtocol(6, spd.PortRange{First: first, Last: last})
}

// TestSelectors: ranges become prefixes and masks that select the same packets.
func TestSelectors(t *testing.T) {
	k, p := newFake(t)
	any4 := spd.AnyIPv4
	discard := bypass(spd.Out, any4, any4, 100)
	discard.Action = spd.ActionDiscard
	r := spd.FromRange(addr("10.0.0.3"), addr("10.0.0.9"))
	for _, c := range []struct {
		name  string
		sel   spd.Selector
		count int
	}{
		{"prefix", spd.Selector{Local: spd.FromPrefix(prefix("10.0.0.0/24")), Remote: any4}, 1},
		{"range", spd.Selector{Local: r, Remote: any4}, 3},
		{"one port", spd.Selector{Local: any4, Remote: tcp(any4, 80, 80)}, 1},
		{"ports", spd.Selector{Local: tcp(any4, 1000, 1010), Remote: tcp(any4, 80, 81)}, 3},
		{"all privileged", spd.Selector{Local: any4, Remote: tcp(any4, 0, 1023)}, 1},
		{"echo request", spd.Selector{Local: any4.WithProtocol(1, spd.PortRange{First: 8 << 8, Last: 8<<8 | 255}), Remote: any4}, 1},
		{"one code", spd.Selector{Local: any4.WithProtocol(1, spd.PortRange{First: 3<<8 | 4, Last: 3<<8 | 4}), Remote: any4}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			pol := bypass(spd.Out, c.sel.Local, c.sel.Remote, 1)
			require.NoError(t, p.SetPolicies(ctx, 1, []spd.Policy{discard, pol}))
			require.Len(t, k.Policies(), c.count+1)
			table, err := spd.NewPolicyTable([]spd.Policy{discard, pol})
			require.NoError(t, err)
			seen := map[xfrmtest.Verdict]int{}
			for range 4000 {
				f := spd.Flow{Src: netip.AddrFrom4([4]byte{10, 0, 0, byte(rand.IntN(16))}), Dst: addr("10.9.9.9"), Protocol: []uint8{1, 6, 17}[rand.IntN(3)]}
				f.SrcPort, f.DstPort = uint16(995+rand.IntN(20)), uint16([]int{79, 80, 81, 82, 1023, 1024}[rand.IntN(6)])
				if f.Protocol == 1 {
					f.SrcPort = uint16([]int{3, 8}[rand.IntN(2)]<<8 | rand.IntN(6))
				}
				want := xfrmtest.Dropped
				if table.Lookup(spd.Out, &f).Action == spd.ActionBypass {
					want = xfrmtest.Clear
				}
				require.Equal(t, want, k.LookOut(f), "%v", f)
				seen[want]++
			}
			require.Positive(t, seen[xfrmtest.Clear])
		})
	}
	opaque := bypass(spd.Out, any4.WithProtocol(6, spd.OpaquePort), any4, 1)
	require.ErrorIs(t, p.SetPolicies(ctx, 1, []spd.Policy{opaque}), spd.ErrUnsupported)
	wild := bypass(spd.Out, tcp(spd.FromRange(addr("10.0.0.1"), addr("10.255.255.254")), 1, 65534), tcp(any4, 1, 65534), 1)
	require.ErrorIs(t, p.SetPolicies(ctx, 1, []spd.Policy{wild}), spd.ErrUnsupported)
	high := bypass(spd.Out, any4, any4, 1<<31)
	require.ErrorIs(t, p.SetPolicies(ctx, 1, []spd.Policy{high}), spd.ErrUnsupported)
	require.NotEmpty(t, k.Policies(), "an error changes nothing")
}

// TestPrecedence: the kernel looks policies up in the order that package spd
// gives them, whatever the order in which they are installed.
func TestPrecedence(t *testing.T) {
	nets := []string{"0.0.0.0/0", "10.0.0.0/8", "10.0.0.0/16", "10.0.0.0/30", "10.0.0.1/32"}
	ports := []spd.PortRange{spd.AnyPort, {First: 0, Last: 1023}, {First: 80, Last: 80}}
	for range 30 {
		k, p := newFake(t)
		var ps []spd.Policy
		for range 12 {
			l, r := spd.FromPrefix(prefix(nets[rand.IntN(len(nets))])), spd.FromPrefix(prefix(nets[rand.IntN(len(nets))]))
			if rand.IntN(2) == 0 {
				r = r.WithProtocol(6, ports[rand.IntN(len(ports))])
			}
			pol := bypass(spd.Out, l, r, uint32(1000+rand.IntN(2)))
			pol.Action = []spd.Action{spd.ActionBypass, spd.ActionDiscard}[rand.IntN(2)]
			ps = append(ps, pol)
		}
		for i := range ps {
			require.NoError(t, p.SetPolicies(ctx, spd.Owner(i), ps[i:i+1]))
		}
		table, err := spd.NewPolicyTable(ps)
		require.NoError(t, err)
		for range 300 {
			f := spd.Flow{Src: netip.AddrFrom4([4]byte{10, 0, byte(rand.IntN(2)), byte(rand.IntN(3))}), Dst: netip.AddrFrom4([4]byte{10, 0, byte(rand.IntN(2)), byte(rand.IntN(3))}),
				Protocol: []uint8{6, 17}[rand.IntN(2)], SrcPort: 5000, DstPort: uint16([]int{79, 80, 5000}[rand.IntN(3)])}
			want := xfrmtest.Clear
			if pol := table.Lookup(spd.Out, &f); pol != nil && pol.Action == spd.ActionDiscard {
				want = xfrmtest.Dropped
			}
			require.Equal(t, want, k.LookOut(f), "%v\n%v", f, ps)
		}
	}
}

// TestPolicyKinds: what each action and direction becomes.
func TestPolicyKinds(t *testing.T) {
	k, p := newFake(t)
	b := gateway(0x1001)
	out, in := bundlePolicies(b)[0], bundlePolicies(b)[1]
	in.OptionalInbound = true
	transport := in
	transport.Mode, transport.Selector = spd.ModeTransport, spd.Selector{Local: spd.FromAddr(addr("192.0.2.1")), Remote: spd.FromAddr(addr("192.0.2.2"))}
	forward := bypass(spd.Forward, spd.AnyIPv6, spd.AnyIPv6, 5)
	marked := bypass(spd.Out, spd.AnyIPv4, spd.AnyIPv4, 6)
	marked.Mark, marked.InterfaceID = spd.Mark{Value: 0x1ff, Mask: 0xff}, 3
	require.NoError(t, p.SetPolicies(ctx, 1, []spd.Policy{out, in, transport, forward, marked, bypass(spd.In, spd.AnyIPv4, spd.AnyIPv4, 900)}))
	dirs := map[spd.Direction]int{}
	for _, pol := range k.Policies() {
		dirs[spd.Direction(pol.Dir)]++
		for _, tm := range pol.Templates {
			require.Equal(t, pol.Dir != xfrm.DirOut, tm.Optional)
			if tm.Mode == xfrm.ModeTransport {
				require.Equal(t, addr("0.0.0.0"), tm.Src, "transport mode has the packet's addresses")
			}
		}
		if pol.InterfaceID != 0 {
			require.Equal(t, xfrm.Mark{Value: 0xff, Mask: 0xff}, pol.Mark)
		}
	}
	require.Equal(t, map[spd.Direction]int{spd.Out: 2, spd.In: 3, spd.Forward: 3}, dirs)
	require.Equal(t, xfrmtest.Clear, k.Input(inFlow, false, 1), "optional")

	for _, pol := range []spd.Policy{
		{Direction: spd.Out, Selector: out.Selector, Action: spd.ActionProtect, ReqID: 1, Protocol: spd.ProtoESP},
		{Direction: spd.Out, Selector: out.Selector, Action: spd.ActionProtect, ReqID: 1, Protocol: spd.ProtoESP, Local: addr("::1"), Remote: addr("192.0.2.1")},
		{},
	} {
		require.ErrorIs(t, p.SetPolicies(ctx, 2, []spd.Policy{pol}), spd.ErrPolicy)
	}
}

// TestDisplaced: where the policy of somebody else is in the place of one to be
// set, such as one of an earlier life that nobody remembers, the own one is there
// for as long as it is wanted, and the other one before and after, without a
// moment without one.
func TestDisplaced(t *testing.T) {
	b := gateway(0x1001)
	foreign := func(t *testing.T) (*xfrmtest.Kernel, []xfrm.Policy) {
		k, p := newFake(t)
		require.NoError(t, p.SetPolicies(ctx, 1, bundlePolicies(b)))
		left := k.Policies()
		k2 := xfrmtest.NewKernel()
		c, err := xfrm.NewClient(k2.Dial)
		require.NoError(t, err)
		t.Cleanup(func() { _ = c.Close() })
		for i := range left {
			left[i].Templates[0].ReqID = 99
			require.NoError(t, c.AddPolicy(ctx, &left[i]))
		}
		watchClear(t, k2, outFlow)
		return k2, left
	}
	reqIDs := func(k *xfrmtest.Kernel) (ids []uint32) {
		for _, pol := range k.Policies() {
			ids = append(ids, pol.Templates[0].ReqID)
		}
		return ids
	}
	ours, theirs := []uint32{7, 7, 7}, []uint32{99, 99, 99}
	cfg := func(store spd.DisplacedStore) xfrm.Config {
		return xfrm.Config{Capabilities: fakeCapabilities(), Displaced: store}
	}
	for _, end := range []string{"removed", "closed"} {
		t.Run(end, func(t *testing.T) {
			k, _ := foreign(t)
			p := openFake(t, k, cfg(nil))
			list, err := p.ForeignPolicies(ctx)
			require.NoError(t, err)
			require.Len(t, list, 3)
			want := bundlePolicies(b)
			for i := range list {
				w := want[0]
				if list[i].Direction != spd.Out {
					w = want[1]
				}
				w.Direction, w.Priority, w.ReqID = list[i].Direction, list[i].Policy.Priority, 99
				require.Equal(t, w, list[i].Policy)
				require.NotZero(t, list[i].ID)
			}
			require.NoError(t, p.SetPolicies(ctx, 1, bundlePolicies(b)))
			require.Equal(t, ours, reqIDs(k))
			list, err = p.ForeignPolicies(ctx)
			require.NoError(t, err)
			require.Empty(t, list)
			if end == "removed" {
				require.NoError(t, p.SetPolicies(ctx, 1, nil))
			} else {
				require.NoError(t, p.Close())
			}
			require.Equal(t, theirs, reqIDs(k))
		})
	}
	t.Run("after a crash", func(t *testing.T) {
		k, _ := foreign(t)
		store := memoryDisplaced{}
		p := openFake(t, k, cfg(store))
		require.NoError(t, p.SetPolicies(ctx, 1, bundlePolicies(b)))
		require.Len(t, store, 3)
		p = openFake(t, k, cfg(store)) // the next life
		adopted, err := p.AdoptPolicies(ctx, 1, bundlePolicies(b))
		require.NoError(t, err)
		require.Len(t, adopted, 2)
		require.NoError(t, p.SetPolicies(ctx, 1, nil))
		require.Equal(t, theirs, reqIDs(k))
		require.Empty(t, store)
	})
	t.Run("changed meanwhile", func(t *testing.T) {
		k, theirs := foreign(t)
		p := openFake(t, k, cfg(nil))
		require.NoError(t, p.SetPolicies(ctx, 1, bundlePolicies(b)))
		for i := range theirs {
			theirs[i].Templates[0].ReqID = 55
			require.NoError(t, p.Client().SetPolicy(ctx, &theirs[i]))
		}
		list, err := p.ForeignPolicies(ctx)
		require.NoError(t, err)
		require.Len(t, list, 3)
		require.NoError(t, p.SetPolicies(ctx, 1, nil))
		require.Equal(t, []uint32{55, 55, 55}, reqIDs(k))
	})
}

// memoryDisplaced is a store that outlives a data plane.
type memoryDisplaced map[string][]byte

func (m memoryDisplaced) Load() (map[string][]byte, error) { return m, nil }
func (m memoryDisplaced) Put(place string, content []byte) error {
	m[place] = content
	return nil
}
func (m memoryDisplaced) Remove(place string) error { delete(m, place); return nil }
