//go:build linux

package interop

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/internal/lab"
)

// underTraffic runs f while datagrams go to and fro in each direction, every
// 5 ms, and TCP streams as well. No datagram may be lost and each stream must
// arrive as it was sent. There is traffic before f and after it. The streams
// are short, so that they do not overrun the peer's socket, which would cost
// datagrams.
func (h *host) underTraffic(peer *lab.Site, f func()) {
	h.t.Helper()
	h.underTrafficWithLoss(peer, 0, f)
}

// underTrafficWithLoss is underTraffic where each way may lose some datagrams.
func (h *host) underTrafficWithLoss(peer *lab.Site, loss int, f func()) {
	h.t.Helper()
	h.trafficBetween(h.site, h.site.Inner, peer, peer.Inner, loss, f)
}

func (h *host) trafficBetween(a *lab.Site, atA netip.Addr, b *lab.Site, atB netip.Addr, loss int, f func()) {
	h.t.Helper()
	h.trafficLosing(a, atA, b, atB, func() int { return loss }, f)
}

// trafficLosing is underTraffic between two addresses; loss is asked in the end
// how many datagrams each way may have lost.
func (h *host) trafficLosing(a *lab.Site, atA netip.Addr, b *lab.Site, atB netip.Addr, loss func() int, f func()) {
	h.t.Helper()
	var stop atomic.Bool
	results := make(chan trafficResult, 3)
	go func() { results <- probe("datagrams from us", a, atA, b, netip.AddrPortFrom(atB, 0), 0, &stop) }()
	go func() { results <- probe("datagrams from the peer", b, atB, a, netip.AddrPortFrom(atA, 0), 0, &stop) }()
	echo := netip.AddrPortFrom(atB, 7)
	b.Echo(echo)
	go func() {
		r := trafficResult{what: "streams"}
		for !stop.Load() && r.err == nil {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			r.err = a.Transfer(ctx, atA, echo, 32<<10)
			cancel()
			r.sent++
		}
		results <- r
	}()
	time.Sleep(100 * time.Millisecond) // traffic first
	f()
	time.Sleep(100 * time.Millisecond)
	stop.Store(true)
	for range cap(results) {
		r := <-results
		h.t.Logf("%s: %d, %d lost", r.what, r.sent, r.lost)
		require.NoError(h.t, r.err, r.what)
		require.LessOrEqual(h.t, r.lost, loss(), r.what)
	}
}

type trafficResult struct {
	what       string
	sent, lost int
	err        error
}

// reach sends 3 datagrams from one site to another, and each must return.
func (h *host) reach(from *lab.Site, fromAddr netip.Addr, to *lab.Site, toAddr netip.Addr) {
	h.t.Helper()
	h.reachPort(from, fromAddr, to, netip.AddrPortFrom(toAddr, 0))
}

// reachPort is reach with a certain port; 0 is any.
func (h *host) reachPort(from *lab.Site, fromAddr netip.Addr, to *lab.Site, toAddr netip.AddrPort) {
	h.t.Helper()
	r := probe(fmt.Sprintf("datagrams from %s, %v, to %s, %v", from.Name, fromAddr, to.Name, toAddr), from, fromAddr, to, toAddr, 3, nil)
	require.NoError(h.t, r.err, r.what)
	require.Zero(h.t, r.lost, "%d of %d %s are lost", r.lost, r.sent, r.what)
}

// probe sends numbered datagrams from one site to another, as many as limit
// says or until stop is true, which sends them back. It counts those that do
// not return within a second after the last.
func probe(what string, from *lab.Site, fromAddr netip.Addr, to *lab.Site, toAddr netip.AddrPort, limit int, stop *atomic.Bool) trafficResult {
	r := trafficResult{what: what}
	echo := to.ListenUDP(toAddr)
	c := from.ListenUDP(netip.AddrPortFrom(fromAddr, 0))
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
	var returned atomic.Int64
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
				returned.Add(1)
			}
		}
	}()
	dst := echo.LocalAddr().(*net.UDPAddr).AddrPort()
	b := make([]byte, 100)
	for r.sent < limit || limit == 0 && !stop.Load() {
		binary.BigEndian.PutUint64(b, uint64(r.sent))
		if _, err := c.WriteToUDPAddrPort(b, dst); err != nil {
			r.err = fmt.Errorf("datagram %d: %w", r.sent, err)
			return r
		}
		r.sent++
		time.Sleep(5 * time.Millisecond)
	}
	for end := time.Now().Add(time.Second); int(returned.Load()) < r.sent && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	r.lost = r.sent - int(returned.Load())
	return r
}
