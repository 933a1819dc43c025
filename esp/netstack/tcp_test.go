package netstack_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/esp"
	"github.com/racoon3/racoon/internal/testhost"
	"github.com/racoon3/racoon/spd"
)

func within(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// serve sends n pseudo-random octets to whoever connects.
func serve(t testing.TB, h *host, address string, n int64) (netip.AddrPort, hash.Hash) {
	l, err := h.Listen("tcp", address)
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	sum := sha256.New()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		io.CopyN(io.MultiWriter(c, sum), rand.NewChaCha8([32]byte{1}), n)
	}()
	return l.Addr().(*net.TCPAddr).AddrPort(), sum
}

// download fetches everything, and calls each for every part of it.
func download(t testing.TB, h *host, from netip.AddrPort, each func(n int64)) ([]byte, int64) {
	ctx := within(t, testhost.Patience)
	c, err := h.DialContext(ctx, "tcp", from.String())
	require.NoError(t, err)
	defer c.Close()
	deadline, _ := ctx.Deadline()
	require.NoError(t, c.SetDeadline(deadline))
	sum := sha256.New()
	var n int64
	buf := make([]byte, 64<<10)
	for {
		k, err := c.Read(buf)
		sum.Write(buf[:k])
		n += int64(k)
		if each != nil {
			each(n)
		}
		if err == io.EOF {
			return sum.Sum(nil), n
		}
		require.NoError(t, err, "after %d octets", n)
	}
}

func TestDownloadWhileRekeyed(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		t.Run(fmt.Sprintf("IPv6=%v", v6), func(t *testing.T) {
			p := newPair(t, options{})
			const size = 16 << 20
			to := addr2
			if v6 {
				to = addr26
			}
			at, sent := serve(t, p.b, netip.AddrPortFrom(to, 0).String(), size)
			rekeys := int64(0)
			got, n := download(t, p.a, at, func(n int64) {
				if n >= (rekeys+1)*(2<<20) {
					rekeys++
					p.rekey(nil) // what is on its way still uses the old one
				}
			})
			require.EqualValues(t, size, n)
			require.Equal(t, sent.Sum(nil), got)
			require.GreaterOrEqual(t, rekeys, int64(7))
			used := 0
			for gen := spd.SPI(1); gen <= p.gen; gen++ {
				if p.a.counters(t, spd.In, p.b.spi(p, gen)).Packets > 0 {
					used++
				}
			}
			require.GreaterOrEqual(t, used, 3, "SAs that carried something")
			for _, h := range []*host{p.a, p.b} {
				require.Zero(t, h.engine.Stats().UnknownSPI)
			}
		})
	}
}

func TestLoss(t *testing.T) {
	p := newPair(t, options{})
	r := rand.New(rand.NewPCG(1, 2))
	var lost atomic.Int64
	lose := func([]byte) bool {
		if r.IntN(100) == 0 {
			lost.Add(1)
			return true
		}
		return false
	}
	p.b.wire.lose.Store(&lose)
	const size = 4 << 20
	at, sent := serve(t, p.b, ":0", size)
	got, n := download(t, p.a, netip.AddrPortFrom(addr2, at.Port()), nil)
	require.EqualValues(t, size, n)
	require.Equal(t, sent.Sum(nil), got)
	require.NotZero(t, lost.Load())
}

// A path smaller than the stack's MTU: the engine answers "too big", the stack
// sends smaller segments.
func TestPathMTU(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		t.Run(fmt.Sprintf("IPv6=%v", v6), func(t *testing.T) {
			var largest atomic.Int64
			p := newPair(t, options{mtu: 1500, engine: esp.Config{PathMTU: 1400}})
			watch := func(b []byte) bool {
				largest.Store(max(largest.Load(), int64(len(b))))
				return false
			}
			p.b.wire.lose.Store(&watch)
			const size = 1 << 20
			to := addr2
			if v6 {
				to = addr26
			}
			at, sent := serve(t, p.b, netip.AddrPortFrom(to, 0).String(), size)
			got, n := download(t, p.a, at, nil)
			require.EqualValues(t, size, n)
			require.Equal(t, sent.Sum(nil), got)
			require.NotZero(t, p.b.engine.Stats().TooBig)
			require.LessOrEqual(t, largest.Load()+20+8, int64(1400))
			require.Greater(t, largest.Load()+20+8, int64(1350))
		})
	}
}

func TestPing(t *testing.T) {
	p := newPair(t, options{})
	for _, a := range []netip.Addr{addr2, addr26} {
		d, err := p.a.Ping(within(t, testhost.Patience), a)
		require.NoError(t, err)
		require.Positive(t, d)
		require.Less(t, d, testhost.Patience)
	}
	require.EqualValues(t, 2, p.a.counters(t, spd.Out, 0x1001).Packets)
	require.EqualValues(t, 2, p.a.counters(t, spd.In, 0x2001).Packets)

	// Nobody there.
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := p.a.Ping(ctx, netip.MustParseAddr("10.2.0.99"))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	// Outside of all policies: dropped, not sent in clear.
	ctx, cancel = context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { _, err := p.a.Ping(ctx, netip.MustParseAddr("192.0.2.99")); ended <- err }()
	require.Eventually(t, func() bool { return p.a.engine.Stats().Discarded == 1 }, testhost.Patience, time.Millisecond)
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)
	require.EqualValues(t, 1, p.a.engine.Stats().Discarded)
}

func TestUDP(t *testing.T) {
	p := newPair(t, options{})
	for _, to := range []netip.Addr{addr2, addr26} {
		server, err := p.b.ListenPacket("udp", netip.AddrPortFrom(to, 0).String())
		require.NoError(t, err)
		defer server.Close()
		c, err := p.a.DialContext(t.Context(), "udp", server.LocalAddr().String())
		require.NoError(t, err)
		defer c.Close()
		deadline := time.Now().Add(testhost.Patience)
		server.SetDeadline(deadline)
		c.SetDeadline(deadline)
		// One that is fragmented in the inner network too.
		for _, n := range []int{1, 1000, 5000} {
			m := make([]byte, n)
			rand.NewChaCha8([32]byte{byte(n)}).Read(m)
			_, err = c.Write(m)
			require.NoError(t, err)
			buf := make([]byte, 8000)
			k, from, err := server.ReadFrom(buf)
			require.NoError(t, err)
			require.Equal(t, m, buf[:k])
			_, err = server.WriteTo(buf[:k], from)
			require.NoError(t, err)
			k, err = c.Read(buf)
			require.NoError(t, err)
			require.Equal(t, m, buf[:k])
		}
	}
}

// TestEarlyPackets: what the peer sends before its SA is installed here is
// answered when it is.
func TestEarlyPackets(t *testing.T) {
	p := newPair(t, options{})
	spi, err := p.b.engine.AllocSPI(t.Context(), spd.SPIRequest{Protocol: spd.ProtoESP})
	require.NoError(t, err)
	out, in := bundles(p.a, p.b, spi, nil)
	require.NoError(t, p.a.engine.InstallOutbound(t.Context(), &out))
	answered := make(chan error, 1)
	go func() {
		_, err := p.a.Ping(t.Context(), addr2)
		answered <- err
	}()
	for p.b.engine.Stats().Early == 0 {
		runtime.Gosched()
	}
	require.NoError(t, p.b.engine.InstallInbound(t.Context(), &in))
	require.NoError(t, <-answered)
	require.EqualValues(t, 1, p.b.Stats().Delivered)
}
