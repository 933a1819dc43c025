package esp

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/spd"
)

// TestA34_NotESP: what arrives on the ESP port without being ESP is dropped,
// whatever its length: keepalives, IKE with its marker, IKE without, stumps.
func TestA34_NotESP(t *testing.T) {
	p := newPair(t, inUDP)
	ds := p.a.send(udp("10.1.0.1:1", "10.2.0.2:2", 8))
	whole := ds[0].Bytes()
	var all [][]byte
	for n := range whole {
		all = append(all, whole[:n]) // ESP cut short at every octet
	}
	all = append(all,
		[]byte{0xff},                             // NAT keepalive
		append(make([]byte, 4), whole...),        // non-ESP marker
		append([]byte{0, 0, 0, 255}, whole...),   // reserved SPI
		bytes.Repeat([]byte{0xff}, 60),           // an unknown SPI
		append(make([]byte, 28), 0x20, 0x22, 34), // IKE
	)
	for _, b := range all {
		require.Empty(t, p.b.receive(Datagram{Packet: roomy(b), Local: p.a.outer}), "%x", b)
	}
	require.Len(t, p.b.receive(ds...), 1, "and the whole packet still passes")
}

// TestC18_SPIs: SPIs are random, never reserved, never one that is in use or
// promised, and come back when their time is over.
func TestC18_SPIs(t *testing.T) {
	// A source that proposes 0, 255, then 256 twice and 257.
	var r bytes.Buffer
	for _, spi := range []uint32{0, 255, 256, 256, 257, 300, 256, 256, 300} {
		r.Write(binary.BigEndian.AppendUint32(nil, spi))
	}
	ctx := t.Context()
	request := spd.SPIRequest{Protocol: spd.ProtoESP, TTL: time.Minute}
	b := newGateway(t, Config{Rand: &r}, "198.51.100.2:0", "10.2.0.0/16")
	for _, want := range []spd.SPI{256, 257} {
		spi, err := b.AllocSPI(ctx, request)
		require.NoError(t, err)
		require.Equal(t, want, spi)
	}
	a := newGateway(t, Config{}, "192.0.2.1:0", "10.1.0.0/16")
	p := &pair{t: t, a: a, b: b}
	in := reversed(p.bundle(a, b, 300, 1, nil))
	require.NoError(t, b.InstallInbound(ctx, &in))
	_, err := b.AllocSPI(ctx, request) // 300 and 256 are taken twice each
	require.Error(t, err, "the source is at its end")

	r.Write(binary.BigEndian.AppendUint32(nil, 256))
	require.NoError(t, b.ReleaseSPI(ctx, spd.SAID{Protocol: spd.ProtoESP, SPI: 256}))
	spi, err := b.AllocSPI(ctx, request)
	require.NoError(t, err)
	require.EqualValues(t, 256, spi, "released")
	b.now = b.now.Add(2 * time.Minute)
	r.Write(binary.BigEndian.AppendUint32(nil, 257))
	spi, err = b.AllocSPI(ctx, request)
	require.NoError(t, err)
	require.EqualValues(t, 257, spi, "its time was over")

	require.ErrorIs(t, b.InstallInbound(ctx, &in), spd.ErrExists)
	in.SAs[0].SPI = 257 // a reservation becomes an SA, and free when that is removed
	require.NoError(t, b.InstallInbound(ctx, &in))
	require.ErrorIs(t, b.ReleaseSPI(ctx, in.ID(spd.In, 0)), spd.ErrNotFound)
	_, err = b.Remove(ctx, in.ID(spd.In, 0))
	require.NoError(t, err)
	r.Write(binary.BigEndian.AppendUint32(nil, 257))
	spi, err = b.AllocSPI(ctx, request)
	require.NoError(t, err)
	require.EqualValues(t, 257, spi)
	for _, bad := range []spd.SPI{0, 1, 255} {
		in.SAs[0].SPI = bad
		require.Error(t, b.InstallInbound(ctx, &in))
	}

	seen := map[spd.SPI]bool{}
	for range 1000 {
		spi, err := a.AllocSPI(ctx, request)
		require.NoError(t, err)
		require.GreaterOrEqual(t, spi, spd.SPI(256))
		require.False(t, seen[spi])
		seen[spi] = true
	}
	a.now = a.now.Add(time.Hour)
	for range 1000 {
		_, err := a.AllocSPI(ctx, request)
		require.NoError(t, err)
	}
	require.Less(t, len(a.larvals.bySPI), 1200, "reservations that are over do not pile up")
}

// TestC19_ReplayWindowEdge: through the whole packet path, the window's edges.
func TestC19_ReplayWindowEdge(t *testing.T) {
	for _, size := range []int{64, 1024, 4096} {
		p := newPair(t, func(b *spd.Bundle) { b.SAs[0].ReplayWindow = size })
		packet := udp("10.1.0.1:1", "10.2.0.2:2", 0)
		var ds []Datagram
		for range size + 2 {
			ds = append(ds, p.a.send(packet)...)
		}
		top := ds[len(ds)-1] // number size+2: the window begins at 3
		require.Len(t, p.b.receive(top), 1)
		require.Empty(t, p.b.receive(top))
		require.Empty(t, p.b.receive(ds[1]), "number 2")
		require.Len(t, p.b.receive(ds[2]), 1, "number 3")
		require.Empty(t, p.b.receive(ds[2]))
		require.EqualValues(t, 3, p.b.counters(spd.In, p.ab.SAs[0].SPI).ReplayDrops)
	}
}

// TestC19_ForgeryDoesNotMoveTheWindow: only authentic packets do.
func TestC19_ForgeryDoesNotMoveTheWindow(t *testing.T) {
	p := newPair(t)
	packet := udp("10.1.0.1:1", "10.2.0.2:2", 8)
	ds := p.a.send(packet, packet)
	forged := cloned(ds[:1])[0]
	binary.BigEndian.PutUint32(forged.Bytes()[4:], math.MaxUint32)
	require.Empty(t, p.b.receive(forged))
	require.Len(t, p.b.receive(ds...), 2)
	require.EqualValues(t, 1, p.b.counters(spd.In, p.ab.SAs[0].SPI).AuthDrops)
	require.IsType(t, spd.FirstPacketEvent{}, p.b.event(), "not by the forgery")
	p.b.noEvent()
}

// TestC19_SequenceZero is never sent and never accepted.
func TestC19_SequenceZero(t *testing.T) {
	p := newPair(t)
	out := p.a.outbound[p.ab.SAs[0].SPI][0].sa
	packet := udp("10.1.0.1:1", "10.2.0.2:2", 8)
	require.EqualValues(t, 1, binary.BigEndian.Uint32(p.a.send(packet)[0].Bytes()[4:]))
	out.seq.Store(math.MaxUint32) // what a broken sender does
	out.last = math.MaxUint64
	ds := p.a.send(packet)
	require.Zero(t, binary.BigEndian.Uint32(ds[0].Bytes()[4:]))
	require.Empty(t, p.b.receive(ds...))
	require.EqualValues(t, 1, p.b.counters(spd.In, p.ab.SAs[0].SPI).ReplayDrops)
}

// TestC19_ExhaustionStopsTheSA: near the end of the sequence numbers a rekey is
// asked for; at the end the SA stops for good, and no number is used twice.
func TestC19_ExhaustionStopsTheSA(t *testing.T) {
	packet := udp("10.1.0.1:1", "10.2.0.2:2", 8)
	for _, v := range []struct {
		esn  variant
		last uint64
		warn uint64
	}{
		{func(*spd.Bundle) {}, math.MaxUint32, math.MaxUint32 - rekeyMargin},
		{extendedESN, math.MaxUint64 - math.MaxUint32, math.MaxUint64 - 1<<40},
	} {
		p := newPair(t, v.esn)
		out := p.a.outbound[p.ab.SAs[0].SPI][0].sa
		out.seq.Store(v.warn - 2)
		p.b.in.get(uint32(out.spi)).sa.window.Accept(v.warn - 2)
		require.Len(t, p.b.receive(p.a.send(packet)...), 1)
		p.a.noEvent()
		require.Len(t, p.b.receive(p.a.send(packet)...), 1)
		ev := p.a.event().(spd.ExpireEvent)
		require.True(t, ev.Exhausted && !ev.Hard)
		require.Len(t, p.a.send(packet), 1)
		p.a.noEvent()

		out.seq.Store(v.last - 2)
		p.b.in.get(uint32(out.spi)).sa.window.Accept(v.last - 2)
		require.Len(t, p.b.receive(p.a.send(packet, packet)...), 2)
		for range 5 {
			require.Empty(t, p.a.send(packet))
		}
		require.Equal(t, v.last, out.Sequence())
		ev = p.a.event().(spd.ExpireEvent)
		require.True(t, ev.Exhausted && ev.Hard)
		p.a.noEvent()

		// A successor takes over.
		p.rekey(9, v.esn)
		require.Len(t, p.b.receive(p.a.send(packet)...), 1)
	}
}

// TestC19_ExhaustionUnderConcurrency: many goroutines at the end together use
// each of the last numbers once.
func TestC19_ExhaustionUnderConcurrency(t *testing.T) {
	for _, esn := range []bool{false, true} {
		s := &spd.SA{Protocol: spd.ProtoESP, SPI: 4711, ESN: esn, Encryption: encr(spd.EncrAESGCM16, 128), EncrKey: make([]byte, 20)}
		out, err := NewOutboundSA(s, nil)
		require.NoError(t, err)
		const left = 1000
		out.seq.Store(out.last - left)
		var mu sync.Mutex
		used := map[uint64]int{}
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				buf := make([]byte, 100)
				for range left {
					start, _, err := out.Seal(buf, 40, 60, protoIPv4)
					if err != nil {
						continue
					}
					mu.Lock()
					used[binary.BigEndian.Uint64(buf[start+8:])]++
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		require.Len(t, used, left)
		for iv, n := range used {
			require.Equal(t, 1, n, iv)
		}
	}
}

// TestC19_IVsNeverRepeat, and those of CBC cannot be foreseen: they do not
// follow a counter, and two SAs with the same keys have different ones.
func TestC19_IVsNeverRepeat(t *testing.T) {
	for name, alg := range algorithms(t) {
		p := newPair(t, alg)
		q := newPair(t, alg)
		out := p.a.outbound[p.ab.SAs[0].SPI][0].sa
		n := out.ivSize
		if n == 0 {
			continue
		}
		seen := map[string]bool{}
		packet := udp("10.1.0.1:1", "10.2.0.2:2", 8)
		for range 50 {
			d, e := p.a.send(packet)[0].Bytes(), q.a.send(packet)[0].Bytes()
			iv, other := string(d[8:8+n]), string(e[8:8+n])
			require.False(t, seen[iv], name)
			seen[iv] = true
			if out.ivKey != nil {
				require.NotEqual(t, iv, other, name)
				require.NotEqual(t, make([]byte, 4), d[8:12], "not a counter")
			}
		}
	}
}

// TestC19_OnceUnderConcurrency: a packet that several goroutines open at the
// same moment is opened once, however far each had got.
func TestC19_OnceUnderConcurrency(t *testing.T) {
	s := &spd.SA{Protocol: spd.ProtoESP, SPI: 4711, Encryption: encr(spd.EncrAESGCM16, 128), EncrKey: make([]byte, 20)}
	out, err := NewOutboundSA(s, nil)
	require.NoError(t, err)
	in, err := NewInboundSA(s)
	require.NoError(t, err)
	for range 500 {
		buf := make([]byte, 9000)
		start, end, err := out.Seal(buf, 40, 8900, protoIPv4)
		require.NoError(t, err)
		var opened atomic.Int32
		var wg sync.WaitGroup
		begin := make(chan struct{})
		for range 4 {
			copied := bytes.Clone(buf[start:end])
			wg.Go(func() {
				<-begin
				if _, err := in.Open(copied); err == nil {
					opened.Add(1)
				}
			})
		}
		close(begin)
		wg.Wait()
		require.EqualValues(t, 1, opened.Load())
	}
}

// TestC19_PadLength: an authentic packet whose pad length goes beyond its
// beginning is malformed.
func TestC19_PadLength(t *testing.T) {
	s := &spd.SA{Protocol: spd.ProtoESP, SPI: 4711, Encryption: encr(spd.EncrAESGCM16, 128), EncrKey: make([]byte, 20)}
	var in *InboundSA
	var err error
	for n := 2; n <= 40; n++ {
		for _, pad := range []int{n - 2, n - 1, 255} {
			s.ReplayWindow = -1
			in, err = NewInboundSA(s)
			require.NoError(t, err)
			pkt := make([]byte, 16+n+16)
			pkt[7] = 1
			pkt[16+n-2], pkt[16+n-1] = byte(pad), protoIPv4
			require.NoError(t, in.cipher.Seal(pkt[16:], pkt[8:16], pkt[:8], nil))
			o, err := in.Open(pkt)
			if pad == n-2 {
				require.NoError(t, err)
				require.Equal(t, o.Start, o.End)
			} else {
				require.Equal(t, ErrMalformed, err)
			}
		}
	}
	_, err = in.Open(make([]byte, 16+1+16))
	require.Equal(t, ErrTooShort, err)
}

// TestC19_BeforeInstallation: packets before their SA are dropped, and do not
// harm it.
func TestC19_BeforeInstallation(t *testing.T) {
	p := newPair(t)
	b := newGateway(t, Config{}, "198.51.100.2:4500", "10.2.0.0/16")
	packet := udp("10.1.0.1:1", "10.2.0.2:2", 8)
	ds := p.a.send(packet)
	require.Empty(t, b.receive(ds...))
	in := reversed(p.ab)
	require.NoError(t, b.InstallInbound(t.Context(), &in))
	require.Len(t, b.receive(ds...), 1)
}

// TestC21_NothingInClear: whatever happens to the SA, a packet that policy
// protects never leaves in clear: before there is one, between two, after it
// ended, after it was removed, after Close.
func TestC21_NothingInClear(t *testing.T) {
	a, b := newGateway(t, Config{}, "192.0.2.1:4500", "10.1.0.0/16"), newGateway(t, Config{}, "198.51.100.2:4500", "10.2.0.0/16")
	packet := udp("10.1.0.1:1", "10.2.0.2:2", 64)
	ctx := context.Background()
	check := func(when string, sent int) {
		t.Helper()
		ds := a.send(packet)
		require.Len(t, ds, sent, when)
		require.Empty(t, a.batch.Bypass, when)
		require.Empty(t, a.batch.Packets, when)
		for _, d := range ds {
			require.NotContains(t, string(d.Bytes()), string(packet[28:44]), when)
		}
	}
	check("without policy", 0)
	policy := func(action spd.Action) {
		require.NoError(t, a.SetPolicies(ctx, 1, []spd.Policy{{Direction: spd.Out, Action: action, ReqID: reqID,
			Selector: spd.Selector{Local: a.nets[0], Remote: b.nets[0]}}}))
	}
	policy(spd.ActionTrap)
	check("trapped", 0)
	policy(spd.ActionProtect)
	check("without SA", 0)
	p := newPairBetween(t, a, b)
	check("with SA", 1)
	p.rekey(2)
	check("with two", 1)
	old := spd.SAID{Direction: spd.Out, Protocol: spd.ProtoESP, SPI: 0x1001, Dst: b.outer.Addr()}
	_, err := a.Remove(ctx, old)
	require.NoError(t, err)
	check("with the new one", 1)
	a.outbound[0x1002][0].usage.stop()
	check("ended", 0)
	_, err = a.Remove(ctx, spd.SAID{Direction: spd.Out, Protocol: spd.ProtoESP, SPI: 0x1002, Dst: b.outer.Addr()})
	require.NoError(t, err)
	check("removed", 0)
	require.NoError(t, a.Close())
	check("closed", 0)
}

// TestAcquire: a packet without SA asks for one and waits for it.
func TestAcquire(t *testing.T) {
	packet := udp("10.1.0.1:1", "10.2.0.2:2", 8)
	setup := func(cfg Config) (*pair, spd.AcquireEvent) {
		a, b := newGateway(t, cfg, "192.0.2.1:4500", "10.1.0.0/16"), newGateway(t, Config{}, "198.51.100.2:4500", "10.2.0.0/16")
		pol := spd.Policy{Direction: spd.Out, Action: spd.ActionTrap, ReqID: reqID, Selector: spd.Selector{Local: a.nets[0], Remote: b.nets[0]}}
		require.NoError(t, a.SetPolicies(t.Context(), 1, []spd.Policy{pol}))
		require.Empty(t, a.send(packet))
		ev := a.event().(spd.AcquireEvent)
		require.Equal(t, pol, ev.Policy)
		require.Equal(t, "10.1.0.1", ev.Packet.Local.First.String())
		require.EqualValues(t, 2, ev.Packet.Remote.Ports.First)
		return &pair{t: t, a: a, b: b}, ev
	}
	release := func(p *pair) [][]byte {
		p.a.batch.Reset()
		p.a.Release(&p.a.batch)
		return p.b.receive(cloned(p.a.batch.Datagrams)...)
	}

	p, ev := setup(Config{})
	second := udp("10.1.0.1:1", "10.2.0.2:2", 9)
	require.Empty(t, p.a.send(second))
	p.a.noEvent() // one acquire at a time
	require.Empty(t, release(p))
	p.rekey(1)
	require.Len(t, p.a.Ready(), 1)
	require.Equal(t, [][]byte{packet, second}, release(p), "in their order")
	require.NoError(t, p.a.AcquireDone(t.Context(), ev.ID, nil))
	require.Empty(t, release(p))
	require.Len(t, p.b.receive(p.a.send(packet)...), 1, "a trap with an SA protects")
	require.Zero(t, p.a.acquires.held)

	// It fails: the packets are dropped, the next one asks again.
	p, ev = setup(Config{})
	require.NoError(t, p.a.AcquireDone(t.Context(), ev.ID, errors.New("no")))
	require.ErrorIs(t, p.a.AcquireDone(t.Context(), ev.ID, nil), spd.ErrNotFound)
	require.Empty(t, p.a.send(packet))
	require.NotEqual(t, ev.ID, p.a.event().(spd.AcquireEvent).ID)
	p.rekey(1)
	require.Len(t, release(p), 1)

	// Nobody answers: after a time it asks again.
	p, ev = setup(Config{AcquireTimeout: time.Second})
	p.a.now = p.a.now.Add(time.Second)
	require.Empty(t, p.a.send(packet))
	require.NotEqual(t, ev.ID, p.a.event().(spd.AcquireEvent).ID)
	require.Equal(t, 1, p.a.acquires.held)

	// The packets held are bounded.
	p, _ = setup(Config{HoldPerAcquire: 3})
	for range 10 {
		p.a.send(packet)
	}
	require.EqualValues(t, 3, p.a.Stats().Held)
	require.EqualValues(t, 8, p.a.Stats().NoSA)

	p, _ = setup(Config{HoldPackets: 1})
	require.Empty(t, p.a.send(packet))
	require.EqualValues(t, 1, p.a.Stats().Held)
	p, _ = setup(Config{HoldPackets: -1})
	require.Zero(t, p.a.Stats().Held)

	// If nobody can hear the question, it is not taken for asked.
	p, _ = setup(Config{Events: 4})
	for p.a.events.Emit(spd.OverflowEvent{}) {
	}
	pol := spd.Policy{Direction: spd.Out, Action: spd.ActionTrap, ReqID: 99, Selector: spd.Selector{Local: spd.AnyIPv4, Remote: spd.FromAddr(netip.MustParseAddr("9.9.9.9"))}}
	require.NoError(t, p.a.SetPolicies(t.Context(), 2, []spd.Policy{pol}))
	other := udp("10.1.0.1:1", "9.9.9.9:2", 8)
	require.Empty(t, p.a.send(other))
	for len(p.a.Events()) > 0 {
		<-p.a.Events()
	}
	require.Empty(t, p.a.send(other))
	require.IsType(t, spd.OverflowEvent{}, p.a.event())
	require.EqualValues(t, 99, p.a.event().(spd.AcquireEvent).Policy.ReqID)
}

// TestRemovalUnderTraffic: a removed SA finishes the packets at work, and takes
// no more.
func TestRemovalUnderTraffic(t *testing.T) {
	p := newPair(t)
	packet := udp("10.1.0.1:1", "10.2.0.2:2", 8)
	ds := p.a.send(packet, packet)
	in := p.b.in.get(uint32(p.ab.SAs[0].SPI))
	_, err := p.b.Remove(t.Context(), in.id(in.path.Load()))
	require.NoError(t, err)
	require.Empty(t, p.b.receive(ds[0]))
	_, err = in.sa.Open(ds[1].Bytes())
	require.NoError(t, err, "who had it in hands may finish")
	ok, _ := in.usage.live(0)
	require.False(t, ok)
	_, ok = in.usage.count(1, 0)
	require.False(t, ok, "but it is not delivered")
	require.Zero(t, in.usage.counters())
}
