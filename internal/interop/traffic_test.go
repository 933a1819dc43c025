//go:build linux

package interop

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/internal/lab"
)

// window is how many datagrams of a probe are on their way at most: as many as
// every buffer on the way holds while the process behind it does not get to run.
const window = 20

// quiet is how long a probe waits for another datagram to return before it takes
// those that have not for lost. What is lost is known sooner mostly, and nothing
// is waited for.
const quiet = 10 * time.Second

// underTraffic runs f while datagrams go to and fro in each direction, every
// 5 ms, and TCP streams as well. No datagram may be lost and each stream must
// arrive as it was sent. There is traffic before f and after it. The streams
// are short, so that they do not overrun the peer's socket, which would cost
// datagrams.
func (h *host) underTraffic(peer *lab.Site, f func()) {
	h.t.Helper()
	TrafficBetween(h.t, h.site, h.site.Inner, peer, peer.Inner, f)
}

// underTrafficEarly is underTraffic with a peer that uses an SA before we have it.
// Our ESP keeps such packets for a while, but not any number of them, and those
// that it drops may be lost.
func (h *host) underTrafficEarly(peer *lab.Site, f func()) {
	h.t.Helper()
	dropped := func() int { s := h.plane.Stats(); return int(s.EarlyDrops + s.UnknownSPI) }
	before := dropped()
	trafficLosing(h.t, h.site, h.site.Inner, peer, peer.Inner, func() int { return dropped() - before }, f)
}

// TrafficBetween is underTraffic between two addresses.
func TrafficBetween(t testing.TB, a *lab.Site, atA netip.Addr, b *lab.Site, atB netip.Addr, f func()) {
	t.Helper()
	trafficLosing(t, a, atA, b, atB, func() int { return 0 }, f)
}

// trafficLosing is underTraffic between two addresses; loss is how many datagrams
// each way may have lost so far.
func trafficLosing(t testing.TB, a *lab.Site, atA netip.Addr, b *lab.Site, atB netip.Addr, loss func() int, f func()) {
	t.Helper()
	results := make(chan trafficResult, 3)
	probes := []*probe{
		{what: "datagrams from us", from: a, fromAddr: atA, to: b, toAddr: netip.AddrPortFrom(atB, 0), loss: loss},
		{what: "datagrams from the peer", from: b, fromAddr: atB, to: a, toAddr: netip.AddrPortFrom(atA, 0), loss: loss},
	}
	for _, p := range probes {
		go func() { results <- p.run() }()
	}
	var stop atomic.Bool
	var streams atomic.Int64
	echo := netip.AddrPortFrom(atB, 7)
	b.Echo(echo)
	go func() {
		r := trafficResult{what: "streams"}
		for !stop.Load() && r.err == nil {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			r.err = a.Transfer(ctx, atA, echo, 32<<10)
			cancel()
			r.sent = int(streams.Add(1))
		}
		results <- r
	}()
	// more waits for traffic that begins now, in each direction.
	more := func() {
		var before [2]int64
		for i, p := range probes {
			before[i] = p.returned.Load()
		}
		stream := streams.Load()
		for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
			if probes[0].returned.Load() >= before[0]+10 && probes[1].returned.Load() >= before[1]+10 && streams.Load() > stream {
				return
			}
		}
		t.Errorf("there is no traffic") // which the results explain
	}
	more()
	f()
	more()
	stop.Store(true)
	for _, p := range probes {
		p.stop.Store(true)
	}
	for range cap(results) {
		r := <-results
		t.Logf("%s: %d, %d lost", r.what, r.sent, r.lost)
		require.NoError(t, r.err, r.what)
		require.LessOrEqual(t, r.lost, loss(), r.what)
	}
}

type trafficResult struct {
	what       string
	sent, lost int
	err        error
}

// reach sends 3 datagrams from one site to another, which must return.
func (h *host) reach(from *lab.Site, fromAddr netip.Addr, to *lab.Site, toAddr netip.Addr) {
	h.t.Helper()
	h.reachPort(from, fromAddr, to, netip.AddrPortFrom(toAddr, 0))
}

// reachPort is reach with a certain port; 0 is any.
func (h *host) reachPort(from *lab.Site, fromAddr netip.Addr, to *lab.Site, toAddr netip.AddrPort) {
	h.t.Helper()
	if r := reachOnce(h.t, from, fromAddr, to, toAddr); r.lost != 0 {
		// The system itself may lose one, when it has much to do; not again.
		h.t.Logf("%d of %d %s are lost", r.lost, r.sent, r.what)
		h.reachFirst(from, fromAddr, to, toAddr)
	}
}

// reachFirst is reachPort where nothing may be lost at all, such as the packets
// that wait for an SA.
func (h *host) reachFirst(from *lab.Site, fromAddr netip.Addr, to *lab.Site, toAddr netip.AddrPort) {
	h.t.Helper()
	r := reachOnce(h.t, from, fromAddr, to, toAddr)
	require.Zero(h.t, r.lost, "%d of %d %s are lost", r.lost, r.sent, r.what)
}

func reachOnce(t testing.TB, from *lab.Site, fromAddr netip.Addr, to *lab.Site, toAddr netip.AddrPort) trafficResult {
	t.Helper()
	p := &probe{what: fmt.Sprintf("datagrams from %s, %v, to %s, %v", from.Name, fromAddr, to.Name, toAddr),
		from: from, fromAddr: fromAddr, to: to, toAddr: toAddr, limit: 3, loss: func() int { return 0 }}
	r := p.run()
	require.NoError(t, r.err, r.what)
	return r
}

// A probe sends numbered datagrams from one site to another, which sends them
// back: as many as limit says, or until stop is true if that is 0.
type probe struct {
	what     string
	from     *lab.Site
	fromAddr netip.Addr
	to       *lab.Site
	toAddr   netip.AddrPort
	limit    int
	loss     func() int // how many may have been lost so far: these are not waited for
	stop     atomic.Bool
	returned atomic.Int64
}

// run sends, and counts what does not return.
func (p *probe) run() trafficResult {
	r := trafficResult{what: p.what}
	echo := p.to.ListenUDP(p.toAddr)
	c := p.from.ListenUDP(netip.AddrPortFrom(p.fromAddr, 0))
	defer func() { _, _ = echo.Close(), c.Close() }()
	go func() {
		b := make([]byte, 2000)
		for {
			n, sender, err := echo.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			_, _ = echo.WriteToUDPAddrPort(b[:n], sender)
		}
	}()
	go func() {
		seen := map[uint64]bool{}
		b := make([]byte, 2000)
		for {
			n, err := c.Read(b)
			if err != nil {
				return
			}
			if id := binary.BigEndian.Uint64(b); n == 100 && !seen[id] {
				seen[id] = true
				p.returned.Add(1)
			}
		}
	}()
	// await waits until no more than n are away that may be on their way.
	await := func(n int) {
		last, since := p.returned.Load(), time.Now()
		for {
			// (To know the loss may mean to read a log.)
			if away := r.sent - int(p.returned.Load()); away <= n || away <= n+p.loss() || time.Since(since) >= quiet {
				return
			}
			time.Sleep(time.Millisecond)
			if now := p.returned.Load(); now != last {
				last, since = now, time.Now()
			}
		}
	}
	dst := echo.LocalAddr().(*net.UDPAddr).AddrPort()
	b := make([]byte, 100)
	for r.sent < p.limit || p.limit == 0 && !p.stop.Load() {
		await(window)
		binary.BigEndian.PutUint64(b, uint64(r.sent))
		if _, err := c.WriteToUDPAddrPort(b, dst); err != nil {
			r.err = fmt.Errorf("datagram %d: %w", r.sent, err)
			return r
		}
		r.sent++
		time.Sleep(5 * time.Millisecond)
	}
	await(0)
	r.lost = r.sent - int(p.returned.Load())
	return r
}
