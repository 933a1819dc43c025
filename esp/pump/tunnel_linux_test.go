package pump_test

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/esp/pump"
	"github.com/racoon3/racoon/internal/lab"
)

func TestTunnel(t *testing.T) {
	lab.Require(t, lab.Root)
	for _, test := range []struct {
		name string
		o    tunnelOptions
	}{
		{"UDP over IPv4", tunnelOptions{mtu: 1420}},
		{"UDP over IPv6", tunnelOptions{mtu: 1400, outer6: true}},
		{"several processors", tunnelOptions{mtu: 1420, parallel: 3}},
		{"a Manager's socket", tunnelOptions{mtu: 1420, shared: true}},
		{"protocol 50 over IPv4", tunnelOptions{mtu: 1420, raw: true}},
		{"protocol 50 over IPv6", tunnelOptions{mtu: 1400, raw: true, outer6: true}},
	} {
		t.Run(test.name, func(t *testing.T) {
			a, b := lab.NewPair(t)
			ga, gb := tunnel(t, a, b, test.o)
			// However long that takes: TCP itself gives a dead tunnel up, and on a
			// busy machine the race detector makes the sockets very slow.
			const size = 2 << 20
			for _, v := range [][2]netip.Addr{{a.Inner, b.Inner}, {a.Inner6, b.Inner6}} {
				at := netip.AddrPortFrom(v[1], 7)
				b.Echo(at)
				require.NoError(t, a.Transfer(t.Context(), v[0], at, size))
			}
			for _, g := range []*gateway{ga, gb} {
				s := g.pump.Stats()
				t.Logf("%+v", s)
				require.Greater(t, s.Sent, uint64(2*size/1400))
				require.Zero(t, s.SendDrops)
				require.Zero(t, s.DeviceErrors)
			}
		})
	}
}

// Datagrams that an application sends as one (UDP GSO) come from the device as
// one, and each arrives as it was.
func TestTunnelCutsUDP(t *testing.T) {
	lab.Require(t, lab.Root)
	a, b := lab.NewPair(t)
	tunnel(t, a, b, tunnelOptions{mtu: 1420})
	for _, at := range [][2]netip.AddrPort{
		{netip.AddrPortFrom(a.Inner, 7000), netip.AddrPortFrom(b.Inner, 7000)},
		{netip.AddrPortFrom(a.Inner6, 7000), netip.AddrPortFrom(b.Inner6, 7000)},
	} {
		var app, peer *pump.UDPConn
		got := newCollector()
		a.Do(func() { app = listen(t, at[0].String(), newCollector()) })
		b.Do(func() { peer = listen(t, at[1].String(), got) })
		var packets [][]byte
		for i := range 30 {
			p := make([]byte, 1000)
			for j := range p {
				p[j] = byte(i + j)
			}
			packets = append(packets, p)
		}
		packets = append(packets, packets[0][:77])
		n, err := app.WriteESP(app.LocalAddr(), peer.LocalAddr(), 0, packets)
		require.NoError(t, err)
		require.Equal(t, len(packets), n)
		for range packets {
			next(t, got.arrived)
		}
		got.mu.Lock()
		require.Equal(t, packets, got.packets)
		got.mu.Unlock()
	}
}

// Packets that do not fit are answered to the sending kernel, which then finds
// the size that does.
func TestTunnelPathMTU(t *testing.T) {
	lab.Require(t, lab.Root)
	a, b := lab.NewPair(t)
	ga, _ := tunnel(t, a, b, tunnelOptions{mtu: 1500}) // the device promises too much
	for _, v := range [][2]netip.Addr{{a.Inner, b.Inner}, {a.Inner6, b.Inner6}} {
		at := netip.AddrPortFrom(v[1], 7)
		b.Echo(at)
		require.NoError(t, a.Transfer(t.Context(), v[0], at, 1<<20))
	}
	require.NotZero(t, ga.pump.Stats().Answered)
}
