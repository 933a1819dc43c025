//go:build linux

package interop_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/racoon3/racoon/internal/lab"
)

// TestKinkdSpmd is TestSpmdKernel with kinkd in the place of iked: spmd has the
// policies of a tunnel, and kinkd its SAs.
func TestKinkdSpmd(t *testing.T) {
	t.Parallel()
	lab.Require(t, lab.MITKDC)
	if !lab.InKernel(t, lab.KernelOptions{}) {
		return
	}
	for _, kind := range []string{"xfrm", "pfkey"} {
		t.Run(kind, func(t *testing.T) { kinkdSpmd(t, kind) })
	}
}

func kinkdSpmd(t *testing.T, kind string) {
	a, b, _ := kinkdPair(t, "tunnel")
	a.site.RouteTo(b.site)
	b.site.RouteTo(a.site)
	for i, d := range []*iked{a, b} {
		peer, other := "beta", b
		if i == 1 {
			peer, other = "alpha", a
		}
		d.configure(strings.ReplaceAll(readFile(t, d.path("racoon.toml")), `start = "trap"`, "")+fmt.Sprintf(`
[dataplane]
kind = %q
acquire-timeout = "1s"
[spmd]
socket = %q
[spmd.names]
hosts-file = ""
[policy.net]
action = "protect"
local = %q
remote = %q
peer = %q
level = "unique"
`, kind, d.path("spmif"), d.site.InnerNet, other.site.InnerNet, peer), `protocol = "kink"`, fmt.Sprintf("protocol = \"kink\"\nstart = \"none\"\nlocal-address = %q", d.site.Outer))
	}
	b.site.Echo(netip.AddrPortFrom(b.site.Inner, 443))
	spmdB := b.sibling("spmd")
	spmdB.startSpmd()
	b.start("-spmd")
	(&policySystem{T: t, spmd: a.sibling("spmd"), iked: a, peer: b, from: a.site.Inner, to: b.site.Inner, config: readFile(t, a.path("racoon.toml"))}).run()
}
