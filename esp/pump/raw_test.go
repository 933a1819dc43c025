package pump_test

import (
	"net/netip"
	"os"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/esp/pump"
)

func TestListenRawExplains(t *testing.T) {
	if runtime.GOOS != "linux" {
		_, err := pump.ListenRaw(netip.MustParseAddr("127.0.0.1"))
		require.ErrorIs(t, err, pump.ErrRawUnsupported)
		require.ErrorContains(t, err, runtime.GOOS)
		return
	}
	_, err := pump.ListenRaw(netip.Addr{})
	require.Error(t, err)
	c, err := pump.ListenRaw(netip.MustParseAddr("127.0.0.1"))
	if os.Geteuid() != 0 {
		require.ErrorIs(t, err, os.ErrPermission)
		return
	}
	if err == nil {
		require.NoError(t, c.Close())
	}
	_, err = pump.ListenRaw(netip.MustParseAddr("192.0.2.99"))
	require.ErrorContains(t, err, "192.0.2.99")
}
