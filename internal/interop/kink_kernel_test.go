//go:build linux

package interop

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/internal/lab"
	"github.com/racoon3/racoon/kink/krb/kdc"
	"github.com/racoon3/racoon/kink/message"
	"github.com/racoon3/racoon/pfkey"
	"github.com/racoon3/racoon/spd"
	"github.com/racoon3/racoon/xfrm"
)

// closingPlane is a data plane of a kernel.
type closingPlane interface {
	spd.DataPlane
	Close() error
}

// TestKINKKernel: the kernel's ESP with keys from KINK, through xfrm and through
// PF_KEY: a packet brings the SAs up, and rekeys lose none. Transport mode through
// xfrm is what [TestKINKDocument] has.
func TestKINKKernel(t *testing.T) {
	t.Parallel()
	if !lab.InKernel(t, lab.KernelOptions{}) {
		return
	}
	lab.Require(t, lab.MITKDC)
	k := lab.StartKDC(t, lab.KDCConfig{})
	k.AddPrincipal(alpha, beta)
	for _, c := range []struct {
		name string
		mode spd.Mode
		open func() (closingPlane, error)
	}{
		{"xfrm", spd.ModeTunnel, func() (closingPlane, error) { return xfrm.New(xfrm.Config{}) }},
		{"pfkey", spd.ModeTransport, func() (closingPlane, error) { return pfkey.OpenDataPlane(t.Context(), pfkey.DataPlaneConfig{}) }},
	} {
		t.Run(c.name+" "+c.mode.String(), func(t *testing.T) {
			l := newKINKWith(t, k, c.mode)
			l.a.Site.RouteTo(l.b.Site)
			l.b.Site.RouteTo(l.a.Site)
			l.a.Peer.Start = racoon.StartTrap
			l.b.startKernel(t, c.open)
			a := l.a.startKernel(t, c.open)
			atA, atB := l.ends()
			state := func(s *lab.Site) string { return s.Run("ip", "xfrm", "state") }
			require.Eventually(t, func() bool { return strings.Contains(l.a.Site.Run("ip", "xfrm", "policy"), "dir out") }, patience, 50*time.Millisecond)

			_, _ = l.a.Site.Ping(atA, atB, 1, 56) // it asks for the SA
			require.Eventually(t, func() bool { s := onlySession(a); return s != nil && len(s.ChildSAs()) == 1 }, patience, 20*time.Millisecond)
			s := onlySession(a)
			require.Equal(t, racoon.KINK, s.Version())
			l.a.Site.MustPing(atA, atB)
			l.b.Site.MustPing(atB, atA)
			require.Contains(t, state(l.a.Site), "mode "+c.mode.String())
			require.NotContains(t, state(l.a.Site), "espinudp")

			first := s.ChildSAs()[0].ChildSPIs
			TrafficBetween(t, l.a.Site, atA, l.b.Site, atB, func() {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				require.NoError(t, s.RekeyChild(ctx, s.ChildSAs()[0].ID))
				require.NoError(t, s.RekeyChild(ctx, s.ChildSAs()[0].ID))
			})
			require.NotEqual(t, first, s.ChildSAs()[0].ChildSPIs)
			l.a.Site.MustPing(atA, atB)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			require.NoError(t, s.Delete(ctx))
			require.Eventually(t, func() bool { return state(l.a.Site)+state(l.b.Site) == "" }, patience, 100*time.Millisecond)
		})
	}
}

func onlySession(m *racoon.Manager) *racoon.Session {
	for s := range m.Sessions() {
		return s
	}
	return nil
}

// startKernel runs the host with the kernel's ESP until the test ends.
func (h *kinkHost) startKernel(t *testing.T, open func() (closingPlane, error)) *racoon.Manager {
	t.Helper()
	var plane closingPlane
	var err error
	h.Site.Do(func() { plane, err = open() })
	require.NoError(t, err)
	k, err := kdc.New(h.Kerberos)
	require.NoError(t, err)
	h.Peer.LocalAddr = h.Site.Outer.String()
	m, err := racoon.NewManager(racoon.Config{DataPlane: plane, KINK: racoon.KINKConfig{Kerberos: k}, Peers: []racoon.Peer{h.Peer},
		Listen: []racoon.Listen{{Conn: h.Site.ListenUDP(netip.AddrPortFrom(h.Site.Outer, message.Port)), KINK: true}}})
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- m.Serve(context.Background()) }()
	<-m.Ready()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		require.NoError(t, m.Shutdown(ctx))
		require.NoError(t, <-served)
		require.NoError(t, plane.Close())
		require.Empty(t, h.Site.Run("ip", "xfrm", "state"))
		require.Empty(t, h.Site.Run("ip", "xfrm", "policy", "list", "nosock"))
	})
	return m
}
