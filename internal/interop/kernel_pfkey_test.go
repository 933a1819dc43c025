//go:build linux

package interop_test

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/lab"
	"github.com/racoon3/racoon/pfkey"
)

// TestKernelPFKeyManagers: two Managers bring up a Child SA over PF_KEY with what is
// left of their proposals, send through it, and rekey under traffic.
func TestKernelPFKeyManagers(t *testing.T) {
	if !lab.InKernel(t, lab.KernelOptions{Timeout: 4 * time.Minute}) {
		return
	}
	a, b := lab.NewPair(t)
	a.RouteTo(b)
	b.RouteTo(a)
	manager := func(s *lab.Site, peer racoon.Peer) *racoon.Manager {
		var p *pfkey.DataPlane
		var err error
		s.Do(func() { p, err = pfkey.OpenDataPlane(t.Context(), pfkey.DataPlaneConfig{}) })
		require.NoError(t, err)
		t.Cleanup(func() { _ = p.Close() })
		cfg := racoon.Config{DataPlane: p, Peers: []racoon.Peer{peer}, Listen: []racoon.Listen{
			{Conn: s.ListenUDP(netip.AddrPortFrom(s.Outer, 500))}, {Conn: s.ListenUDP(netip.AddrPortFrom(s.Outer, 4500)), NATT: true}}}
		m, err := racoon.NewManager(cfg)
		require.NoError(t, err)
		served := make(chan error, 1)
		go func() { served <- m.Serve(context.Background()) }()
		<-m.Ready()
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			m.Shutdown(ctx)
			require.NoError(t, <-served)
		})
		return m
	}
	psk := ike.Secret("a secret of both")
	offer := []string{"aes256gcm16", "aes256-sha256", "aes256-sha384", "aes128-sha1"}
	child := func(l, r *lab.Site) []racoon.Child {
		return []racoon.Child{{Name: "net", Local: []string{l.InnerNet.String()}, Remote: []string{r.InnerNet.String()}, Proposals: offer}}
	}
	ma := manager(a, racoon.Peer{Name: "b", Remote: b.Outer.String(), LocalID: "a@example.org", RemoteID: "b.example.org", PSK: psk, Children: child(a, b)})
	manager(b, racoon.Peer{Name: "a", LocalID: "b.example.org", RemoteID: "a@example.org", PSK: psk, Children: child(b, a)})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s, err := ma.Initiate(ctx, "b")
	require.NoError(t, err)
	a.MustPing(a.Inner, b.Inner)
	state := func(s *lab.Site) string { return s.Run("ip", "xfrm", "state") }
	st := state(a)
	require.Contains(t, st, "auth-trunc hmac(sha384)", "the first of the proposals that PF_KEY can carry")
	require.Contains(t, st, "enc cbc(aes)")
	for range 3 {
		require.NoError(t, s.RekeyChild(ctx, s.ChildSAs()[0].ID))
		a.MustPing(a.Inner, b.Inner)
	}
	require.NoError(t, s.Delete(ctx))
	require.Eventually(t, func() bool { return state(a)+state(b) == "" }, 15*time.Second, 200*time.Millisecond)
}
