package racoon

import (
	"context"
	"net"
	"net/netip"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/racoon3/racoon/internal/lab"
)

// TestCallFromMarkedSocket: the address to call from is that of the way which
// the program's own socket takes, not of a tunnel for all addresses that the
// mark leads around.
func TestCallFromMarkedSocket(t *testing.T) {
	lab.Require(t, lab.Root)
	a, b := lab.NewPair(t)
	a.IP("link add d0 type veth peer name d1", "link set d1 up", "addr add 10.50.0.1/32 dev d0", "link set d0 up",
		"route add default dev d0 table 777", "rule add priority 100 fwmark 0x77 lookup main", "rule add priority 101 lookup 777")
	for _, mark := range []int{0, 0x77} {
		a.Do(func() {
			lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
				if cerr := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, mark) }); cerr != nil {
					return cerr
				}
				return err
			}}
			c, err := lc.ListenPacket(context.Background(), "udp4", "0.0.0.0:0")
			require.NoError(t, err)
			defer c.Close()
			s, err := newSocket(c, false, true)
			require.NoError(t, err)
			from, _, err := newSockets([]*socket{s}).localFor(new(peer), b.Outer, carriesIKE)
			require.NoError(t, err)
			want := a.Outer
			if mark == 0 {
				want = netip.MustParseAddr("10.50.0.1")
			}
			require.Equal(t, want, from.Addr())
		})
	}
}
