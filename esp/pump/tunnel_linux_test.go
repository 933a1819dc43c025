package pump_test

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

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
			a.MustPing(a.Inner, b.Inner)
			a.MustPing(a.Inner6, b.Inner6)
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			for _, v := range [][2]netip.Addr{{a.Inner, b.Inner}, {a.Inner6, b.Inner6}} {
				at := netip.AddrPortFrom(v[1], 7)
				b.Echo(at)
				require.NoError(t, a.Transfer(ctx, v[0], at, 8<<20))
			}
			for _, g := range []*gateway{ga, gb} {
				s := g.pump.Stats()
				t.Logf("%+v", s)
				require.Greater(t, s.Sent, uint64(2*8<<20/1400))
				require.Zero(t, s.SendDrops)
				require.Zero(t, s.DeviceErrors)
			}
		})
	}
}
