package ikev2

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/internal/testpki"
)

// BenchmarkSessionHeap reports what an established session with one Child SA
// occupies on the heap, on either side, when it is idle.
func BenchmarkSessionHeap(b *testing.B) {
	for _, n := range []int{10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				sessionHeap(b, n)
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

func sessionHeap(b *testing.B, n int) {
	ends, peer := benchPair(b, nil)
	base := liveHeap()
	now := testpki.Now
	for range n {
		_, err := ends[0].Initiate(now, Initiation{Peer: peer, Path: pathAB()})
		require.NoError(b, err)
		require.Equal(b, 2, benchDrain(now, ends))
	}
	// What is kept for a while after a handshake is not what a session costs.
	now = now.Add(time.Minute)
	for _, e := range ends {
		e.HandleTimeout(now)
		require.Equal(b, n, e.Stats().Sessions)
		require.Equal(b, n, e.Stats().Children)
	}
	benchDrain(now, ends)
	both := liveHeap() - base
	ends[0] = nil
	responder := liveHeap() - base
	runtime.KeepAlive(ends)
	runtime.KeepAlive(peer)
	b.ReportMetric(float64(both-responder)/float64(n), "B/initiator")
	b.ReportMetric(float64(responder)/float64(n), "B/responder")
}

func liveHeap() int64 {
	runtime.GC()
	runtime.GC() // finalizers of the first round
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
