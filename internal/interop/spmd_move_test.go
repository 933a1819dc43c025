//go:build linux

package interop_test

import (
	"fmt"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/internal/control"
	"github.com/racoon3/racoon/internal/lab"
)

// TestSpmdMove: a peer behind a NAT that gets another public address. spmd's
// policies lead to where it is, through a reload, a restart of spmd and a rekey,
// and are at home when the peer has gone, also if iked was killed.
func TestSpmdMove(t *testing.T) {
	t.Parallel()
	if !lab.InKernel(t, lab.KernelOptions{}) {
		return
	}
	lab.LoadAlgorithms(t)
	t.Run("xfrm, IKEv2", func(t *testing.T) { spmdMove(t, "xfrm", "ikev2", "aes128gcm16", true) })
	t.Run("pfkey, IKEv1", func(t *testing.T) { spmdMove(t, "pfkey", "ikev1", "aes256-sha384", false) })
}

func spmdMove(t *testing.T, kind, version, proposal string, all bool) {
	router := lab.NewRouter(t, lab.RouterConfig{})
	in, out := router.Inside("in"), router.Outside("out")
	in.RouteTo(out)
	out.RouteTo(in)
	first, second := router.Public, netip.MustParseAddr("10.99.0.77")
	inside, gateway := newIked(t, in), newIked(t, out)
	network := func(s *lab.Site) string { return netip.PrefixFrom(s.Inner, 16).Masked().String() }
	config := func(d *iked, remote netip.Addr, local, far *lab.Site, more string) {
		d.file("branch.psk", ikedSecret)
		d.configure(fmt.Sprintf(`
[peer.branch]
remote = %q
local-address = %q
versions = [%q]
local-id = "%s.example.org"
remote-id = "%s.example.org"
psk-file = "branch.psk"
start = "none"
[peer.branch.timing]
keepalive = "1s"
liveness = "2s"
[peer.branch.child.net]
local = %q
remote = %q
proposals = [%q]
[dataplane]
kind = %q
acquire-timeout = "1s"
`, remote, local.Outer, version, local.Name, far.Name, network(local), network(far), proposal, kind) + more)
	}
	config(inside, out.Outer, in, out, "")
	config(gateway, first, out, in, fmt.Sprintf("[spmd]\nsocket = %q\n[spmd.names]\nhosts-file = \"\"\n[policy.net]\naction = \"protect\"\nlocal = %q\nremote = %q\npeer = \"branch\"\nlevel = \"unique\"\n",
		gateway.path("spmif"), network(out), network(in)))
	spmd := gateway.sibling("spmd")
	spmd.startSpmd()
	atHome := policiesOf(out)
	require.Contains(t, strings.Join(atHome, "\n"), first.String())
	gateway.start("-spmd")
	inside.start()
	// leadsTo waits until all policies lead to an address. What the peer sends shows
	// where it is.
	leadsTo := func(to netip.Addr) {
		t.Helper()
		gateway.eventually(func() bool {
			_, _ = in.Ping(in.Inner, out.Inner, 1, 56, "-W", "0.2")
			for _, p := range policiesOf(out) {
				if strings.Contains(p, "tmpl") && !strings.Contains(p, to.String()) {
					return false
				}
			}
			return true
		}, fmt.Sprintf("all policies lead to %v", to))
	}
	up := func() {
		_, err := inside.client().Establish(t.Context(), control.EstablishRequest{Peer: "branch"})
		require.NoError(t, err)
	}
	reach := func() { inside.reach(in.Inner, out.Inner); gateway.reach(out.Inner, in.Inner) }
	up()
	reach()
	require.Len(t, policiesOf(out), len(atHome), "the Child SA has none of its own")

	router.RebindTo(second)
	leadsTo(second)
	reach()
	moved := policiesOf(out)

	if !all {
		inside.stop()
		leadsTo(first)
		return
	}
	t.Log("spmd loads its configuration anew, and is started anew")
	spmd.signal(syscall.SIGHUP)
	spmd.await("loaded anew", 1)
	require.Equal(t, moved, policiesOf(out))
	reach()
	spmd.stop()
	spmd.startSpmd()
	leadsTo(second)
	reach()

	t.Log("the peer takes leave")
	inside.stop()
	leadsTo(first)
	router.RebindTo(first)
	inside.start()
	up()
	reach()

	t.Log("iked is killed while its peer is elsewhere")
	router.RebindTo(second)
	leadsTo(second)
	reach()
	gateway.kill()
	leadsTo(second)
	gateway.start("-spmd")
	leadsTo(first)
	gateway.stop()
	inside.stop()
	spmd.stop()
	require.Empty(t, policiesOf(out))
}
