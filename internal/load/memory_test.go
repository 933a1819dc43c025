package load

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkGatewayHeap reports what an established session with one Child SA
// occupies on the heap of a whole gateway: core, Manager and their indexes.
func BenchmarkGatewayHeap(b *testing.B) {
	for _, n := range []int{1_000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				_, addr := serve(b, ResponderConfig{Identity: psk("gw.example.org", "*@example.org")})
				cfg := Config{Identity: psk("user%d@example.org", ""), Target: addr, Handshakes: 100, Concurrency: 8, Workers: 2, Leave: true}
				fill(b, cfg)
				heap, routines := liveHeap(), runtime.NumGoroutine()
				cfg.Handshakes = n
				fill(b, cfg)
				b.ReportMetric(float64(liveHeap()-heap)/float64(n), "B/session")
				b.ReportMetric(float64(runtime.NumGoroutine()-routines), "goroutines")
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

func fill(t testing.TB, cfg Config) {
	t.Helper()
	r, err := Run(t.Context(), cfg)
	require.NoError(t, err)
	require.Empty(t, r.Failures)
	require.Equal(t, cfg.Handshakes, r.Established)
}

// Neither goroutines nor timers of the runtime grow with the sessions.
func TestGoroutinesDoNotGrowWithSessions(t *testing.T) {
	gateway, addr := serve(t, ResponderConfig{Identity: psk("gw.example.org", "*@example.org")})
	cfg := Config{Identity: psk("user%d@example.org", ""), Target: addr, Handshakes: 50, Concurrency: 16, Leave: true}
	fill(t, cfg)
	few := runtime.NumGoroutine()
	cfg.Handshakes = 1000
	fill(t, cfg)
	require.Equal(t, 1050, gateway.Report(t.Context()).Sessions)
	require.LessOrEqual(t, runtime.NumGoroutine(), few+8, "job pools keep a few more or less")
}
