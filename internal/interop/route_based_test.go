//go:build linux

package interop_test

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/internal/control"
	"github.com/racoon3/racoon/internal/interop"
	"github.com/racoon3/racoon/internal/lab"
)

// TestRouteBased is all that needs interfaces of IPsec, in one kernel: it takes
// long to start.
func TestRouteBased(t *testing.T) {
	t.Parallel()
	if !lab.InKernel(t, lab.KernelOptions{QEMU: true, MemoryMB: 768}) {
		return
	}
	lab.LoadAlgorithms(t)
	t.Run("iked with XFRM interfaces", func(t *testing.T) { testIkedInterface(t, "xfrm") })
	t.Run("iked with VTI", func(t *testing.T) { testIkedInterface(t, "vti") })
	t.Run("iked with VTI over IPv6", func(t *testing.T) { testIkedInterface(t, "vti6") })
	t.Run("iked and the interfaces of others", testIkedInterfaceTaken)
	t.Run("strongSwan", interop.RouteBasedStrongSwan)
}

// routeBased configures the sample and its mirror image. The sites have other
// numbers, since they mean nothing to the peer.
func routeBased(t *testing.T, kind string) (a, b *iked) {
	sa, sb := lab.NewPair(t)
	a, b = newIked(t, sa), newIked(t, sb)
	text := sample(t, "route-based.toml")
	a.file("branch.psk", ikedSecret)
	b.file("branch.psk", ikedSecret)
	outer := [2]string{sa.Outer.String(), sb.Outer.String()}
	if kind == "vti6" {
		outer = [2]string{sa.Outer6.String(), sb.Outer6.String()}
	}
	interfaceOf := func(own, peer string, n int) string {
		if kind == "xfrm" {
			return fmt.Sprintf("interface-id = %d", n)
		}
		return fmt.Sprintf("kind = %q\nlocal = %q\nremote = %q\nin-key = %d\nout-key = %d", kind, own, peer, n, n)
	}
	// IPv6 is only routed.
	a.configure(text, "192.0.2.2", outer[1], "interface-id = 42", interfaceOf(outer[0], outer[1], 42), `"10.3.0.0/16"`, `"fd00:2::/32"`)
	b.configure(mirrored(t, text, outer[0]), "interface-id = 42", interfaceOf(outer[1], outer[0], 7), `"10.3.0.0/16"`, `"fd00:1::/32"`,
		"10.255.0.1", "10.255.0.2", `start = "always"`, `start = "none"`)
	return a, b
}

// behind makes a host in the inner network of a site: 10.<i>.0.2, fd00:<i>::2.
func behind(t *testing.T, s *lab.Site) (h *lab.Namespace, a, a6 netip.Addr) {
	h, a, a6 = lab.NewNamespace(t, "behind "+s.Name), s.Inner.Next(), s.Inner6.Next()
	s.IP("link set in1 netns " + h.Path())
	h.IP(fmt.Sprintf("addr add %v/24 dev in1", a), fmt.Sprintf("addr add %v/64 dev in1 nodad", a6), "link set in1 up",
		fmt.Sprintf("route add default via %v", s.Inner), fmt.Sprintf("route add default via %v", s.Inner6))
	s.IP("link set in0 up")
	h.AwaitAddress(a6)
	s.AwaitAddress(s.Inner6)
	return h, a, a6
}

// carrier is what the kernel says of a cable when it comes to it.
var carrier = regexp.MustCompile(` ?linkdown|,?(LOWER_UP|NO-CARRIER)|state (UP|DOWN|LOWERLAYERDOWN|UNKNOWN)|qdisc \S+`)

// network is all of a site that a daemon with interfaces changes.
func network(s *lab.Site) string {
	return carrier.ReplaceAllString(untouched(s)+s.Run("ip", "-6", "route")+s.Run("ip", "-o", "link"), "") + s.Run("ip", "xfrm", "state") + s.Run("ip", "xfrm", "policy", "list", "nosock")
}

// testIkedInterface: the sample makes its interface, traffic goes where routes
// lead it, through a rekey and past a daemon that is killed, and nothing is left
// of it.
func testIkedInterface(t *testing.T, kind string) {
	a, b := routeBased(t, kind)
	sa, sb := a.site, b.site
	ha, host, host6 := behind(t, sa)
	before := [2]string{network(sa), network(sb)}
	b.start()
	a.start()
	a.await(`msg="child up"`, 1)
	link := sa.Run("ip", "-d", "link", "show", "ipsec0")
	require.Regexp(t, `<[^>]*\bUP\b[^>]*> mtu 1400 `, link)
	require.Contains(t, link, "alias made by iked")
	number := func(s *lab.Site, hex string) {
		state, policies := s.Run("ip", "xfrm", "state"), s.Run("ip", "xfrm", "policy", "list", "nosock")
		want := "if_id " + hex
		if kind != "xfrm" {
			want = "mark " + hex + "/0xffffffff"
		}
		require.Equal(t, strings.Count(state, "proto esp"), strings.Count(state, want), state)
		require.Equal(t, strings.Count(policies, "dir "), strings.Count(policies, want), policies)
		require.NotZero(t, strings.Count(policies, want))
		require.GreaterOrEqual(t, strings.Count(state, want), 2)
	}
	number(sa, "0x2a")
	number(sb, "0x7")
	if kind == "xfrm" {
		require.Contains(t, link, "xfrm if_id 0x2a ")
		require.Contains(t, sb.Run("ip", "-d", "link", "show", "ipsec0"), "xfrm if_id 0x7 ")
	} else {
		require.Contains(t, link, kind+" remote ")
	}
	require.Contains(t, sa.Run("ip", "addr", "show", "dev", "ipsec0"), "inet 10.255.0.1/30")
	require.Contains(t, sa.Run("ip", "route"), "10.2.0.0/16 dev ipsec0")
	require.Contains(t, sa.Run("ip", "-6", "route"), "fd00:2::/32 dev ipsec0")

	sniffer := sa.Sniff()
	a.reach(sa.Inner, sb.Inner)
	for _, x := range []struct {
		at       *lab.Namespace
		from, to netip.Addr
	}{
		{sa.Namespace, netip.MustParseAddr("10.255.0.1"), netip.MustParseAddr("10.255.0.2")}, {sa.Namespace, sa.Inner6, sb.Inner6},
		{sb.Namespace, sb.Inner, sa.Inner}, {sb.Namespace, sb.Inner6, sa.Inner6},
		{ha, host, sb.Inner}, {ha, host6, sb.Inner6}, // forwarded
	} {
		n, err := x.at.Ping(x.from, x.to, 1, 56, "-W", "20") // starting a program takes long in there
		require.NoError(t, err, "%v to %v", x.from, x.to)
		require.Equal(t, 1, n, "%v to %v", x.from, x.to)
	}
	if kind == "vti6" {
		a.stop()
		b.stop()
		require.Equal(t, before, [2]string{network(sa), network(sb)})
		return
	}

	interop.TrafficBetween(t, sa, sa.Inner, sb, sb.Inner, func() { // a rekey loses nothing
		_, err := a.client().Rekey(t.Context(), control.RekeyRequest{Select: control.Select{Child: "all"}})
		require.NoError(t, err)
	})
	number(sa, "0x2a")
	sa.MustPing(sa.Outer, sb.Outer) // beside the tunnel, whose selectors have everything

	a.kill()
	require.Contains(t, sa.Run("ip", "link"), "ipsec0")
	a.start()
	require.Contains(t, a.log(), "the interface of the last daemon is taken over")
	b.await("reason=replaced", 1)
	a.reach(sa.Inner, sb.Inner)
	number(sa, "0x2a")
	for _, p := range sniffer.Packets() {
		for _, inner := range []netip.Addr{sa.Inner, sb.Inner, sa.Inner6, sb.Inner6, host, host6, netip.MustParseAddr("10.255.0.1")} {
			require.False(t, p.Src.Addr() == inner, "in clear: %v", p)
		}
	}
	a.stop()
	require.NotContains(t, a.log(), "scripts that still run are killed")
	b.await("session down", 1)
	b.stop()
	require.Equal(t, before, [2]string{network(sa), network(sb)})
}

// testIkedInterfaceTaken: an interface that somebody has made serves if it is as
// the configuration says, and stays; another is an error that explains.
func testIkedInterfaceTaken(t *testing.T) {
	a, b := routeBased(t, "xfrm")
	a.site.IP("link add ipsec0 type xfrm if_id 42", "link set ipsec0 up")
	b.site.IP("link add ipsec0 type xfrm if_id 42") // not 7
	before := network(a.site)
	a.start()
	require.Contains(t, a.log(), "it is used as it is, and stays")
	require.Contains(t, a.site.Run("ip", "route"), "10.2.0.0/16 dev ipsec0")
	a.stop()
	require.Equal(t, before, network(a.site))

	before = network(b.site)
	require.Contains(t, b.refuse(), "interface ipsec0: xfrm: adding link ipsec0: EEXIST: that one is of kind xfrm with interface-id 42, not of kind xfrm with interface-id 7; remove it, or use another name")
	require.Equal(t, before, network(b.site))
	b.site.IP("link del ipsec0", "link add ipsec9 type xfrm if_id 7")
	before = network(b.site)
	require.Contains(t, b.refuse(), "an interface of another name has interface-id 7; use another number")
	require.Equal(t, before, network(b.site))
}

// refuse starts the daemon, which must end by itself with an error, and returns
// what it wrote.
func (d *iked) refuse() string {
	d.Helper()
	self, err := os.Executable()
	require.NoError(d, err)
	cmd := exec.Command("nsenter", "--net="+d.site.Path(), "timeout", "120", self, "-c", d.path("racoon.toml"), "-state", d.path("state"), "-s", d.path("control"))
	cmd.Env = append(os.Environ(), runDaemon+"="+d.name)
	out, err := cmd.CombinedOutput()
	require.Error(d, err)
	require.Equal(d, 1, cmd.ProcessState.ExitCode(), "%s", out)
	return string(out)
}
