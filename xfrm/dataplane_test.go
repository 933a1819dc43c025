package xfrm_test

import (
	"context"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/internal/testhost"
	"github.com/racoon3/racoon/spd"
	"github.com/racoon3/racoon/xfrm"
	"github.com/racoon3/racoon/xfrm/xfrmtest"
)

var ctx = context.Background()

// fakeCapabilities spare the tests the search.
func fakeCapabilities() *spd.Capabilities {
	c := spd.MemoryCapabilities()
	c.Name = "xfrm"
	return &c
}

func newFake(t testing.TB) (*xfrmtest.Kernel, *xfrm.DataPlane) {
	t.Helper()
	k := xfrmtest.NewKernel()
	return k, openFake(t, k, xfrm.Config{Capabilities: fakeCapabilities()})
}

func openFake(t testing.TB, k *xfrmtest.Kernel, cfg xfrm.Config) *xfrm.DataPlane {
	t.Helper()
	cfg.Dial = k.Dial
	p, err := xfrm.New(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { _ = p.Close() })
	return p
}

var gcm128 = spd.Transform{Type: spd.TransformENCR, ID: spd.EncrAESGCM16, KeyLen: 128}

// gateway is a bundle of a tunnel between 10.1/16 and 10.2/16.
func gateway(spi spd.SPI) *spd.Bundle {
	return &spd.Bundle{
		SAs:   []spd.SA{{Protocol: spd.ProtoESP, SPI: spi, Encryption: gcm128, EncrKey: spd.Key("0123456789abcdefSALT")}},
		ReqID: 7, Local: netip.MustParseAddrPort("192.0.2.1:4500"), Remote: netip.MustParseAddrPort("198.51.100.2:4500"),
		LocalTS: []spd.TrafficSelector{spd.FromPrefix(prefix("10.1.0.0/16"))}, RemoteTS: []spd.TrafficSelector{spd.FromPrefix(prefix("10.2.0.0/16"))},
	}
}

// bundlePolicies are the policies of a Child SA, both directions.
func bundlePolicies(b *spd.Bundle) []spd.Policy {
	var ps []spd.Policy
	for _, l := range b.LocalTS {
		for _, r := range b.RemoteTS {
			out := spd.Policy{Direction: spd.Out, Selector: spd.Selector{Local: l, Remote: r}, Action: spd.ActionProtect, Priority: 1000, ReqID: b.ReqID,
				Protocol: b.SAs[len(b.SAs)-1].Protocol, Mode: b.SAs[0].Mode, Local: b.Local.Addr(), Remote: b.Remote.Addr(), InterfaceID: b.Options.InterfaceID}
			in := out
			in.Direction = spd.In
			ps = append(ps, out, in)
		}
	}
	return ps
}

// out and in are flows that the gateway's policies protect.
var (
	outFlow = spd.Flow{Src: addr("10.1.0.5"), Dst: addr("10.2.0.9"), Protocol: 6, SrcPort: 1234, DstPort: 80}
	inFlow  = spd.Flow{Src: addr("10.2.0.9"), Dst: addr("10.1.0.5"), Protocol: 6, SrcPort: 80, DstPort: 1234}
)

func reserve(t testing.TB, p *xfrm.DataPlane, b *spd.Bundle) spd.SPI {
	t.Helper()
	spi, err := p.AllocSPI(ctx, spd.SPIRequest{Protocol: b.SAs[0].Protocol, Local: b.Local.Addr(), Remote: b.Remote.Addr(), ReqID: b.ReqID})
	require.NoError(t, err)
	return spi
}

// event waits for one.
func event[T spd.Event](t testing.TB, p *xfrm.DataPlane) (ev T) {
	t.Helper()
	timeout := time.After(testhost.Patience)
	for {
		select {
		case e := <-p.Events():
			if ev, ok := e.(T); ok {
				return ev
			}
		case <-timeout:
			require.FailNow(t, "no event", "%T", ev)
		}
	}
}

func TestChildSA(t *testing.T) {
	k, p := newFake(t)
	in := gateway(0)
	in.SAs[0].SPI = reserve(t, p, in)
	require.GreaterOrEqual(t, in.SAs[0].SPI, spd.SPI(0xc0000000))
	out := gateway(0x1001)
	out.Lifetime = spd.Lifetime{SoftBytes: 1000, HardBytes: 2000, HardTime: time.Hour - 500*time.Millisecond}
	require.NoError(t, p.InstallInbound(ctx, in))
	require.NoError(t, p.InstallOutbound(ctx, out))
	require.Equal(t, 1, k.Requests(xfrm.MsgUpdSA), "the reserved SPI becomes mature")
	require.Equal(t, 1, k.Requests(xfrm.MsgNewSA))
	require.NoError(t, p.SetPolicies(ctx, 1, bundlePolicies(out)))

	sas := k.SAs()
	require.Len(t, sas, 2)
	require.Equal(t, addr("198.51.100.2"), sas[0].Src)
	require.Equal(t, addr("192.0.2.1"), sas[0].Dst)
	require.Equal(t, &xfrm.ReplayESN{Window: 64, Bitmap: []uint32{0, 0}}, sas[0].ReplayESN)
	require.Equal(t, xfrm.Selector{Src: prefix("10.2.0.0/16"), Dst: prefix("10.1.0.0/16")}, sas[0].Selector)
	require.Equal(t, xfrm.Algorithm{Name: "rfc4106(gcm(aes))", Key: spd.Key("0123456789abcdefSALT"), ICVBits: 128}, sas[1].AEAD)
	require.Equal(t, xfrm.Limits{SoftBytes: 1000, HardBytes: 2000, SoftPackets: 1<<32 - 1 - 1<<28, HardAdd: 3600}, sas[1].Limits)
	require.EqualValues(t, 7, sas[1].ReqID)

	var dirs []xfrm.Direction
	for _, pol := range k.Policies() {
		dirs = append(dirs, pol.Dir)
		require.Len(t, pol.Templates, 1)
		require.Equal(t, pol.Dir == xfrm.DirOut, pol.Templates[0].Src == addr("192.0.2.1"))
	}
	require.ElementsMatch(t, []xfrm.Direction{xfrm.DirIn, xfrm.DirForward, xfrm.DirOut}, dirs)

	// Packets, the first of them inbound.
	v, through := k.Output(outFlow, 100)
	require.Equal(t, xfrmtest.Protected, v)
	require.Equal(t, []xfrm.SAKey{{Dst: addr("198.51.100.2"), SPI: 0x1001, Proto: xfrm.ProtoESP}}, through)
	arrived := xfrm.SAKey{Dst: addr("192.0.2.1"), SPI: uint32(in.SAs[0].SPI), Proto: xfrm.ProtoESP}
	require.Equal(t, xfrmtest.Protected, k.Input(inFlow, false, 60, arrived))
	require.Equal(t, xfrmtest.Protected, k.Input(inFlow, true, 60, arrived), "to a host behind the gateway")
	require.Equal(t, xfrmtest.Dropped, k.Input(inFlow, false, 60), "in clear")
	require.Equal(t, xfrmtest.Dropped, k.Input(inFlow, true, 60), "in clear")
	require.Equal(t, spd.FirstPacketEvent{ID: in.ID(spd.In, 0)}, event[spd.FirstPacketEvent](t, p))
	stranger := inFlow
	stranger.Src = addr("10.3.0.1")
	require.Equal(t, xfrmtest.Dropped, k.Input(stranger, false, 60, arrived), "outside the selectors")

	c, err := p.Query(ctx, in.ID(spd.In, 0))
	require.NoError(t, err)
	require.EqualValues(t, 2, c.Packets)
	require.EqualValues(t, 120, c.Bytes)
	require.WithinDuration(t, time.Now(), c.LastUsed, testhost.Patience)

	// Volume limits.
	k.Output(outFlow, 1000)
	k.Output(outFlow, 1000)
	soft := event[spd.ExpireEvent](t, p)
	require.Equal(t, out.ID(spd.Out, 0), soft.ID)
	require.False(t, soft.Hard || soft.Exhausted)
	k.Output(outFlow, 1)
	hard := event[spd.ExpireEvent](t, p)
	require.True(t, hard.Hard)
	require.EqualValues(t, 2100, hard.Counters.Bytes)
	// It is gone from the kernel, and its counters are not.
	c, err = p.Remove(ctx, out.ID(spd.Out, 0))
	require.NoError(t, err)
	require.EqualValues(t, 2100, c.Bytes)
	_, err = p.Remove(ctx, out.ID(spd.Out, 0))
	require.ErrorIs(t, err, spd.ErrNotFound)
	_, err = p.Query(ctx, out.ID(spd.Out, 0))
	require.ErrorIs(t, err, spd.ErrNotFound)

	require.NoError(t, p.Close())
	require.Empty(t, k.SAs())
	require.Empty(t, k.Policies())
	require.Zero(t, k.Conns())
	require.ErrorIs(t, p.InstallInbound(ctx, in), spd.ErrClosed)
	_, ok := <-p.Events()
	for ok {
		_, ok = <-p.Events()
	}
}

func TestInstallTwice(t *testing.T) {
	k, p := newFake(t)
	require.NoError(t, p.InstallOutbound(ctx, gateway(0x1001)))
	require.ErrorIs(t, p.InstallOutbound(ctx, gateway(0x1001)), spd.ErrExists)
	// One of somebody else's is not replaced, nor removed.
	c, err := xfrm.NewClient(k.Dial)
	require.NoError(t, err)
	defer c.Close()
	foreign := k.SAs()[0]
	foreign.SPI = 0x2002
	require.NoError(t, c.AddSA(ctx, &foreign))
	require.ErrorIs(t, p.InstallOutbound(ctx, gateway(0x2002)), spd.ErrExists)
	_, err = p.Remove(ctx, gateway(0x2002).ID(spd.Out, 0))
	require.ErrorIs(t, err, spd.ErrNotFound)
	require.Len(t, k.SAs(), 2)
	require.NoError(t, p.Close())
	require.Len(t, k.SAs(), 1)
}

// TestLarval: reservations end by the request's time and the kernel's.
func TestLarval(t *testing.T) {
	k, p := newFake(t)
	now := time.Now()
	k.Do(func() { k.Now = func() time.Time { return now } })
	b := gateway(0)
	spi := reserve(t, p, b)
	require.Len(t, k.SAs(), 1)
	// The kernel forgets it after 30 seconds; it can be installed all the same.
	k.Do(func() { now = now.Add(31 * time.Second) })
	require.Empty(t, k.SAs())
	b.SAs[0].SPI = spi
	require.NoError(t, p.InstallInbound(ctx, b))
	require.Len(t, k.SAs(), 1)
	require.ErrorIs(t, p.ReleaseSPI(ctx, b.ID(spd.In, 0)), spd.ErrNotFound, "it is not reserved any more")
	_, err := p.Remove(ctx, b.ID(spd.In, 0))
	require.NoError(t, err)

	b.SAs[0].SPI = reserve(t, p, b)
	require.NoError(t, p.ReleaseSPI(ctx, b.ID(spd.In, 0)))
	require.Empty(t, k.SAs())
	require.ErrorIs(t, p.ReleaseSPI(ctx, b.ID(spd.In, 0)), spd.ErrNotFound)

	// The request's own time is shorter than the kernel's.
	_, err = p.AllocSPI(ctx, spd.SPIRequest{Protocol: spd.ProtoESP, Local: b.Local.Addr(), Remote: b.Remote.Addr(), TTL: 10 * time.Millisecond})
	require.NoError(t, err)
	require.Eventually(t, func() bool { return len(k.SAs()) == 0 }, testhost.Patience, time.Millisecond)

	cpi, err := p.AllocSPI(ctx, spd.SPIRequest{Protocol: spd.ProtoIPComp, Local: b.Local.Addr(), Remote: b.Remote.Addr()})
	require.NoError(t, err)
	require.True(t, cpi >= spd.FirstSPI && cpi <= spd.LastCPI)
}

func TestBundle(t *testing.T) {
	k, p := newFake(t)
	sha := spd.Transform{Type: spd.TransformINTEG, ID: spd.IntegHMACSHA256_128}
	b := gateway(0x1002)
	b.SAs = []spd.SA{
		{Protocol: spd.ProtoIPComp, SPI: 0x1001, Encryption: spd.Transform{Type: spd.TransformENCR, ID: 2}},
		b.SAs[0],
		{Protocol: spd.ProtoAH, SPI: 0x1003, Integrity: sha, IntegKey: spd.Key("0123456789abcdef0123456789abcdef")},
	}
	// The trap comes before the bundle and knows of ESP alone.
	require.NoError(t, p.SetPolicies(ctx, 9, []spd.Policy{trap(b)}))
	require.Len(t, k.Policies()[0].Templates, 1)
	require.NoError(t, p.InstallInbound(ctx, b))
	require.NoError(t, p.InstallOutbound(ctx, b))
	require.NoError(t, p.SetPolicies(ctx, 1, bundlePolicies(b)))
	for _, pol := range k.Policies() {
		var got []xfrm.Template
		for _, tm := range pol.Templates {
			got = append(got, xfrm.Template{Proto: tm.Proto, Mode: tm.Mode, Optional: tm.Optional})
		}
		require.Equal(t, []xfrm.Template{
			{Proto: xfrm.ProtoIPComp, Mode: xfrm.ModeTunnel, Optional: pol.Dir != xfrm.DirOut},
			{Proto: xfrm.ProtoESP, Mode: xfrm.ModeTransport},
			{Proto: xfrm.ProtoAH, Mode: xfrm.ModeTransport},
		}, got, "%v", pol.Dir)
	}
	for _, sa := range k.SAs() {
		require.Equal(t, sa.Proto == xfrm.ProtoIPComp, sa.Mode == xfrm.ModeTunnel)
	}
	v, through := k.Output(outFlow, 100)
	require.Equal(t, xfrmtest.Protected, v)
	require.Len(t, through, 3)
	var arrived []xfrm.SAKey
	for _, id := range b.IDs(spd.In) {
		arrived = append(arrived, xfrm.SAKey{Dst: id.Dst, SPI: uint32(id.SPI), Proto: map[spd.Protocol]uint8{spd.ProtoESP: 50, spd.ProtoAH: 51, spd.ProtoIPComp: 108}[id.Protocol]})
	}
	require.Equal(t, xfrmtest.Protected, k.Input(inFlow, false, 100, arrived...))
	require.Equal(t, xfrmtest.Protected, k.Input(inFlow, false, 100, arrived[1:]...), "not compressed")
	require.Equal(t, xfrmtest.Dropped, k.Input(inFlow, false, 100, arrived[:2]...), "without AH")
}

func trap(b *spd.Bundle) spd.Policy {
	pol := bundlePolicies(b)[0]
	pol.Action, pol.Priority, pol.Protocol = spd.ActionTrap, pol.Priority+1, spd.ProtoESP
	return pol
}

// TestRekeyKeepsProtection: while one SA takes over from another, packets are
// protected at each step.
func TestRekeyKeepsProtection(t *testing.T) {
	k, p := newFake(t)
	first, second := gateway(0x1001), gateway(0x1002)
	require.NoError(t, p.InstallOutbound(ctx, first))
	require.NoError(t, p.SetPolicies(ctx, 1, bundlePolicies(first)))
	watchClear(t, k, outFlow)
	changes := k.Requests(xfrm.MsgUpdPolicy) + k.Requests(xfrm.MsgNewPolicy)
	require.NoError(t, p.InstallOutbound(ctx, second))
	_, through := k.Output(outFlow, 100)
	require.EqualValues(t, 0x1002, through[0].SPI, "the newest is used")
	require.NoError(t, p.SetPolicies(ctx, 2, bundlePolicies(second)))
	require.NoError(t, p.SetPolicies(ctx, 1, nil))
	_, err := p.Remove(ctx, first.ID(spd.Out, 0))
	require.NoError(t, err)
	_, through = k.Output(outFlow, 100)
	require.EqualValues(t, 0x1002, through[0].SPI)
	require.Equal(t, changes, k.Requests(xfrm.MsgUpdPolicy)+k.Requests(xfrm.MsgNewPolicy), "the policies are the same")
}

// watchClear ends the test if after any request a flow would go in clear.
func watchClear(t testing.TB, k *xfrmtest.Kernel, flows ...spd.Flow) {
	t.Cleanup(func() { k.Do(func() { k.After = nil }) })
	k.Do(func() {
		k.After = func(m xfrm.Message, errno xfrm.Errno) {
			for _, f := range flows {
				if v := k.LookOut(f); v == xfrmtest.Clear {
					t.Errorf("%v goes in clear after %v (error %d)", f, m.MessageType(), errno)
				}
			}
		}
	})
}

func TestAcquire(t *testing.T) {
	k, p := newFake(t)
	b := gateway(0x1001)
	require.NoError(t, p.SetPolicies(ctx, 9, []spd.Policy{trap(b)}))
	v, _ := k.Output(outFlow, 100)
	require.Equal(t, xfrmtest.Held, v)
	ev := event[spd.AcquireEvent](t, p)
	require.Equal(t, trap(b), ev.Policy)
	require.Equal(t, outFlow.Selector(spd.Out), ev.Packet)

	// A failed one is answered: the next packet asks again.
	k.Output(outFlow, 100)
	require.NoError(t, p.AcquireDone(ctx, ev.ID, context.DeadlineExceeded))
	require.ErrorIs(t, p.AcquireDone(ctx, ev.ID, nil), spd.ErrNotFound)
	require.Empty(t, k.SAs())
	k.Output(outFlow, 100)
	again := event[spd.AcquireEvent](t, p)
	require.NotEqual(t, ev.ID, again.ID)

	// The SA ends it in the kernel.
	require.NoError(t, p.InstallOutbound(ctx, b))
	require.Len(t, k.SAs(), 1)
	require.NoError(t, p.AcquireDone(ctx, again.ID, nil))
	require.Len(t, k.SAs(), 1)
	v, _ = k.Output(outFlow, 100)
	require.Equal(t, xfrmtest.Protected, v)

	// ICMP has its type and code where ports are.
	ping := spd.Flow{Src: outFlow.Src, Dst: outFlow.Dst, Protocol: 1, SrcPort: 8 << 8}
	_, err := p.Remove(ctx, b.ID(spd.Out, 0))
	require.NoError(t, err)
	k.Output(ping, 100)
	require.Equal(t, ping.Selector(spd.Out), event[spd.AcquireEvent](t, p).Packet)
}

// TestAcquireExpires: what the kernel has forgotten is forgotten here too.
func TestAcquireExpires(t *testing.T) {
	k, p := newFake(t)
	now := time.Now()
	k.Do(func() { k.Now = func() time.Time { return now } })
	require.NoError(t, p.SetPolicies(ctx, 9, []spd.Policy{trap(gateway(0x1001))}))
	k.Output(outFlow, 100)
	ev := event[spd.AcquireEvent](t, p)
	k.Do(func() { now = now.Add(31 * time.Second) })
	k.Expire()
	require.Eventually(t, func() bool { return p.AcquireDone(ctx, ev.ID, nil) != nil }, testhost.Patience, time.Millisecond)
}

// TestFlushedByHand: an SA that somebody has removed does not swallow acquires.
func TestFlushedByHand(t *testing.T) {
	k, p := newFake(t)
	b := gateway(0x1001)
	require.NoError(t, p.InstallOutbound(ctx, b))
	require.NoError(t, p.SetPolicies(ctx, 1, bundlePolicies(b)))
	require.NoError(t, p.Client().FlushSAs(ctx, xfrm.ProtoAny))
	k.Output(outFlow, 100)
	ev := event[spd.ExpireEvent](t, p)
	require.True(t, ev.Hard)
	require.Equal(t, b.ID(spd.Out, 0), ev.ID)
	require.EqualValues(t, 7, event[spd.AcquireEvent](t, p).Policy.ReqID)
}

func TestMapping(t *testing.T) {
	k, p := newFake(t)
	b := gateway(0x1001)
	b.UDPEncap = true
	require.NoError(t, p.InstallInbound(ctx, b))
	require.NoError(t, p.InstallOutbound(ctx, b))
	key := xfrm.SAKey{Dst: addr("192.0.2.1"), SPI: 0x1001, Proto: xfrm.ProtoESP}
	to := netip.MustParseAddrPort("198.51.100.2:31000")
	require.True(t, k.Map(key, to))
	require.True(t, k.Map(key, to)) // each packet says so
	require.Equal(t, spd.MappingEvent{ID: b.ID(spd.In, 0), Old: b.Remote, New: to}, event[spd.MappingEvent](t, p))
	require.Equal(t, xfrm.Encap{Type: xfrm.EncapUDP, SrcPort: 4500, DstPort: 4500}, k.SAs()[0].Encap)
	moved := spd.Endpoints{Local: b.Local, Remote: to, UDPEncap: true}
	require.NoError(t, p.MovePeer(ctx, b.ID(spd.In, 0), moved))
	require.NoError(t, p.MovePeer(ctx, b.ID(spd.Out, 0), moved))
	require.Equal(t, xfrm.Encap{Type: xfrm.EncapUDP, SrcPort: 31000, DstPort: 4500}, k.SAs()[0].Encap)
	require.Equal(t, xfrm.Encap{Type: xfrm.EncapUDP, SrcPort: 4500, DstPort: 31000}, k.SAs()[1].Encap)
	require.Zero(t, k.Requests(xfrm.MsgDelSA), "ports change in place")
	select {
	case ev := <-p.Events():
		require.Fail(t, "one mapping is told once", "%#v", ev)
	default:
	}
}

// TestMoveCarriesReplayState: an SA that is added again continues its sequence
// numbers, its window and its counters.
func TestMoveCarriesReplayState(t *testing.T) {
	for _, esn := range []bool{false, true} {
		k, p := newFake(t)
		b := gateway(0x1001)
		b.SAs[0].ESN = esn
		require.NoError(t, p.InstallInbound(ctx, b))
		require.NoError(t, p.InstallOutbound(ctx, b))
		require.NoError(t, p.SetPolicies(ctx, 1, bundlePolicies(b)))
		in := xfrm.SAKey{Dst: addr("192.0.2.1"), SPI: 0x1001, Proto: xfrm.ProtoESP}
		for range 5 {
			k.Output(outFlow, 100)
			k.Input(inFlow, false, 100, in)
		}
		// A packet slips in between the look at the SA and its removal.
		k.Do(func() {
			k.After = func(m xfrm.Message, _ xfrm.Errno) {
				if g, ok := m.(*xfrm.GetSA); ok && g.Key.Dst == addr("198.51.100.2") {
					go k.Output(outFlow, 100)
				}
			}
		})
		watchClear(t, k, outFlow)
		to := spd.Endpoints{Local: netip.MustParseAddrPort("203.0.113.1:4500"), Remote: netip.MustParseAddrPort("198.51.100.9:500")}
		require.NoError(t, p.MovePeer(ctx, b.ID(spd.In, 0), to))
		require.NoError(t, p.MovePeer(ctx, b.ID(spd.Out, 0), to))
		sas := k.SAs()
		require.Len(t, sas, 2)
		require.Equal(t, addr("203.0.113.1"), sas[0].Dst)
		require.EqualValues(t, 5, sas[0].ReplayESN.Seq)
		require.Equal(t, addr("198.51.100.9"), sas[1].Dst)
		require.Equal(t, addr("203.0.113.1"), sas[1].Src)
		if esn {
			require.GreaterOrEqual(t, sas[1].ReplayESN.OutSeq, uint64(5))
			require.Equal(t, sas[1].Usage.Packets, sas[1].ReplayESN.OutSeq)
		} else {
			require.GreaterOrEqual(t, sas[1].Replay.OutSeq, uint32(5))
		}
		require.Equal(t, spd.Key("0123456789abcdefSALT"), sas[1].AEAD.Key)
		// The policies have followed, and so have the names.
		v, _ := k.Output(outFlow, 100)
		require.Equal(t, xfrmtest.Protected, v)
		in.Dst = to.Local.Addr()
		require.Equal(t, xfrmtest.Protected, k.Input(inFlow, true, 100, in))
		_, err := p.Query(ctx, b.ID(spd.In, 0))
		require.ErrorIs(t, err, spd.ErrNotFound)
		b.Local, b.Remote = to.Local, to.Remote
		c, err := p.Query(ctx, b.ID(spd.In, 0))
		require.NoError(t, err)
		require.EqualValues(t, 6, c.Packets)
		// Key management now names the policies by the new addresses.
		updates := k.Requests(xfrm.MsgUpdPolicy)
		require.NoError(t, p.SetPolicies(ctx, 1, bundlePolicies(b)))
		require.Equal(t, updates, k.Requests(xfrm.MsgUpdPolicy))
		// And back.
		back := gateway(0x1001)
		require.NoError(t, p.MovePeer(ctx, b.ID(spd.In, 0), spd.Endpoints{Local: back.Local, Remote: back.Remote}))
		require.NoError(t, p.MovePeer(ctx, b.ID(spd.Out, 0), spd.Endpoints{Local: back.Local, Remote: back.Remote}))
		v, _ = k.Output(outFlow, 100)
		require.Equal(t, xfrmtest.Protected, v)
	}
}

// TestMoveUnderLockdown: zeros that the kernel tells instead of keys never
// become keys.
func TestMoveUnderLockdown(t *testing.T) {
	k, p := newFake(t)
	k.Do(func() { k.HideKeys = true })
	b := gateway(0x1001)
	require.NoError(t, p.InstallOutbound(ctx, b))
	err := p.MovePeer(ctx, b.ID(spd.Out, 0), spd.Endpoints{Local: b.Local, Remote: netip.MustParseAddrPort("198.51.100.9:500")})
	require.ErrorIs(t, err, spd.ErrUnsupported)
	require.ErrorContains(t, err, "lockdown")
	require.Len(t, k.SAs(), 1)
	require.Equal(t, b.SAs[0].EncrKey, k.SAs()[0].AEAD.Key)
}

// TestOverflow: after lost events everything that they would have told is told.
func TestOverflow(t *testing.T) {
	k, p := newFake(t)
	a, b := gateway(0x1001), gateway(0x1001)
	a.ReqID = 8
	a.LocalTS, a.RemoteTS = []spd.TrafficSelector{spd.FromPrefix(prefix("10.8.0.0/16"))}, []spd.TrafficSelector{spd.FromPrefix(prefix("10.9.0.0/16"))}
	a.SAs[0].SPI = 0x1002
	b.Lifetime = spd.Lifetime{SoftBytes: 100}
	require.NoError(t, p.InstallInbound(ctx, b))
	require.NoError(t, p.InstallOutbound(ctx, b))
	require.NoError(t, p.InstallOutbound(ctx, a))
	require.NoError(t, p.SetPolicies(ctx, 1, bundlePolicies(b)))
	other := gateway(0x1003)
	other.ReqID = 9
	other.LocalTS, other.RemoteTS = []spd.TrafficSelector{spd.FromPrefix(prefix("10.3.0.0/16"))}, []spd.TrafficSelector{spd.FromPrefix(prefix("10.4.0.0/16"))}
	require.NoError(t, p.SetPolicies(ctx, 2, []spd.Policy{trap(other)}))

	k.Do(func() { k.LoseEvents = true })
	require.NoError(t, p.Client().DeleteSA(ctx, xfrm.SAKey{Dst: addr("198.51.100.2"), SPI: 0x1002, Proto: xfrm.ProtoESP}))
	k.Input(inFlow, false, 10, xfrm.SAKey{Dst: addr("192.0.2.1"), SPI: 0x1001, Proto: xfrm.ProtoESP})
	k.Output(outFlow, 200)
	k.Output(spd.Flow{Src: addr("10.3.0.1"), Dst: addr("10.4.0.1"), Protocol: 17, SrcPort: 5, DstPort: 6}, 10)
	k.Output(outFlow, 200)
	var got []spd.Event
	require.Eventually(t, func() bool {
		for {
			select {
			case ev := <-p.Events():
				got = append(got, ev)
				continue
			default:
			}
			break
		}
		has := func(f func(spd.Event) bool) bool { return slices.ContainsFunc(got, f) }
		return has(func(e spd.Event) bool { _, ok := e.(spd.OverflowEvent); return ok }) &&
			has(func(e spd.Event) bool { x, ok := e.(spd.ExpireEvent); return ok && x.Hard && x.ID == a.ID(spd.Out, 0) }) &&
			has(func(e spd.Event) bool { x, ok := e.(spd.ExpireEvent); return ok && !x.Hard && x.ID == b.ID(spd.Out, 0) }) &&
			has(func(e spd.Event) bool { x, ok := e.(spd.FirstPacketEvent); return ok && x.ID == b.ID(spd.In, 0) }) &&
			has(func(e spd.Event) bool { x, ok := e.(spd.AcquireEvent); return ok && x.Policy == trap(other) })
	}, testhost.Patience, time.Millisecond, "%#v", got)
}

// TestSlowReader: a reader that does not keep up learns it.
func TestSlowReader(t *testing.T) {
	k := xfrmtest.NewKernel()
	p := openFake(t, k, xfrm.Config{Capabilities: fakeCapabilities(), Events: 4})
	for i := range 20 {
		b := gateway(0x1001 + spd.SPI(i))
		b.ReqID = uint32(100 + i)
		b.LocalTS = []spd.TrafficSelector{spd.FromAddr(netip.AddrFrom4([4]byte{10, 1, 1, byte(i)}))}
		require.NoError(t, p.SetPolicies(ctx, spd.Owner(i), []spd.Policy{trap(b)}))
	}
	for i := range 20 {
		f := outFlow
		f.Src = netip.AddrFrom4([4]byte{10, 1, 1, byte(i)})
		k.Output(f, 1)
	}
	// Of the acquires that nobody has heard of, the kernel is made to ask again.
	heard, overflow := 0, false
	require.Eventually(t, func() bool {
		select {
		case ev := <-p.Events():
			switch ev.(type) {
			case spd.AcquireEvent:
				heard++
			case spd.OverflowEvent:
				overflow = true
			}
		default:
		}
		return overflow && heard < 20 && len(k.SAs()) == heard
	}, testhost.Patience, time.Millisecond)
}
