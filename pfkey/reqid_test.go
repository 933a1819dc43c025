package pfkey

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/spd"
)

// TestReqIDs: each request ID has a number of its own, a small one itself, and
// numbers are given back.
func TestReqIDs(t *testing.T) {
	r := newReqIDs()
	seen := map[uint32]bool{}
	for i := range uint32(MaxReqID) {
		k, err := r.take(100000 + i)
		require.NoError(t, err)
		require.True(t, k >= 1 && k <= MaxReqID && !seen[k], k)
		seen[k] = true
	}
	_, err := r.take(5)
	require.ErrorIs(t, err, spd.ErrUnsupported)
	_, err = r.take(100007)
	require.NoError(t, err, "one that has its number")
	r.give(100007)
	free := r.kernel(100007)
	r.give(100007)
	k, err := r.take(5)
	require.NoError(t, err)
	require.Equal(t, free, k)

	r = newReqIDs()
	k, err = r.take(77)
	require.NoError(t, err)
	require.EqualValues(t, 77, k)
	k, err = r.take(0)
	require.NoError(t, err)
	require.Zero(t, k, "any")
}
