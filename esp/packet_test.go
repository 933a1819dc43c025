package esp

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestBatchKeepsFewBuffers: a batch has as many buffers as it had packets in
// use at once, whatever their sizes and order.
func TestBatchKeepsFewBuffers(t *testing.T) {
	var b Batch
	for i := range 1000 {
		b.Reset()
		for j := range 1 + i%5 {
			p := b.packet([]int{100, 9000, 1400, 60000}[(i*7+j)%4], 0)
			require.GreaterOrEqual(t, len(p.Buf)-p.End, Tailroom)
			require.Equal(t, Headroom, p.Start)
		}
		seen := map[*byte]bool{}
		for _, buf := range append(slices.Clone(b.taken), b.spare...) {
			require.False(t, seen[&buf[0]], "given out twice")
			seen[&buf[0]] = true
		}
		require.LessOrEqual(t, len(seen), 5)
	}
}
