package spd

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var (
	ctx      = context.Background()
	hostA    = netip.MustParseAddrPort("192.0.2.1:4500")
	hostB    = netip.MustParseAddrPort("192.0.2.2:4500")
	netA     = set("10.1.0.0/16")
	netB     = set("10.2.0.0/16")
	testFlow = *flow(6, "10.1.0.1:1000", "10.2.0.1:80")
)

// child is one ESP SA with AES-GCM: from A to B, as seen by the sender.
func child(spi SPI, key byte) *Bundle {
	k := make(Key, 20)
	k[0] = key
	return &Bundle{
		SAs:   []SA{{Protocol: ProtoESP, SPI: spi, Encryption: Transform{TransformENCR, EncrAESGCM16, 128}, EncrKey: k}},
		ReqID: 7, Local: hostA, Remote: hostB, LocalTS: netA, RemoteTS: netB,
	}
}

func mirror(b *Bundle) *Bundle {
	b = b.Clone()
	b.Local, b.Remote, b.LocalTS, b.RemoteTS = b.Remote, b.Local, b.RemoteTS, b.LocalTS
	return b
}

func protect(reqID uint32, local, remote []TrafficSelector) (r []Policy) {
	for _, d := range []Direction{In, Out} {
		for _, l := range local {
			for _, x := range remote {
				r = append(r, Policy{Direction: d, Selector: Selector{l, x}, Action: ActionProtect, ReqID: reqID, Protocol: ProtoESP})
			}
		}
	}
	return r
}

// pair returns two planes with their policies and one SA from A to B.
func pair(t *testing.T) (a, b *Memory, spi SPI) {
	t.Helper()
	a, b = NewMemory(MemoryConfig{}), NewMemory(MemoryConfig{})
	require.NoError(t, a.SetPolicies(ctx, 1, protect(7, netA, netB)))
	require.NoError(t, b.SetPolicies(ctx, 1, protect(7, netB, netA)))
	spi = install(t, a, b, 1)
	return a, b, spi
}

func install(t *testing.T, a, b *Memory, key byte) SPI {
	t.Helper()
	spi, err := b.AllocSPI(ctx, SPIRequest{Protocol: ProtoESP, Local: hostB.Addr(), Remote: hostA.Addr(), ReqID: 7})
	require.NoError(t, err)
	c := child(spi, key)
	require.NoError(t, b.InstallInbound(ctx, mirror(c)))
	require.NoError(t, a.InstallOutbound(ctx, c))
	return spi
}

func TestMemoryTraffic(t *testing.T) {
	a, b, spi := pair(t)
	out, in := child(spi, 1).ID(Out, 0), mirror(child(spi, 1)).ID(In, 0)
	d := a.Send(b, testFlow, 100)
	require.Equal(t, Delivery{Outcome: Delivered, SPI: spi, ReqID: 7}, d)
	require.False(t, d.Outcome.Gap())
	require.Equal(t, []Event{FirstPacketEvent{in}}, b.PollEvents())
	require.Equal(t, Delivered, a.Send(b, testFlow, 50).Outcome)
	require.Empty(t, b.PollEvents(), "the first packet is the first once")
	for m, id := range map[*Memory]SAID{a: out, b: in} {
		c, err := m.Query(ctx, id)
		require.NoError(t, err)
		require.Equal(t, Counters{Bytes: 150, Packets: 2}, c)
	}
	require.Empty(t, CompareMemory(a, b))

	// Rekey: the newest outbound bundle sends, the old one stays until removed.
	spi2 := install(t, a, b, 2)
	require.Equal(t, spi2, a.Send(b, testFlow, 1).SPI)
	c, err := a.Remove(ctx, child(spi2, 2).ID(Out, 0))
	require.NoError(t, err)
	require.Equal(t, uint64(1), c.Packets)
	require.Equal(t, Delivery{Outcome: Delivered, SPI: spi, ReqID: 7}, a.Send(b, testFlow, 1))
	require.Len(t, CompareMemory(a, b), 1, "B holds an inbound SA that A has not")
	_, err = a.Remove(ctx, child(spi2, 2).ID(Out, 0))
	require.ErrorIs(t, err, ErrNotFound)
}

func TestMemoryGaps(t *testing.T) {
	out := func(m *Memory) *Bundle { return m.Bundles()[0].Bundle }
	for want, prepare := range map[Outcome]func(t *testing.T, a, b *Memory, f *Flow){
		NoPolicy: func(t *testing.T, a, b *Memory, f *Flow) { f.Dst = netip.MustParseAddr("10.3.0.1") },
		Held: func(t *testing.T, a, b *Memory, f *Flow) {
			_, err := a.Remove(ctx, a.SAs()[0])
			require.NoError(t, err)
		},
		NoInboundSA: func(t *testing.T, a, b *Memory, f *Flow) {
			_, err := b.Remove(ctx, b.SAs()[0])
			require.NoError(t, err)
		},
		KeyMismatch: func(t *testing.T, a, b *Memory, f *Flow) {
			wrong := out(b)
			wrong.SAs[0].EncrKey[3] ^= 1
			_, err := b.Remove(ctx, b.SAs()[0])
			require.NoError(t, err)
			require.NoError(t, b.InstallInbound(ctx, wrong))
			require.NotEmpty(t, CompareMemory(a, b))
		},
		SelectorMismatch: func(t *testing.T, a, b *Memory, f *Flow) {
			narrow := out(b)
			narrow.LocalTS = set("10.2.9.0/24")
			_, err := b.Remove(ctx, b.SAs()[0])
			require.NoError(t, err)
			require.NoError(t, b.InstallInbound(ctx, narrow))
			require.NotEmpty(t, CompareMemory(a, b))
		},
		PolicyMismatch: func(t *testing.T, a, b *Memory, f *Flow) { require.NoError(t, b.SetPolicies(ctx, 1, nil)) },
		Expired:        func(t *testing.T, a, b *Memory, f *Flow) { require.NoError(t, a.Expire(a.SAs()[0], true)) },
		WrongAddress: func(t *testing.T, a, b *Memory, f *Flow) {
			require.NoError(t, b.MovePeer(ctx, b.SAs()[0], Endpoints{Local: netip.MustParseAddrPort("192.0.2.9:4500"), Remote: hostA}))
		},
		Discarded: func(t *testing.T, a, b *Memory, f *Flow) {
			p := protect(7, netA, netB)[1]
			p.Action = ActionDiscard
			require.NoError(t, a.SetPolicies(ctx, 1, []Policy{p}))
		},
		Bypassed: func(t *testing.T, a, b *Memory, f *Flow) {
			p := protect(7, netA, netB)[1]
			p.Action = ActionBypass
			require.NoError(t, a.SetPolicies(ctx, 1, []Policy{p}))
		},
	} {
		a, b, _ := pair(t)
		f := testFlow
		prepare(t, a, b, &f)
		d := a.Send(b, f, 10)
		require.Equal(t, want, d.Outcome, "%v", d)
		require.Equal(t, want != Discarded && want != Bypassed, d.Outcome.Gap())
	}
	// A packet that the network delivers twice.
	a, b, _ := pair(t)
	p, d := a.Encapsulate(testFlow, 10)
	require.NotNil(t, p, "%v", d)
	require.Equal(t, Delivered, b.Deliver(p).Outcome)
	require.Equal(t, Replayed, b.Deliver(p).Outcome)
	c, err := b.Query(ctx, b.SAs()[0])
	require.NoError(t, err)
	require.Equal(t, Counters{Packets: 1, Bytes: 10, ReplayDrops: 1}, c)
	// One that arrives after its SA was removed by the sender.
	p, _ = a.Encapsulate(testFlow, 10)
	_, err = a.Remove(ctx, a.SAs()[0])
	require.NoError(t, err)
	require.Equal(t, Delivered, b.Deliver(p).Outcome)
}

func TestReplayWindow(t *testing.T) {
	var w replayWindow
	for _, seq := range []uint64{1, 3, 2, 70, 8, 71, 300, 237} {
		require.True(t, w.fresh(seq), seq)
		w.accept(seq)
		require.False(t, w.fresh(seq), seq)
	}
	for _, seq := range []uint64{0, 236, 1} {
		require.False(t, w.fresh(seq), seq)
	}
}

func TestMemoryAcquire(t *testing.T) {
	a, b := NewMemory(MemoryConfig{}), NewMemory(MemoryConfig{})
	trap := protect(7, netA, netB)
	trap[1].Action = ActionTrap
	require.NoError(t, a.SetPolicies(ctx, 1, trap))
	require.NoError(t, b.SetPolicies(ctx, 1, protect(7, netB, netA)))
	require.Equal(t, Held, a.Send(b, testFlow, 1).Outcome)
	require.Equal(t, Held, a.Send(b, testFlow, 1).Outcome)
	ev := a.PollEvents()
	require.Len(t, ev, 1, "one acquire for the same want")
	acq := ev[0].(AcquireEvent)
	require.Equal(t, trap[1], acq.Policy)
	require.Equal(t, "10.1.0.1[tcp/1000] === 10.2.0.1[tcp/80]", acq.Packet.String())
	require.NoError(t, a.AcquireDone(ctx, acq.ID, errors.New("no answer")))
	require.ErrorIs(t, a.AcquireDone(ctx, acq.ID, nil), ErrNotFound)
	require.Equal(t, Held, a.Send(b, testFlow, 1).Outcome)
	require.Len(t, a.PollEvents(), 1, "a new acquire after a failed one")
	require.Contains(t, a.Leaks(), "1 acquires without an answer")
	install(t, a, b, 1)
	require.Equal(t, Delivered, a.Send(b, testFlow, 1).Outcome, "an SA satisfies the trap")

	// A Child SA that was narrowed does not carry what is outside.
	narrow := child(0x1234, 5)
	narrow.LocalTS = set("10.1.9.0/24")
	require.NoError(t, a.InstallOutbound(ctx, narrow))
	require.NotEqual(t, SPI(0x1234), a.Send(b, testFlow, 1).SPI)
}

// C18: SPIs below 256 are never given out nor installed, collisions are drawn again.
func TestC18_SPIs(t *testing.T) {
	var draws []SPI
	m := NewMemory(MemoryConfig{SPI: func() SPI {
		s := draws[0]
		if len(draws) > 1 {
			draws = draws[1:]
		}
		return s
	}})
	req := SPIRequest{Protocol: ProtoESP, Local: hostB.Addr()}
	draws = []SPI{0, 1, 255, 256}
	spi, err := m.AllocSPI(ctx, req)
	require.NoError(t, err)
	require.Equal(t, SPI(256), spi)
	draws = []SPI{256, 256, 300}
	spi, err = m.AllocSPI(ctx, req)
	require.NoError(t, err)
	require.Equal(t, SPI(300), spi, "256 is larval")
	require.NoError(t, m.InstallInbound(ctx, mirror(child(300, 1))))
	draws = []SPI{300, 301}
	spi, err = m.AllocSPI(ctx, req)
	require.NoError(t, err)
	require.Equal(t, SPI(301), spi, "300 is mature")
	draws = []SPI{300}
	_, err = m.AllocSPI(ctx, req)
	require.ErrorIs(t, err, ErrSPIExhausted)
	draws = []SPI{300}
	req.Protocol = ProtoAH
	spi, err = m.AllocSPI(ctx, req)
	require.NoError(t, err, "another protocol has its own SPIs")
	require.Equal(t, SPI(300), spi)

	require.ErrorIs(t, m.InstallInbound(ctx, mirror(child(300, 1))), ErrExists)
	for _, bad := range []SPI{0, 1, 255} {
		require.ErrorIs(t, m.InstallInbound(ctx, mirror(child(bad, 1))), ErrBundle)
		require.ErrorIs(t, m.InstallOutbound(ctx, child(bad, 1)), ErrBundle)
	}
	req.Protocol = ProtoIPComp
	draws = []SPI{0xffffffff, 0x12340001}
	for range 2 {
		spi, err = m.AllocSPI(ctx, req)
		require.NoError(t, err)
		require.True(t, spi >= 256 && spi <= LastCPI)
	}
	require.Len(t, m.Larval(), 5)
	for _, id := range m.Larval() {
		require.NoError(t, m.ReleaseSPI(ctx, id))
		require.ErrorIs(t, m.ReleaseSPI(ctx, id), ErrNotFound)
	}
}

func TestMemoryFailures(t *testing.T) {
	a, b, _ := pair(t)
	boom := errors.New("boom")
	a.FailNext(OpInstallOutbound, nil, boom)
	require.NoError(t, a.InstallOutbound(ctx, child(5000, 1)))
	require.ErrorIs(t, a.InstallOutbound(ctx, child(5001, 1)), boom)
	require.NoError(t, a.InstallOutbound(ctx, child(5001, 1)))
	require.Equal(t, 4, a.Calls(OpInstallOutbound))

	// A bundle whose second SA is there already is not half installed.
	two := mirror(child(6000, 1))
	two.SAs = append(two.SAs, SA{Protocol: ProtoAH, SPI: 6001, Integrity: Transform{Type: TransformINTEG, ID: IntegHMACSHA256_128}, IntegKey: make(Key, 32)})
	one := two.Clone()
	one.SAs = one.SAs[1:]
	require.NoError(t, b.InstallInbound(ctx, one))
	before := b.SAs()
	require.ErrorIs(t, b.InstallInbound(ctx, two), ErrExists)
	require.Equal(t, before, b.SAs())

	done, cancel := context.WithCancel(ctx)
	cancel()
	_, err := b.AllocSPI(done, SPIRequest{Protocol: ProtoESP, Local: hostB.Addr()})
	require.ErrorIs(t, err, context.Canceled)

	require.NotEmpty(t, a.Leaks())
	require.NoError(t, a.Close())
	require.Empty(t, a.Leaks())
	require.ErrorIs(t, a.InstallOutbound(ctx, child(5002, 1)), ErrClosed)
	_, open := <-a.Events()
	require.False(t, open)
}

func TestMemoryKeepsNoKeys(t *testing.T) {
	a, b, _ := pair(t)
	c := child(7000, 9)
	require.NoError(t, a.InstallOutbound(ctx, c))
	in := mirror(c)
	require.NoError(t, b.InstallInbound(ctx, in))
	c.Wipe()
	in.Wipe()
	require.Equal(t, Delivered, a.Send(b, testFlow, 1).Outcome)
	k := a.bundles[7][1].SAs[0].EncrKey
	require.Equal(t, byte(9), k[0])
	_, err := a.Remove(ctx, child(7000, 9).ID(Out, 0))
	require.NoError(t, err)
	require.Equal(t, make(Key, 20), k, "wiped when removed")
}

func TestMemoryBundleOfThree(t *testing.T) {
	a, b := NewMemory(MemoryConfig{}), NewMemory(MemoryConfig{})
	require.NoError(t, a.SetPolicies(ctx, 1, protect(7, netA, netB)))
	require.NoError(t, b.SetPolicies(ctx, 1, protect(7, netB, netA)))
	c := child(9000, 3)
	c.SAs = []SA{
		{Protocol: ProtoIPComp, SPI: 300, Encryption: Transform{ID: 2}},
		c.SAs[0],
		{Protocol: ProtoAH, SPI: 9001, Integrity: Transform{Type: TransformINTEG, ID: IntegHMACSHA256_128}, IntegKey: make(Key, 32)},
	}
	require.NoError(t, a.InstallOutbound(ctx, c))
	require.NoError(t, b.InstallInbound(ctx, mirror(c)))
	require.Equal(t, Delivery{Outcome: Delivered, SPI: 9001, ReqID: 7}, a.Send(b, testFlow, 5))
	require.Empty(t, CompareMemory(a, b))
	_, err := b.Remove(ctx, mirror(c).ID(In, 1))
	require.NoError(t, err)
	require.Equal(t, NoInboundSA, a.Send(b, testFlow, 5).Outcome)
	_, err = a.Remove(ctx, c.ID(Out, 0))
	require.NoError(t, err)
	require.Equal(t, Held, a.Send(b, testFlow, 5).Outcome)
}

func TestMemoryLifetimes(t *testing.T) {
	now := time.Unix(1000, 0)
	cfg := MemoryConfig{Now: func() time.Time { return now }}
	a, b := NewMemory(cfg), NewMemory(cfg)
	require.NoError(t, a.SetPolicies(ctx, 1, protect(7, netA, netB)))
	require.NoError(t, b.SetPolicies(ctx, 1, protect(7, netB, netA)))
	c := child(9000, 3)
	c.Lifetime = Lifetime{SoftBytes: 100, HardPackets: 3, HardTime: time.Hour}
	require.NoError(t, a.InstallOutbound(ctx, c))
	in := mirror(c)
	in.Lifetime = Lifetime{}
	require.NoError(t, b.InstallInbound(ctx, in))
	for range 3 {
		require.Equal(t, Delivered, a.Send(b, testFlow, 60).Outcome)
	}
	require.Equal(t, Expired, a.Send(b, testFlow, 60).Outcome)
	ev := a.PollEvents()
	require.Len(t, ev, 2)
	require.Equal(t, ExpireEvent{ID: c.ID(Out, 0), Counters: Counters{Bytes: 120, Packets: 2, LastUsed: now}}, ev[0])
	require.Equal(t, ExpireEvent{ID: c.ID(Out, 0), Hard: true, Counters: Counters{Bytes: 180, Packets: 3, LastUsed: now}}, ev[1])

	// Time as a backstop.
	d := child(9001, 3)
	d.Lifetime.HardTime = time.Hour
	require.NoError(t, a.InstallOutbound(ctx, d))
	now = now.Add(time.Hour - 1)
	require.Empty(t, a.PollEvents())
	now = now.Add(1)
	require.Equal(t, []Event{ExpireEvent{ID: d.ID(Out, 0), Hard: true}}, a.PollEvents())
	require.Empty(t, a.PollEvents())

	// The sequence number never wraps.
	e := child(9002, 3)
	require.NoError(t, a.InstallOutbound(ctx, e))
	require.NoError(t, b.InstallInbound(ctx, mirror(e)))
	require.NoError(t, a.SetSequence(e.ID(Out, 0), 1<<32-2))
	require.Equal(t, Delivered, a.Send(b, testFlow, 1).Outcome)
	require.Equal(t, Expired, a.Send(b, testFlow, 1).Outcome)
	ev = a.PollEvents()
	require.Len(t, ev, 2)
	require.True(t, ev[0].(ExpireEvent).Exhausted && !ev[0].(ExpireEvent).Hard)
	require.True(t, ev[1].(ExpireEvent).Exhausted && ev[1].(ExpireEvent).Hard)

	// A larval SA ends by itself.
	_, err := a.AllocSPI(ctx, SPIRequest{Protocol: ProtoESP, Local: hostA.Addr(), TTL: time.Minute})
	require.NoError(t, err)
	now = now.Add(time.Minute - 1)
	require.Len(t, a.Larval(), 1)
	now = now.Add(1)
	require.Empty(t, a.Larval())
}

func TestMemoryNAT(t *testing.T) {
	a, b := NewMemory(MemoryConfig{}), NewMemory(MemoryConfig{})
	require.NoError(t, a.SetPolicies(ctx, 1, protect(7, netA, netB)))
	require.NoError(t, b.SetPolicies(ctx, 1, protect(7, netB, netA)))
	c := child(9000, 3)
	c.UDPEncap = true
	require.NoError(t, a.InstallOutbound(ctx, c))
	require.NoError(t, b.InstallInbound(ctx, mirror(c)))
	rebound := netip.MustParseAddrPort("203.0.113.9:61000")
	for i := range 2 {
		p, _ := a.Encapsulate(testFlow, 1)
		p.Src = rebound
		require.Equal(t, Delivered, b.Deliver(p).Outcome)
		ev := b.PollEvents()
		if i == 0 {
			require.Equal(t, MappingEvent{ID: mirror(c).ID(In, 0), Old: hostA, New: rebound}, ev[1])
		} else {
			require.Empty(t, ev, "told once")
		}
	}
	// The answer goes where the mapping points.
	back := mirror(child(9100, 4))
	back.UDPEncap = true
	require.NoError(t, b.InstallOutbound(ctx, back))
	require.NoError(t, b.MovePeer(ctx, back.ID(Out, 0), Endpoints{Local: hostB, Remote: rebound, UDPEncap: true}))
	p, _ := b.Encapsulate(testFlow.Reverse(), 1)
	require.Equal(t, rebound, p.Dst)
	_, err := b.Query(ctx, back.ID(Out, 0))
	require.ErrorIs(t, err, ErrNotFound, "its SAID has the new address")
	back.Remote = rebound
	_, err = b.Query(ctx, back.ID(Out, 0))
	require.NoError(t, err)
}

func TestMemoryEventsOverflow(t *testing.T) {
	m := NewMemory(MemoryConfig{Events: 2})
	require.NoError(t, m.InstallInbound(ctx, mirror(child(400, 1))))
	raise := func(n int) {
		for range n {
			require.NoError(t, m.Expire(m.SAs()[0], false))
		}
	}
	raise(5)
	ev := m.PollEvents()
	require.Len(t, ev, 3)
	require.Equal(t, OverflowEvent{Lost: 3}, ev[2])

	raise(1)
	ch := m.Events()
	require.Equal(t, ch, m.Events())
	require.IsType(t, ExpireEvent{}, <-ch, "what came before is not lost")
	raise(5)
	require.IsType(t, ExpireEvent{}, <-ch)
	require.IsType(t, ExpireEvent{}, <-ch)
	require.Equal(t, OverflowEvent{Lost: 1}, <-ch)
	raise(1)
	require.Equal(t, OverflowEvent{Lost: 2}, <-ch)
	require.IsType(t, ExpireEvent{}, <-ch)
	require.Empty(t, ch)
	require.NoError(t, m.Close())
	_, open := <-ch
	require.False(t, open)
}

func TestBundleValid(t *testing.T) {
	for want, change := range map[string]func(*Bundle){
		"no SAs":             func(b *Bundle) { b.SAs = nil },
		"order is":           func(b *Bundle) { b.SAs = append(b.SAs, b.SAs[0]) },
		"EncrKey has 16":     func(b *Bundle) { b.SAs[0].EncrKey = b.SAs[0].EncrKey[:16] },
		"IntegKey has 1":     func(b *Bundle) { b.SAs[0].IntegKey = Key{1} },
		"with integrity":     func(b *Bundle) { b.SAs[0].Integrity = Transform{TransformINTEG, IntegHMACSHA1_96, 0} },
		"Local":              func(b *Bundle) { b.Local = netip.AddrPort{} },
		"different families": func(b *Bundle) { b.Remote = netip.MustParseAddrPort("[::1]:4500") },
		"without a port":     func(b *Bundle) { b.UDPEncap, b.Local = true, netip.AddrPortFrom(b.Local.Addr(), 0) },
		"must not be empty":  func(b *Bundle) { b.RemoteTS = nil },
		"no address":         func(b *Bundle) { b.RemoteTS = []TrafficSelector{{}} },
		"is no encryption":   func(b *Bundle) { b.SAs[0].Encryption.ID = 99 },
		"key length":         func(b *Bundle) { b.SAs[0].Encryption.KeyLen = 0 },
		"AH with encryption": func(b *Bundle) { b.SAs[0].Protocol = ProtoAH },
		"Mode 2":             func(b *Bundle) { b.SAs[0].Mode = 2 },
		"MTU -1":             func(b *Bundle) { b.Options.MTU = -1 },
		"Fragment 67":        func(b *Bundle) { b.Options.Fragment = 67 },
		"TFCPadding 65536":   func(b *Bundle) { b.Options.TFCPadding = 65536 },
		"DF 3":               func(b *Bundle) { b.Options.DF = 3 },
		"SoftBytes 2":        func(b *Bundle) { b.Lifetime.SoftBytes, b.Lifetime.HardBytes = 2, 1 },
		"SoftPackets 2":      func(b *Bundle) { b.Lifetime.SoftPackets, b.Lifetime.HardPackets = 2, 1 },
		"HardTime -1ns":      func(b *Bundle) { b.Lifetime.HardTime = -1 },
	} {
		b := child(1000, 1)
		require.NoError(t, b.Valid())
		change(b)
		require.ErrorIs(t, b.Valid(), ErrBundle, want)
		require.ErrorContains(t, b.Valid(), want)
	}
	caps := MemoryCapabilities()
	caps.UDPEncap, caps.ESN, caps.MaxReplay = false, false, 64
	caps.Marks, caps.InterfaceIDs, caps.Offload, caps.SecurityLabels, caps.PerCPU = false, false, false, false, false
	for want, change := range map[string]func(*Bundle){
		"ESP in UDP":     func(b *Bundle) { b.UDPEncap = true },
		"64-bit":         func(b *Bundle) { b.SAs[0].ESN = true },
		"replay window":  func(b *Bundle) { b.SAs[0].ReplayWindow = 128 },
		"marks":          func(b *Bundle) { b.Options.OutputMark.Mask = 1 },
		"interface IDs":  func(b *Bundle) { b.Options.InterfaceID = 1 },
		"offload":        func(b *Bundle) { b.Options.Offload = "eth0" },
		"labels":         func(b *Bundle) { b.Options.SecurityCtx = "x" },
		"single CPUs":    func(b *Bundle) { b.Options.PerCPU = 1 },
		"ENCR_BLOWFISH ": func(b *Bundle) { b.SAs[0].Encryption = Transform{Type: TransformENCR, ID: 7} },
	} {
		b := child(1000, 1)
		require.NoError(t, caps.Check(b))
		change(b)
		require.ErrorIs(t, caps.Check(b), ErrUnsupported)
		require.ErrorContains(t, caps.Check(b), want)
	}
}

func BenchmarkMemorySend(b *testing.B) {
	x, y := NewMemory(MemoryConfig{}), NewMemory(MemoryConfig{})
	_ = x.SetPolicies(ctx, 1, protect(7, netA, netB))
	_ = y.SetPolicies(ctx, 1, protect(7, netB, netA))
	_ = x.InstallOutbound(ctx, child(1000, 1))
	_ = y.InstallInbound(ctx, mirror(child(1000, 1)))
	b.ReportAllocs()
	for b.Loop() {
		if d := x.Send(y, testFlow, 100); d.Outcome != Delivered {
			b.Fatal(d)
		}
	}
}
