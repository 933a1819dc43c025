package pump_test

import (
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/esp/pump"
	"github.com/racoon3/racoon/internal/testhost"
)

// collector is a handler that keeps what it gets.
type collector struct {
	mu      sync.Mutex
	packets [][]byte
	local   []netip.AddrPort
	remote  []netip.AddrPort
	tos     []byte
	calls   int
	arrived chan struct{}
}

func newCollector() *collector { return &collector{arrived: make(chan struct{}, 10000)} }

func (c *collector) HandleESP(local, remote netip.AddrPort, tos byte, packets [][]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls++
	for _, p := range packets {
		c.packets = append(c.packets, slices.Clone(p))
		c.local, c.remote, c.tos = append(c.local, local), append(c.remote, remote), append(c.tos, tos)
		clear(p) // it is the handler's to change
		c.arrived <- struct{}{}
	}
}

func listen(t testing.TB, at string, h pump.Handler) *pump.UDPConn {
	c, err := pump.ListenUDP(netip.MustParseAddrPort(at))
	if err != nil {
		testhost.Missing(t, "no IPv6 here: %v", err)
	}
	served := make(chan error, 1)
	go func() { served <- c.Serve(h) }()
	t.Cleanup(func() {
		require.NoError(t, c.Close())
		require.NoError(t, <-served)
	})
	return c
}

func TestUDPConn(t *testing.T) {
	for _, test := range []struct{ name, sender, receiver, to string }{
		{"IPv4", "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1"},
		{"IPv6", "[::1]:0", "[::1]:0", "::1"},
		{"all of IPv4", "0.0.0.0:0", "0.0.0.0:0", "127.0.0.1"},
		{"all of IPv6", "[::]:0", "[::]:0", "::1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := newCollector()
			from, to := listen(t, test.sender, newCollector()), listen(t, test.receiver, got)
			// Another address than the system would choose.
			local := netip.AddrPortFrom(netip.MustParseAddr(test.to), from.LocalAddr().Port())
			if test.name == "all of IPv4" && runtime.GOOS == "linux" {
				local = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.9"), local.Port())
			}
			remote := netip.AddrPortFrom(netip.MustParseAddr(test.to), to.LocalAddr().Port())
			var packets [][]byte
			for i, n := range []int{1400, 1400, 1400, 900, 1400, 1400, 64, 64, 65, 64, 1, 9000, 9000, 60000, 1400} {
				p := make([]byte, n)
				for j := range p {
					p[j] = byte(i + j)
				}
				packets = append(packets, p)
			}
			for range 150 { // more than one segmented datagram takes
				packets = append(packets, packets[0])
			}
			sent, err := from.WriteESP(local, remote, 0, packets)
			require.NoError(t, err)
			require.Equal(t, len(packets), sent)
			for range packets {
				next(t, got.arrived)
			}
			got.mu.Lock()
			defer got.mu.Unlock()
			require.Equal(t, packets, got.packets)
			for i := range packets {
				require.Equal(t, local, got.remote[i])
				if runtime.GOOS == "linux" {
					require.Equal(t, remote, got.local[i])
				}
			}
			if runtime.GOOS == "linux" {
				require.Less(t, got.calls, len(packets)/3, "packets come together")
			}
		})
	}
}

func TestUDPConnTrafficClass(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells and sets it here")
	}
	for _, at := range []string{"127.0.0.1:0", "[::1]:0"} {
		got := newCollector()
		from, to := listen(t, at, newCollector()), listen(t, at, got)
		for _, tos := range []byte{0, 0xb8, 0x03} {
			for range 3 {
				_, err := from.WriteESP(from.LocalAddr(), to.LocalAddr(), tos, [][]byte{make([]byte, 100), make([]byte, 100)})
				require.NoError(t, err)
				next(t, got.arrived)
				next(t, got.arrived)
			}
		}
		got.mu.Lock()
		require.Equal(t, "0 0 0 0 0 0 b8 b8 b8 b8 b8 b8 3 3 3 3 3 3", join(got.tos))
		got.mu.Unlock()
	}
}

func join(b []byte) string {
	s := ""
	for i, x := range b {
		if i > 0 {
			s += " "
		}
		s += fmt.Sprintf("%x", x)
	}
	return s
}

// One packet that cannot be sent does not keep others from it.
func TestUDPConnGoesOn(t *testing.T) {
	got := newCollector()
	from, to := listen(t, "127.0.0.1:0", newCollector()), listen(t, "127.0.0.1:0", got)
	small := make([]byte, 100)
	sent, err := from.WriteESP(from.LocalAddr(), to.LocalAddr(), 0, [][]byte{small, make([]byte, 65530), small, small})
	require.Error(t, err)
	require.Equal(t, 3, sent)
	for range 3 {
		next(t, got.arrived)
	}
	require.NoError(t, from.Close())
	sent, err = from.WriteESP(from.LocalAddr(), to.LocalAddr(), 0, [][]byte{small, small})
	require.Error(t, err)
	require.Zero(t, sent)
}
