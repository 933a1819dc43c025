//go:build linux

package lab_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/internal/lab"
)

func TestWireGuardGoAndIperf3(t *testing.T) {
	t.Parallel()
	lab.Require(t, lab.WireGuardGo, lab.Iperf3)
	a, b := lab.NewPair(t)
	_, pb := lab.StartWireGuardGo(t, a, b, 1420)
	ia, ib := netip.MustParseAddr("10.4.0.1"), netip.MustParseAddr("10.4.0.2")
	a.MustPing(ia, ib)
	r, err := a.Iperf3(ia, b.Namespace, ib, time.Second)
	require.NoError(t, err)
	require.Positive(t, r.BitsPerSecond)
	cpu, err := pb.CPU()
	require.NoError(t, err)
	require.Positive(t, cpu)
	rss, err := pb.RSS()
	require.NoError(t, err)
	require.Greater(t, rss, int64(1<<20))
	t.Logf("%.2f Gbit/s, the receiver used %v and %d KiB", r.BitsPerSecond/1e9, cpu, rss>>10)
}
