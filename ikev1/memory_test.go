package ikev1

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/nullplane"
)

// BenchmarkSessionHeap reports what an established session with one Child SA
// occupies on the heap, on either side, when it is idle.
func BenchmarkSessionHeap(b *testing.B) {
	for _, n := range []int{1_000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				sessionHeap(b, n)
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

func sessionHeap(b *testing.B, n int) {
	pa, pb := pskPeer("b", "a.example", "b.example"), pskPeer("a", "b.example", "a.example")
	pb.Children[0].Local, pb.Children[0].Remote = pb.Children[0].Remote, pb.Children[0].Local
	ends := make([]*Endpoint, 2)
	for i, peer := range []*Peer{pa, pb} {
		peer.Unique = ike.UniqueNever // or the sessions, all with one peer, would be one
		e, err := NewEndpoint(Config{Rand: rand.Reader, DataPlane: nullplane.New(), Tag: uint8(i)})
		require.NoError(b, err)
		ps, err := NewPeerSet([]*Peer{peer})
		require.NoError(b, err)
		e.SetPeers(ps)
		ends[i] = e
	}
	now := time.Unix(1_700_000_000, 0)
	base := liveHeap()
	for i := range n {
		path := pathAB()
		path.Local = addrFrom(i)
		_, err := ends[0].Initiate(now, Initiation{Peer: pa, Path: path})
		require.NoError(b, err)
		drain(now, ends)
	}
	// What is kept for a while after a handshake is not what a session costs.
	for range 60 {
		now = now.Add(2 * time.Second)
		for _, e := range ends {
			e.HandleTimeout(now)
		}
		drain(now, ends)
	}
	for _, e := range ends {
		require.Equal(b, n, e.Stats().Sessions)
		require.Equal(b, n, e.Stats().Children)
	}
	both := liveHeap() - base
	ends[0] = nil
	responder := liveHeap() - base
	runtime.KeepAlive(ends)
	runtime.KeepAlive(pa)
	b.ReportMetric(float64(both-responder)/float64(n), "B/initiator")
	b.ReportMetric(float64(responder)/float64(n), "B/responder")
}

// drain carries everything between two endpoints until nothing is left to do.
func drain(now time.Time, ends []*Endpoint) {
	for busy := true; busy; {
		busy = false
		for i, e := range ends {
			for j, ok := e.PollJob(); ok; j, ok = e.PollJob() {
				busy = true
				e.HandleResult(now, j.Do(context.Background()))
			}
			for tx, ok := e.PollTransmit(); ok; tx, ok = e.PollTransmit() {
				busy = true
				ends[1-i].HandleDatagram(now, reverse(tx.Path), tx.Packet)
			}
			for _, ok := e.PollEvent(); ok; _, ok = e.PollEvent() {
			}
		}
	}
}

func liveHeap() int64 {
	runtime.GC()
	runtime.GC() // finalizers of the first round
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// addrFrom is the address of one of many peers.
func addrFrom(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 500)
}
