//go:build linux || darwin || freebsd || netbsd || openbsd

package racoon

import (
	"net/netip"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/testhost"
)

// What systems without batched calls use works here too: two wildcard sockets
// talk from the addresses that they are told.
func TestPortableUDP(t *testing.T) {
	for _, wild := range []string{"0.0.0.0:0", "[::]:0"} {
		open := func() (*udpIO, uint16) {
			c, err := bindOne(netip.MustParseAddrPort(wild))
			if err != nil {
				testhost.Missing(t, "%v", err)
			}
			t.Cleanup(func() { c.Close() })
			local, err := addrPortOf(c.LocalAddr())
			require.NoError(t, err)
			raw, err := c.SyscallConn()
			require.NoError(t, err)
			require.NoError(t, wantPacketInfo(raw, local.Addr().Is6()))
			return &udpIO{conn: c, local: local, info: true, v6: local.Addr().Is6(), oob: make([]byte, controlSize)}, local.Port()
		}
		a, aPort := open()
		b, bPort := open()
		from, to := netip.MustParseAddr("127.0.0.3"), netip.MustParseAddr("127.0.0.4")
		if a.v6 {
			from, to = netip.IPv6Loopback(), netip.IPv6Loopback()
		} else if runtime.GOOS != "linux" {
			from, to = netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.1")
		}
		path := ike.Path{Local: netip.AddrPortFrom(from, aPort), Remote: netip.AddrPortFrom(to, bPort)}
		n, err := a.write([]outbound{{path: path, marker: nonESPMarker, b: []byte("hello")}, {path: path, segment: 4, b: []byte("12345678x")}}, new(scratch))
		require.NoError(t, err)
		require.Equal(t, 4, n)
		for _, want := range []string{"\x00\x00\x00\x00hello", "1234", "5678", "x"} {
			in := []inbound{{buf: make([]byte, 100)}}
			_, err := b.read(in)
			require.NoError(t, err)
			require.Equal(t, want, string(in[0].buf[:in[0].n]))
			require.Equal(t, ike.Path{Local: path.Remote, Remote: path.Local}, in[0].path)
		}
	}
}
