//go:build linux

package interop

import (
	"context"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/lab"
	"github.com/racoon3/racoon/spd"
	"github.com/racoon3/racoon/xfrm"
)

// startKernelHost runs our side at a site with the kernel's ESP.
func startKernelHost(t *testing.T, site *lab.Site, peer racoon.Peer) (*racoon.Manager, <-chan ike.Event) {
	t.Helper()
	var plane *xfrm.DataPlane
	var err error
	site.Do(func() { plane, err = xfrm.New(xfrm.Config{}) })
	require.NoError(t, err)
	peer.LocalAddr, peer.PSK = site.Outer.String(), ike.Secret("correct horse battery staple")
	m, err := racoon.NewManager(racoon.Config{
		DataPlane: plane,
		Listen: []racoon.Listen{
			{Conn: site.ListenUDP(netip.AddrPortFrom(site.Outer, 500))},
			{Conn: site.ListenUDP(netip.AddrPortFrom(site.Outer, 4500)), NATT: true},
		},
		Peers: []racoon.Peer{peer},
	})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	events := make(chan ike.Event, 1000)
	sub := m.Subscribe(ctx)
	go func() {
		for ev := range sub {
			events <- ev
		}
	}()
	served := make(chan error, 1)
	go func() { served <- m.Serve(ctx) }()
	t.Cleanup(func() {
		stop, done := context.WithTimeout(context.Background(), patience)
		defer done()
		require.NoError(t, m.Shutdown(stop))
		cancel()
		<-served
		require.NoError(t, plane.Close())
		require.Empty(t, site.Run("ip", "xfrm", "state"))
		require.Empty(t, site.Run("ip", "xfrm", "policy", "list", "nosock"))
	})
	<-m.Ready()
	return m, events
}

// TestKernelXFRM: two of our Managers with the kernel's ESP through package
// xfrm. A packet brings the tunnel up; it is rekeyed by volume without a lost
// packet; and nothing is left at the end.
func TestKernelXFRM(t *testing.T) {
	if !lab.InKernel(t, lab.KernelOptions{Timeout: 4 * time.Minute}) {
		return
	}
	for i, proposal := range []string{"aes128gcm16", "chacha20poly1305-esn", "aes256-sha256"} {
		for _, encap := range []bool{false, true} {
			if encap && i > 0 {
				continue
			}
			t.Run(fmt.Sprintf("%s-udp=%v", proposal, encap), func(t *testing.T) {
				a, b := lab.NewPair(t)
				a.RouteTo(b)
				b.RouteTo(a)
				child := racoon.Child{Name: "net", Proposals: []string{proposal}, Local: []string{a.InnerNet.String()}, Remote: []string{b.InnerNet.String()},
					Volume: spd.Lifetime{SoftPackets: 30, HardPackets: 10000}}
				back := racoon.Child{Name: "net", Proposals: []string{proposal}, Local: child.Remote, Remote: child.Local}
				_, _ = startKernelHost(t, b, racoon.Peer{Name: "a", LocalID: "b.example", RemoteID: "a.example", ForceEncap: encap, Children: []racoon.Child{back}})
				_, events := startKernelHost(t, a, racoon.Peer{Name: "b", Remote: b.Outer.String(), LocalID: "a.example", RemoteID: "b.example", ForceEncap: encap,
					Start: racoon.StartTrap, Children: []racoon.Child{child}})
				require.Eventually(t, func() bool { return strings.Contains(a.Run("ip", "xfrm", "policy"), "dir out") }, patience, 50*time.Millisecond)

				_, _ = a.Ping(a.Inner, b.Inner, 1, 56) // it is dropped, and asks for the SA
				awaitEvent[ike.ChildUp](t, events)
				a.MustPing(a.Inner, b.Inner)
				state := a.Run("ip", "xfrm", "state")
				require.Equal(t, encap, strings.Contains(state, "espinudp"), state)
				spi := regexp.MustCompile(`spi 0x[0-9a-f]+`)
				first := spi.FindAllString(state, -1)
				require.Len(t, first, 2, state)

				got, err := a.Ping(a.Inner, b.Inner, 100, 56)
				require.NoError(t, err)
				require.Equal(t, 100, got, "a rekey loses nothing")
				awaitEvent[ike.ChildRekeyed](t, events)
				require.NotContains(t, spi.FindAllString(a.Run("ip", "xfrm", "state"), 1), first[0])
				a.MustPing(a.Inner, b.Inner)
			})
		}
	}
}

func awaitEvent[T ike.Event](t *testing.T, events <-chan ike.Event) T {
	t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case ev := <-events:
			if ev, ok := ev.(T); ok {
				return ev
			}
		case <-timeout:
			var ev T
			require.FailNow(t, "no event", "%T", ev)
		}
	}
}
