package pump_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/esp"
	"github.com/racoon3/racoon/esp/pump"
	"github.com/racoon3/racoon/spd"
)

// next returns what arrives within a minute, which is long enough for a busy
// machine.
func next[T any](t testing.TB, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(time.Minute):
		require.FailNow(t, "nothing came")
		panic("unreachable")
	}
}

func TestPacketsPassInOrder(t *testing.T) {
	for parallel := 1; parallel <= 3; parallel++ {
		t.Run(fmt.Sprintf("parallel=%d", parallel), func(t *testing.T) { testOrder(t, parallel) })
	}
}

func testOrder(t *testing.T, parallel int) {
	a, b := newParallelEnds(t, esp.Config{}, parallel)
	install(t, a, b, 0x1001)
	install(t, b, a, 0x2001)
	const n = 500
	for i := range uint32(n) {
		// Runs of one size, as UDP GSO likes them, and others.
		a.dev.toPump <- udpPacket("10.1.0.1", "10.2.0.1", 100+int(i/7*37%1200), i)
		if i%20 == 19 {
			// What the socket's buffer surely takes at a time.
			for j := i - 19; j <= i; j++ {
				got := next(t, b.dev.fromPump)
				require.Equal(t, udpPacket("10.1.0.1", "10.2.0.1", 100+int(j/7*37%1200), j), got)
			}
		}
	}
	b.dev.toPump <- udpPacket("10.2.0.1", "10.1.0.1", 60, 1)
	require.Equal(t, udpPacket("10.2.0.1", "10.1.0.1", 60, 1), next(t, a.dev.fromPump))

	require.NoError(t, a.pump.Close())
	require.NoError(t, b.pump.Close())
	sa, sb := a.pump.Stats(), b.pump.Stats()
	require.Equal(t, pump.Stats{FromDevice: n, Sent: n, Received: 1, ToDevice: 1}, sa)
	require.Equal(t, pump.Stats{FromDevice: 1, Sent: 1, Received: n, ToDevice: n}, sb)
}

// The sender of a packet that is too big learns what is not.
func TestTooBig(t *testing.T) {
	a, b := newEnds(t, esp.Config{PathMTU: 1400})
	install(t, a, b, 0x1001)
	p := udpPacket("10.1.0.1", "10.2.0.1", 1500, 1)
	p[6] = 0x40 // don't fragment
	a.dev.toPump <- p
	got := next(t, a.dev.fromPump)
	require.EqualValues(t, 1, got[9], "ICMP")
	require.Equal(t, []byte{10, 1, 0, 1}, got[16:20])
	require.Equal(t, []byte{3, 4}, got[20:22], "fragmentation needed")
	mtu := binary.BigEndian.Uint16(got[26:])
	want, err := pump.InnerMTU(1400, gcm(), netip.MustParseAddr("127.0.0.1"), true)
	require.NoError(t, err)
	require.EqualValues(t, want, mtu)
	// Counted when the device has taken it, a moment after we have it.
	require.Eventually(t, func() bool { return a.pump.Stats().Answered == 1 }, time.Minute, time.Millisecond)

	p = udpPacket("10.1.0.1", "10.2.0.1", int(mtu), 2)
	p[6] = 0x40
	a.dev.toPump <- p
	require.Equal(t, p, next(t, b.dev.fromPump))
}

func gcm() *spd.SA {
	return &spd.SA{Protocol: spd.ProtoESP, Encryption: spd.Transform{Type: spd.TransformENCR, ID: spd.EncrAESGCM16, KeyLen: 128}}
}

// Packets that began a negotiation are sent when it has succeeded.
func TestHeldPacketsAreSent(t *testing.T) {
	a, b := newEnds(t, esp.Config{})
	a.dev.toPump <- udpPacket("10.1.0.1", "10.2.0.1", 100, 1)
	a.dev.toPump <- udpPacket("10.1.0.1", "10.2.0.1", 100, 2)
	ev := next(t, a.engine.Events())
	require.IsType(t, spd.AcquireEvent{}, ev)
	for a.engine.Stats().Held < 2 {
		runtime.Gosched()
	}
	install(t, a, b, 0x1001)
	require.NoError(t, a.engine.AcquireDone(t.Context(), ev.(spd.AcquireEvent).ID, nil))
	require.Equal(t, udpPacket("10.1.0.1", "10.2.0.1", 100, 1), next(t, b.dev.fromPump))
	require.Equal(t, udpPacket("10.1.0.1", "10.2.0.1", 100, 2), next(t, b.dev.fromPump))
}

// Packets that came before their SA was installed reach the device when it is.
func TestEarlyPacketsAreDelivered(t *testing.T) {
	a, b := newEnds(t, esp.Config{})
	spi, err := b.engine.AllocSPI(t.Context(), spd.SPIRequest{Protocol: spd.ProtoESP})
	require.NoError(t, err)
	out, in := bundles(a, b, spi)
	require.NoError(t, a.engine.InstallOutbound(t.Context(), &out))
	a.dev.toPump <- udpPacket("10.1.0.1", "10.2.0.1", 100, 1)
	a.dev.toPump <- udpPacket("10.1.0.1", "10.2.0.1", 100, 2)
	for b.engine.Stats().Early < 2 {
		runtime.Gosched()
	}
	require.NoError(t, b.engine.InstallInbound(t.Context(), &in))
	require.Equal(t, udpPacket("10.1.0.1", "10.2.0.1", 100, 1), next(t, b.dev.fromPump))
	require.Equal(t, udpPacket("10.1.0.1", "10.2.0.1", 100, 2), next(t, b.dev.fromPump))
	require.NoError(t, b.pump.Close())
	require.Equal(t, pump.Stats{Received: 2, ToDevice: 2}, b.pump.Stats())
}

// What policy does not protect does not leave.
func TestUnprotectedIsDropped(t *testing.T) {
	a, b := newEnds(t, esp.Config{})
	install(t, a, b, 0x1001)
	bypass := spd.Policy{Direction: spd.Out, Action: spd.ActionBypass, Selector: spd.Selector{
		Local: a.net, Remote: spd.FromPrefix(netip.MustParsePrefix("10.9.0.0/16")),
	}}
	require.NoError(t, a.engine.SetPolicies(t.Context(), 2, []spd.Policy{bypass}))
	a.dev.toPump <- udpPacket("10.1.0.1", "10.8.0.1", 100, 1) // no policy
	a.dev.toPump <- udpPacket("10.1.0.1", "10.9.0.1", 100, 2)
	a.dev.toPump <- []byte("nonsense")
	a.dev.toPump <- udpPacket("10.1.0.1", "10.2.0.1", 100, 3)
	require.Equal(t, udpPacket("10.1.0.1", "10.2.0.1", 100, 3), next(t, b.dev.fromPump))

	a.pump.SetWriter(nil)
	a.dev.toPump <- udpPacket("10.1.0.1", "10.2.0.1", 100, 4)
	for a.pump.Stats().SendDrops == 0 {
		runtime.Gosched()
	}
	s := a.pump.Stats()
	require.EqualValues(t, 1, s.Bypassed)
	require.EqualValues(t, 1, s.Sent)
	require.EqualValues(t, 1, s.SendDrops)
	require.EqualValues(t, 1, a.engine.Stats().Discarded)
	require.EqualValues(t, 1, a.engine.Stats().Malformed)
}

// ESP packets in a buffer without any room still reach the device, and do not
// overwrite each other there.
func TestHandleESPWithoutRoom(t *testing.T) {
	a, b := newEnds(t, esp.Config{})
	// Without encryption only the 8 octets of SPI and sequence number precede
	// the packet.
	null := func(from, to *end) spd.Bundle {
		return spd.Bundle{
			SAs: []spd.SA{{
				Protocol: spd.ProtoESP, SPI: 0x1001, IntegKey: make([]byte, 32),
				Encryption: spd.Transform{Type: spd.TransformENCR, ID: spd.EncrNULL},
				Integrity:  spd.Transform{Type: spd.TransformINTEG, ID: spd.IntegHMACSHA256_128},
			}},
			ReqID: 1, Local: from.udp.LocalAddr(), Remote: to.udp.LocalAddr(), UDPEncap: true,
			LocalTS: []spd.TrafficSelector{from.net}, RemoteTS: []spd.TrafficSelector{to.net},
		}
	}
	in, out := null(b, a), null(a, b)
	in.LocalTS, in.RemoteTS = []spd.TrafficSelector{b.net}, []spd.TrafficSelector{a.net}
	require.NoError(t, b.engine.InstallInbound(t.Context(), &in))
	require.NoError(t, a.engine.InstallOutbound(t.Context(), &out))
	for i := range uint32(20) {
		a.dev.toPump <- udpPacket("10.1.0.1", "10.2.0.1", 1000+int(i), i)
	}
	for i := range uint32(20) {
		require.Equal(t, udpPacket("10.1.0.1", "10.2.0.1", 1000+int(i), i), next(t, b.dev.fromPump))
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	for parallel := 1; parallel <= 3; parallel++ {
		t.Run(fmt.Sprintf("parallel=%d", parallel), func(t *testing.T) { testClose(t, parallel) })
	}
}

func testClose(t *testing.T, parallel int) {
	before := runtime.NumGoroutine()
	t.Run("run", func(t *testing.T) {
		a, b := newParallelEnds(t, esp.Config{}, parallel)
		install(t, a, b, 0x1001)
		for i := range uint32(100) {
			a.dev.toPump <- udpPacket("10.1.0.1", "10.2.0.1", 100, i)
		}
		next(t, b.dev.fromPump)
		require.NoError(t, a.pump.Close())
		require.NoError(t, a.pump.Close(), "twice")
		<-a.pump.Done()
		require.NoError(t, a.pump.Err())
		a.pump.HandleESP(a.udp.LocalAddr(), b.udp.LocalAddr(), 0, [][]byte{make([]byte, 100)})
		require.Zero(t, a.pump.Stats().Received)
	})
	deadline := time.Now().Add(time.Minute)
	for runtime.NumGoroutine() > before && time.Now().Before(deadline) {
		runtime.Gosched()
	}
	if n := runtime.NumGoroutine(); n > before {
		buf := make([]byte, 1<<20)
		t.Fatalf("%d goroutines, %d before:\n%s", n, before, buf[:runtime.Stack(buf, true)])
	}
}

// The pump ends, and says why, when its device fails for good, but not when
// single reads do.
func TestDeviceFails(t *testing.T) {
	failure := errors.New("out of order")
	a, b := newEnds(t, esp.Config{})
	install(t, a, b, 0x1001)
	for range 50 {
		a.dev.broken <- failure
	}
	a.dev.toPump <- udpPacket("10.1.0.1", "10.2.0.1", 100, 1)
	next(t, b.dev.fromPump)
	require.NoError(t, a.pump.Err())
	go func() {
		for {
			select {
			case a.dev.broken <- failure:
			case <-a.dev.closed:
				return
			}
		}
	}()
	next(t, a.pump.Done())
	require.ErrorIs(t, a.pump.Err(), failure)
	require.NotZero(t, a.pump.Stats().DeviceErrors)
}

func TestNewRefuses(t *testing.T) {
	e := esp.New(esp.Config{})
	defer e.Close()
	_, err := pump.New(pump.Config{TUN: newMemoryTUN(1)})
	require.ErrorContains(t, err, "Engine")
	_, err = pump.New(pump.Config{Engine: e})
	require.ErrorContains(t, err, "TUN")
	_, err = pump.New(pump.Config{Engine: e, TUN: newMemoryTUN(0)})
	require.ErrorContains(t, err, "batch size")
	_, err = pump.New(pump.Config{Engine: e, TUN: newMemoryTUN(1), Parallel: 4})
	require.ErrorContains(t, err, "Parallel")
}
