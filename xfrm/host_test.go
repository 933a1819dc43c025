package xfrm_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/spd"
	"github.com/racoon3/racoon/xfrm"
)

// TestNewExplains: where there is no XFRM or no right to use it, New says so.
func TestNewExplains(t *testing.T) {
	p, err := xfrm.New(xfrm.Config{})
	if err == nil {
		require.NoError(t, p.Close())
		t.Skip("this system has it all")
	}
	t.Log(err)
	require.ErrorContains(t, err, "xfrm: ")
	require.NotErrorIs(t, err, spd.ErrClosed)
}
