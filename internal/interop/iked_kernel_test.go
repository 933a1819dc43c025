//go:build linux

package interop_test

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/internal/control"
	"github.com/racoon3/racoon/internal/interop"
	"github.com/racoon3/racoon/internal/lab"
	"github.com/racoon3/racoon/pfkey"
	"github.com/racoon3/racoon/spd"
)

// kernelPair starts the sample for two sites over a kernel's IPsec.
func kernelPair(t *testing.T, kind, startA, startB, proposal, moreA, moreB string) (a, b *iked) {
	sa, sb := lab.NewPair(t)
	sa.RouteTo(sb)
	sb.RouteTo(sa)
	a, b = newIked(t, sa), newIked(t, sb)
	text := sample(t, "site-to-site.toml")
	plane := fmt.Sprintf("\nproposals = [%q]\n[dataplane]\nkind = %q\n", proposal, kind)
	a.file("branch.psk", ikedSecret)
	b.file("branch.psk", ikedSecret)
	a.configure(text+plane+moreA, "192.0.2.2", sb.Outer.String(), `start = "always"`, `start = "`+startA+`"`)
	b.configure(mirrored(t, text, sa.Outer.String())+plane+moreB, `start = "always"`, `start = "`+startB+`"`)
	b.start()
	a.start()
	return a, b
}

var spiPattern = regexp.MustCompile(`spi 0x[0-9a-f]+`)

// kernelSPIs are the SAs in a kernel, as `ip xfrm` and a dump of PF_KEY have them.
func kernelSPIs(t *testing.T, site *lab.Site) []spd.SPI {
	t.Helper()
	var conn pfkey.Conn
	var err error
	site.Do(func() { conn, err = pfkey.OpenSocket() })
	require.NoError(t, err)
	c, err := pfkey.NewClient(conn, pfkey.ClientConfig{})
	require.NoError(t, err)
	defer c.Close()
	for range 5 {
		var shown, dumped []spd.SPI
		for _, s := range spiPattern.FindAllString(site.Run("ip", "xfrm", "state"), -1) {
			n, err := strconv.ParseUint(strings.TrimPrefix(s, "spi 0x"), 16, 32)
			require.NoError(t, err)
			shown = append(shown, spd.SPI(n))
		}
		for sa, err := range c.Dump(t.Context(), pfkey.SATypeESP) {
			require.NoError(t, err)
			dumped = append(dumped, sa.SPI)
		}
		slices.Sort(shown)
		slices.Sort(dumped)
		if slices.Equal(shown, dumped) {
			return shown
		}
		// One has come or gone in between.
	}
	require.FailNow(t, "PF_KEY and XFRM are not two views of the same SAs")
	return nil
}

// awaitGone waits until none of some SAs is in the kernel of a site.
func awaitGone(t *testing.T, old []spd.SPI, site *lab.Site) {
	t.Helper()
	for end := time.Now().Add(ikedPatience); ; time.Sleep(100 * time.Millisecond) {
		left := slices.DeleteFunc(kernelSPIs(t, site), func(spi spd.SPI) bool { return !slices.Contains(old, spi) })
		if len(left) == 0 {
			return
		}
		require.True(t, time.Now().Before(end), "%#x are still there", left)
	}
}

// TestIkedKernel: over XFRM with AES-GCM and over PF_KEY with AES-CBC. A packet
// brings the tunnel up; it is rekeyed under traffic; SIGHUP takes another
// configuration; and nothing is left at the end.
func TestIkedKernel(t *testing.T) {
	t.Parallel()
	if !lab.InKernel(t, lab.KernelOptions{}) {
		return
	}
	for _, c := range []struct{ kind, proposal, want string }{
		{"xfrm", "aes128gcm16", "rfc4106(gcm(aes))"},
		{"pfkey", "aes256-sha384", "cbc(aes)"},
	} {
		t.Run(c.kind, func(t *testing.T) {
			a, b := kernelPair(t, c.kind, "trap", "none", c.proposal, "", "")
			require.Contains(t, a.site.Run("ip", "xfrm", "policy"), "dir out", "whoever waits until it is ready sends nothing in clear")
			require.Empty(t, a.site.Run("ip", "xfrm", "state"))
			a.reach(a.site.Inner, b.site.Inner)
			state := a.site.Run("ip", "xfrm", "state")
			require.Contains(t, state, c.want)
			first := spiPattern.FindAllString(state, -1)
			list, err := a.client().Policies(t.Context())
			require.NoError(t, err)
			require.NotEmpty(t, list)

			interop.TrafficBetween(t, a.site, a.site.Inner, b.site, b.site.Inner, func() { // a rekey loses nothing
				_, err = a.client().Rekey(t.Context(), control.RekeyRequest{Select: control.Select{Child: "net"}})
				require.NoError(t, err)
			})
			require.Eventually(t, func() bool {
				return !strings.Contains(a.site.Run("ip", "xfrm", "state"), first[0])
			}, ikedPatience, 200*time.Millisecond)
			a.site.MustPing(a.site.Inner, b.site.Inner)

			a.signal(syscall.SIGHUP)
			a.await("the configuration was reloaded", 1)
			a.site.MustPing(a.site.Inner, b.site.Inner)
			a.stop()
			b.await("session down", 1)
			b.stop()
			for _, d := range []*iked{a, b} {
				require.Empty(t, d.site.Run("ip", "xfrm", "state"))
				require.Empty(t, d.site.Run("ip", "xfrm", "policy", "list", "nosock"))
			}
		})
	}
}

// TestIkedKernelStrongSwan: the sample for two sites over a kernel's IPsec, and
// strongSwan with its kernel-netlink as the branch. A packet brings the tunnel up,
// or strongSwan does; both rekey; an end in order leaves nothing in either kernel.
func TestIkedKernelStrongSwan(t *testing.T) {
	t.Parallel()
	lab.Require(t, lab.StrongSwan)
	if !lab.InKernel(t, lab.KernelOptions{}) {
		return
	}
	lab.LoadAlgorithms(t)
	const proposals = "aes128gcm16,chacha20poly1305,aes256-sha256,aes256-sha384"
	for _, c := range []struct {
		kind, proposal string
		theyInitiate   bool
		want           []string // of ip xfrm state
	}{
		{kind: "xfrm", proposal: "aes128gcm16", want: []string{"rfc4106(gcm(aes))"}},
		{kind: "xfrm", proposal: "chacha20poly1305", theyInitiate: true, want: []string{"rfc7539esp(chacha20,poly1305)"}},
		{kind: "xfrm", proposal: "aes256-sha256", want: []string{"cbc(aes)", "hmac(sha256)", "128"}},
		{kind: "pfkey", proposal: "aes256-sha384", theyInitiate: true, want: []string{"cbc(aes)", "hmac(sha384)", "192"}},
	} {
		name := c.kind + " " + c.proposal
		start := `start = "trap"`
		if c.theyInitiate {
			name, start = name+" strongSwan calls", `start = "none"`
		}
		t.Run(name, func(t *testing.T) {
			sa, sb := lab.NewPair(t)
			sa.RouteTo(sb)
			sb.RouteTo(sa)
			swan := lab.StartStrongSwan(t, sb.Namespace, lab.StrongSwanConfig{
				Kernel: true, PSK: strings.TrimSpace(ikedSecret),
				Conns: []lab.StrongSwanConn{{
					Local: sb.Outer.String(), Remote: sa.Outer.String(), LocalID: "branch.example.org", RemoteID: "hq.example.org", Proposals: "aes256gcm16-prfsha384-x25519,aes128gcm16-prfsha256-x25519",
					Children: []lab.StrongSwanChild{{LocalTS: "10.2.0.0/16", RemoteTS: "10.1.0.0/16", Proposals: proposals}},
				}},
			})
			a := newIked(t, sa)
			a.file("branch.psk", ikedSecret)
			a.configure(sample(t, "site-to-site.toml")+fmt.Sprintf("\nproposals = [%q]\n[dataplane]\nkind = %q\n", c.proposal, c.kind),
				"192.0.2.2", sb.Outer.String(), `start = "always"`, start)
			a.start()
			if c.theyInitiate {
				require.NoError(t, swan.Initiate("net"))
			}
			onA, onB := sa.Sniff(), sb.Sniff()
			a.reach(sa.Inner, sb.Inner)
			sb.MustPing(sb.Inner, sa.Inner)
			// Old inbound SAs stay for 5 seconds, on both sides.
			agree := func() []spd.SPI {
				t.Helper()
				for end := time.Now().Add(ikedPatience); ; time.Sleep(200 * time.Millisecond) {
					own, theirs := kernelSPIs(t, sa), kernelSPIs(t, sb)
					if len(own) == 2 && slices.Equal(own, theirs) {
						return own
					}
					require.True(t, time.Now().Before(end), "our kernel has %#x, theirs %#x", own, theirs)
				}
			}
			first := agree()
			for _, site := range []*lab.Site{sa, sb} {
				state := site.Run("ip", "xfrm", "state")
				for _, w := range c.want {
					require.Equal(t, 2, strings.Count(state, w), state)
				}
			}
			_, err := a.client().Rekey(t.Context(), control.RekeyRequest{Select: control.Select{Child: "net"}})
			require.NoError(t, err)
			sa.MustPing(sa.Inner, sb.Inner)
			require.Eventually(t, func() bool { return len(swan.SAs()[0].Children) == 1 }, ikedPatience, 100*time.Millisecond)
			swan.RekeyChild("net")
			a.await(`msg="child rekeyed"`, 2)
			sb.MustPing(sb.Inner, sa.Inner)
			for _, spi := range agree() {
				require.NotContains(t, first, spi)
			}
			sa.MustPing(sa.Inner, sb.Inner)
			// What comes out of the tunnel is seen too, but nobody's own packets.
			for _, p := range onA.Packets() {
				require.NotEqual(t, sa.Inner, p.Src.Addr(), "in clear: %v", p)
			}
			for _, p := range onB.Packets() {
				require.NotEqual(t, sb.Inner, p.Src.Addr(), "in clear: %v", p)
			}
			a.stop()
			swan.WaitSAs(ikedPatience, "none", func(l []lab.StrongSwanSA) bool { return len(l) == 0 })
			require.Empty(t, sa.Run("ip", "xfrm", "state"))
			require.Empty(t, sa.Run("ip", "xfrm", "policy", "list", "nosock"))
		})
	}
}

// TestIkedKernelKilled: a daemon that was killed leaves SAs and policies in the
// kernel. The next one removes those SAs and no others, takes over or replaces
// the policies without a moment in clear, removes those that its configuration
// does not have any more, and traffic goes on within seconds.
func TestIkedKernelKilled(t *testing.T) {
	t.Parallel()
	if !lab.InKernel(t, lab.KernelOptions{}) {
		return
	}
	lab.LoadAlgorithms(t)
	for _, c := range []struct{ kind, proposal string }{{"xfrm", "aes128gcm16"}, {"pfkey", "aes128-sha1"}} {
		t.Run(c.kind, func(t *testing.T) {
			more := fmt.Sprintf("[peer.branch.child.more]\nlocal = %%q\nremote = %%q\nproposals = [%q]\n", c.proposal)
			a, b := kernelPair(t, c.kind, "always", "none", c.proposal,
				fmt.Sprintf(more, "10.1.0.0/16", "10.7.0.0/16")+"[policy.telnet]\naction = \"discard\"\nlocal = \"any\"\nremote = \"any[tcp/23]\"\n",
				fmt.Sprintf(more, "10.7.0.0/16", "10.1.0.0/16"))
			a.await(`msg="child up"`, 2)
			a.reach(a.site.Inner, b.site.Inner)
			require.Contains(t, a.site.Run("ip", "xfrm", "policy"), "10.7.0.0/16")
			before := kernelSPIs(t, a.site)
			require.Len(t, before, 4)
			a.eventually(func() bool { return slices.Equal(before, kernelSPIs(t, b.site)) }, "the same SAs at the peer")
			a.site.Run("ip", "xfrm", "state", "add", "src", "192.0.2.1", "dst", "192.0.2.2", "proto", "esp", "spi", "0x777", "mode", "tunnel",
				"enc", "cbc(aes)", "0x00112233445566778899aabbccddeeff", "auth", "hmac(sha1)", "0x0011223344556677889900112233445566778899")

			// Somebody starts a second one by mistake.
			self, err := os.Executable()
			require.NoError(t, err)
			spis, standing := kernelSPIs(t, a.site), a.site.Run("ip", "xfrm", "policy", "list", "nosock")
			second := exec.CommandContext(t.Context(), "nsenter", "--net="+a.site.Path(), "timeout", "60", self, "-c", a.path("racoon.toml"), "-state", a.path("state"), "-s", "none")
			second.Env = append(os.Environ(), runDaemon+"=iked")
			said, err := second.CombinedOutput()
			require.Error(t, err)
			require.Contains(t, string(said), "the daemon runs already")
			require.Equal(t, spis, kernelSPIs(t, a.site))
			require.Equal(t, standing, a.site.Run("ip", "xfrm", "policy", "list", "nosock"))

			a.kill()
			require.Contains(t, a.site.Run("ip", "xfrm", "policy"), "10.7.0.0/16")
			// Meanwhile somebody has edited the configuration.
			a.configure(sample(t, "site-to-site.toml")+fmt.Sprintf("\nproposals = [%q]\n[dataplane]\nkind = %q\n", c.proposal, c.kind), "192.0.2.2", b.site.Outer.String())

			sniffer := a.site.Sniff()
			begin := time.Now()
			a.start()
			require.Contains(t, a.log(), "the last daemon has not ended in order")
			a.reach(a.site.Inner, b.site.Inner)
			t.Log("traffic again after", time.Since(begin)) // a second or two, but the machine may be busy
			for _, p := range sniffer.Packets() {
				require.False(t, p.Src.Addr() == a.site.Inner, "in clear: %v", p)
			}
			after := kernelSPIs(t, a.site)
			for _, spi := range before {
				require.NotContains(t, after, spi, "an SA of the daemon that was killed")
			}
			require.Contains(t, after, spd.SPI(0x777), "somebody else's")
			b.await("session down", 1)
			require.Contains(t, b.log(), "reason=replaced", "INITIAL_CONTACT")
			awaitGone(t, before, b.site)
			a.await("that nobody wants any more are gone", 1)
			policies := a.site.Run("ip", "xfrm", "policy")
			require.NotContains(t, policies, "10.7.0.0/16")
			require.NotContains(t, policies, "dport 23")
			require.Contains(t, policies, "10.2.0.0/16")
			a.site.MustPing(a.site.Inner, b.site.Inner)
			a.stop()
			require.Empty(t, a.site.Run("ip", "xfrm", "policy", "list", "nosock"))
			require.Len(t, spiPattern.FindAllString(a.site.Run("ip", "xfrm", "state"), -1), 1)
		})
	}
}
