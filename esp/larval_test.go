package esp

import (
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/spd"
)

// early is a pair whose receiver has promised an SPI and not installed the SA.
type early struct {
	*pair
	in spd.Bundle // as b will install it
	id spd.SAID
}

func newEarly(t testing.TB, cfg Config, v ...variant) *early {
	return newEarlyBetween(t, newGateway(t, Config{}, "192.0.2.1:4500", "10.1.0.0/16"),
		newGateway(t, cfg, "198.51.100.2:4500", "10.2.0.0/16"), v...)
}

func newEarlyBetween(t testing.TB, a, b *gateway, v ...variant) *early {
	p := &pair{t: t, a: a, b: b}
	ctx := t.Context()
	spi, err := p.b.AllocSPI(ctx, spd.SPIRequest{Protocol: spd.ProtoESP, TTL: time.Minute})
	require.NoError(p.t, err)
	p.ab = p.bundle(p.a, p.b, spi, 1, v)
	require.NoError(p.t, p.a.InstallOutbound(ctx, &p.ab))
	require.NoError(p.t, p.a.SetPolicies(ctx, 1, []spd.Policy{{Direction: spd.Out, Action: spd.ActionProtect, ReqID: reqID,
		Selector: spd.Selector{Local: p.a.nets[0], Remote: p.b.nets[0]}}}))
	in := reversed(p.ab)
	return &early{pair: p, in: in, id: in.ID(spd.In, 0)}
}

func (e *early) install() { require.NoError(e.t, e.b.InstallInbound(e.t.Context(), &e.in)) }

func (e *early) release() [][]byte {
	e.b.batch.Reset()
	opened := e.b.Release(&e.b.batch)
	got := e.b.packets()
	require.Len(e.t, got, opened)
	return got
}

// TestEarlyPackets: what a peer sends before its SA is installed here arrives
// when it is, once and in order.
func TestEarlyPackets(t *testing.T) {
	for _, c := range []struct {
		name, from, to string
		v              []variant
	}{
		{"tunnel", "10.1.0.1", "10.2.0.2", []variant{inUDP}},
		{"transport", "192.0.2.1", "198.51.100.2", []variant{transport}},
		{"ESN", "10.1.0.1", "10.2.0.2", []variant{extendedESN}},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := newEarlyBetween(t, newGateway(t, Config{}, "192.0.2.1:4500", c.from+"/32"),
				newGateway(t, Config{}, "198.51.100.2:4500", c.to+"/32"), c.v...)
			var packets [][]byte
			for i := range 5 {
				packets = append(packets, udp(c.from+":1", c.to+":2", 8+i))
			}
			ds := e.a.send(packets...)
			require.Len(t, ds, 5)
			for _, d := range ds[:4] {
				d.Local, d.Remote = d.Remote, d.Local
				e.b.Inbound(&e.b.batch, d)
				clear(d.Buf) // the buffer is the caller's again
			}
			e.b.noEvent() // the SPI is not unknown
			require.Empty(t, e.release())
			e.install()
			require.Len(t, e.b.Ready(), 1)
			require.Len(t, e.release(), 4)
			require.IsType(t, spd.FirstPacketEvent{}, e.b.event())
			require.EqualValues(t, 4, e.b.counters(spd.In, e.id.SPI).Packets)
			require.Len(t, e.b.receive(ds[4]), 1, "later ones as ever")
			s := e.b.Stats()
			require.EqualValues(t, 4, s.Early)
			require.Zero(t, s.EarlyDrops+s.UnknownSPI)
			require.Zero(t, e.b.larvals.octets)
			require.Empty(t, e.release())
		})
	}
}

// TestEarlyPacketsInOrder: each as it was sent.
func TestEarlyPacketsInOrder(t *testing.T) {
	e := newEarly(t, Config{})
	var packets [][]byte
	for i := range earlyPackets {
		packets = append(packets, udp("10.1.0.1:1", "10.2.0.2:2", 8+i))
	}
	ds := e.a.send(packets...)
	require.Empty(t, e.b.receive(ds...))
	require.Empty(t, e.b.receive(ds[0]), "a repetition is not held either")
	e.install()
	require.Equal(t, packets, e.release())
	require.EqualValues(t, 1, e.b.Stats().EarlyDrops)
}

// TestEarlyPacketsAreChecked: waiting spares a packet nothing.
func TestEarlyPacketsAreChecked(t *testing.T) {
	e := newEarly(t, Config{})
	packet := udp("10.1.0.1:1", "10.2.0.2:2", 8)
	ds := e.a.send(packet, packet)
	forged := cloned(ds[:1])[0]
	forged.Bytes()[20] ^= 1
	require.Empty(t, e.b.receive(forged, ds[0], ds[0], ds[1]))
	e.install()
	require.Equal(t, [][]byte{packet, packet}, e.release())
	c := e.b.counters(spd.In, e.id.SPI)
	require.EqualValues(t, 1, c.AuthDrops)
	require.EqualValues(t, 1, c.ReplayDrops)
}

// TestEarlyPacketsInVain: they are held for a promised SPI only, for a short
// time, and not longer than the promise.
func TestEarlyPacketsInVain(t *testing.T) {
	packet := udp("10.1.0.1:1", "10.2.0.2:2", 8)
	unknown := func(e *early) {
		t.Helper()
		before := e.b.Stats().UnknownSPI
		require.Empty(t, e.b.receive(e.a.send(packet)...))
		require.Equal(t, before+1, e.b.Stats().UnknownSPI)
	}
	e := newEarly(t, Config{})
	require.Empty(t, e.b.receive(e.a.send(packet)...))
	require.NoError(t, e.b.ReleaseSPI(t.Context(), e.id))
	unknown(e)
	e.install() // the same SPI, from elsewhere
	require.Empty(t, e.release())
	require.EqualValues(t, 1, e.b.Stats().EarlyDrops)

	e = newEarly(t, Config{})
	require.Empty(t, e.b.receive(e.a.send(packet)...))
	e.b.now = e.b.now.Add(earlyTime)
	require.Empty(t, e.b.receive(e.a.send(packet)...))
	require.EqualValues(t, 1, e.b.Stats().EarlyDrops, "the first was too old")
	e.b.now = e.b.now.Add(earlyTime - 1)
	e.install()
	require.Len(t, e.release(), 1, "the second was not")

	e = newEarly(t, Config{})
	require.Empty(t, e.b.receive(e.a.send(packet)...))
	e.b.now = e.b.now.Add(earlyTime)
	e.install()
	require.Empty(t, e.release())
	require.EqualValues(t, 1, e.b.Stats().EarlyDrops)
	require.Zero(t, e.b.larvals.octets)

	e = newEarly(t, Config{})
	e.b.now = e.b.now.Add(time.Minute)
	unknown(e)

	e = newEarly(t, Config{HoldInbound: -1})
	require.Empty(t, e.b.receive(e.a.send(packet)...))
	require.EqualValues(t, 1, e.b.Stats().EarlyDrops)

	e = newEarly(t, Config{})
	require.Empty(t, e.b.receive(e.a.send(packet)...))
	e.install()
	_, err := e.b.Remove(t.Context(), e.id)
	require.NoError(t, err)
	require.Empty(t, e.release(), "gone before they were processed")

	e = newEarly(t, Config{})
	require.Empty(t, e.b.receive(e.a.send(packet)...))
	require.NoError(t, e.b.Close())
	require.Empty(t, e.b.receive(e.a.send(packet)...))
	require.Zero(t, e.b.larvals.octets)
}

// TestEarlyPacketsFlood: a peer that has many SPIs promised and floods them
// gets no more memory than Config.HoldInbound, a single SPI no more than its
// share; when the flood is over others are served again.
func TestEarlyPacketsFlood(t *testing.T) {
	const limit = 1 << 20
	e := newEarly(t, Config{HoldInbound: limit})
	large := e.a.send(udp("10.1.0.1:1", "10.2.0.2:2", 1400))[0]
	ctx := t.Context()
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	flood := func(spis, each int) (reserved []spd.SPI) {
		for range spis {
			spi, err := e.b.AllocSPI(ctx, spd.SPIRequest{Protocol: spd.ProtoESP, TTL: time.Minute})
			require.NoError(t, err)
			reserved = append(reserved, spi)
			b := large.Bytes()
			b[0], b[1], b[2], b[3] = byte(spi>>24), byte(spi>>16), byte(spi>>8), byte(spi)
			for range each {
				e.b.Inbound(&e.b.batch, large)
			}
			require.LessOrEqual(t, e.b.larvals.bySPI[spi].octets, limit/earlyShare)
		}
		require.LessOrEqual(t, e.b.larvals.octets, limit)
		return reserved
	}
	before := heap()
	flood(1, 100)
	require.EqualValues(t, earlyPackets, e.b.Stats().Early)
	reserved := flood(5000, 50)
	require.Less(t, heap(), before+2*limit+5000*256, "what is held, and the reservations themselves")
	require.Greater(t, e.b.Stats().EarlyDrops, uint64(200_000))

	// The flood lasts: what it holds goes, and is taken again, and never more.
	for range 5 {
		e.b.now = e.b.now.Add(earlyTime)
		flood(100, 50)
	}
	require.Less(t, len(e.b.larvals.begun), 1000)
	for _, spi := range reserved {
		require.NoError(t, e.b.ReleaseSPI(ctx, spd.SAID{Protocol: spd.ProtoESP, SPI: spi}))
	}
	require.Less(t, heap(), before+2*limit)

	// It ends.
	e.b.now = e.b.now.Add(earlyTime)
	packet := udp("10.1.0.1:1", "10.2.0.2:2", 8)
	require.Empty(t, e.b.receive(e.a.send(packet)...))
	e.install()
	require.Equal(t, [][]byte{packet}, e.release())
}

// TestEarlyPacketsWhileInstalling: a packet that comes in the very moment of
// InstallInbound is not lost between the two.
func TestEarlyPacketsWhileInstalling(t *testing.T) {
	for range 200 {
		e := newEarly(t, Config{}, inUDP)
		packet := udp("10.1.0.1:1", "10.2.0.2:2", 8)
		var packets [][]byte
		for range earlyPackets {
			packets = append(packets, packet)
		}
		ds := e.a.send(packets...)
		var wg sync.WaitGroup
		started := make(chan struct{})
		got := 0
		wg.Go(func() {
			var b Batch
			for i, d := range ds {
				if i == 2 {
					close(started)
				}
				e.b.Inbound(&b, d)
			}
			got = len(b.Packets)
		})
		<-started
		e.install()
		wg.Wait()
		require.Equal(t, earlyPackets, got+len(e.release()))
	}
}
