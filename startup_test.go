package racoon

import (
	"context"
	"fmt"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/nullplane"
)

// BenchmarkStartUp is from a configuration with 10,000 peers, each with its own
// address, identity and key, to a Manager that serves them.
func BenchmarkStartUp(b *testing.B) {
	const n = 10_000
	peers := make([]Peer, n)
	for i := range peers {
		addr := fmt.Sprintf("10.%d.%d.1", i/250, i%250)
		peers[i] = Peer{Name: fmt.Sprintf("peer-%d", i), Remote: addr, LocalID: "gw.example.org", RemoteID: fmt.Sprintf("peer-%d.example.org", i),
			PSK:      ike.Secret(fmt.Sprintf("secret %d", i)),
			Children: []Child{{Local: []string{"172.16.0.0/12"}, Remote: []string{fmt.Sprintf("10.%d.%d.0/24", i/250, i%250)}}}}
	}
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		b.StartTimer()
		m, err := NewManager(Config{DataPlane: nullplane.New(), Peers: peers, Listen: []Listen{{Address: "127.0.0.1:0"}}})
		require.NoError(b, err)
		ctx, cancel := context.WithCancel(b.Context())
		served := make(chan error, 1)
		go func() { served <- m.Serve(ctx) }()
		<-m.Ready()
		b.StopTimer()
		require.Len(b, m.Peers(), n)
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n, "B/peer")
		cancel()
		require.ErrorIs(b, <-served, context.Canceled)
		b.StartTimer()
	}
}
