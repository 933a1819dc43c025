//go:build linux

package interop_test

import (
	"fmt"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/internal/control"
	"github.com/racoon3/racoon/internal/lab"
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

// TestIkedKernel: over XFRM with AES-GCM and over PF_KEY with AES-CBC. A packet
// brings the tunnel up; it is rekeyed under traffic; SIGHUP takes another
// configuration; and nothing is left at the end.
func TestIkedKernel(t *testing.T) {
	t.Parallel()
	if !lab.InKernel(t, lab.KernelOptions{Timeout: 4 * time.Minute}) {
		return
	}
	for _, c := range []struct{ kind, proposal, want string }{
		{"xfrm", "aes128gcm16", "rfc4106(gcm(aes))"},
		{"pfkey", "aes256-sha384", "cbc(aes)"},
	} {
		t.Run(c.kind, func(t *testing.T) {
			a, b := kernelPair(t, c.kind, "trap", "none", c.proposal, "", "")
			require.Eventually(t, func() bool { return strings.Contains(a.site.Run("ip", "xfrm", "policy"), "dir out") }, ikedPatience, 50*time.Millisecond)
			require.Empty(t, a.site.Run("ip", "xfrm", "state"))
			a.reach(a.site.Inner, b.site.Inner)
			state := a.site.Run("ip", "xfrm", "state")
			require.Contains(t, state, c.want)
			first := spiPattern.FindAllString(state, -1)
			list, err := a.client().Policies(t.Context())
			require.NoError(t, err)
			require.NotEmpty(t, list)

			done := make(chan int)
			go func() { n, _ := a.site.Ping(a.site.Inner, b.site.Inner, 200, 56); done <- n }()
			_, err = a.client().Rekey(t.Context(), control.RekeyRequest{Select: control.Select{Child: "net"}})
			require.NoError(t, err)
			require.Equal(t, 200, <-done, "a rekey loses nothing")
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

// TestIkedKernelKilled: a daemon that was killed leaves SAs and policies in the
// kernel. The next one removes those SAs and no others, takes over or replaces
// the policies without a moment in clear, removes those that its configuration
// does not have any more, and traffic goes on within seconds.
func TestIkedKernelKilled(t *testing.T) {
	t.Parallel()
	if !lab.InKernel(t, lab.KernelOptions{Timeout: 5 * time.Minute}) {
		return
	}
	for _, c := range []struct{ kind, proposal string }{{"xfrm", "aes128gcm16"}, {"pfkey", "aes128-sha1"}} {
		t.Run(c.kind, func(t *testing.T) {
			more := fmt.Sprintf("[peer.branch.child.more]\nlocal = %%q\nremote = %%q\nproposals = [%q]\n", c.proposal)
			a, b := kernelPair(t, c.kind, "always", "none", c.proposal,
				fmt.Sprintf(more, "10.1.0.0/16", "10.7.0.0/16")+"[policy.telnet]\naction = \"discard\"\nlocal = \"any\"\nremote = \"any[tcp/23]\"\n",
				fmt.Sprintf(more, "10.7.0.0/16", "10.1.0.0/16"))
			a.await(`msg="child up"`, 2)
			a.reach(a.site.Inner, b.site.Inner)
			require.Contains(t, a.site.Run("ip", "xfrm", "policy"), "10.7.0.0/16")
			before := spiPattern.FindAllString(a.site.Run("ip", "xfrm", "state"), -1)
			require.NotEmpty(t, before)
			a.site.Run("ip", "xfrm", "state", "add", "src", "192.0.2.1", "dst", "192.0.2.2", "proto", "esp", "spi", "0x777", "mode", "tunnel",
				"enc", "cbc(aes)", "0x00112233445566778899aabbccddeeff", "auth", "hmac(sha1)", "0x0011223344556677889900112233445566778899")
			a.kill()
			require.Contains(t, a.site.Run("ip", "xfrm", "policy"), "10.7.0.0/16")
			// Meanwhile somebody has edited the configuration.
			a.configure(sample(t, "site-to-site.toml")+fmt.Sprintf("\nproposals = [%q]\n[dataplane]\nkind = %q\n", c.proposal, c.kind), "192.0.2.2", b.site.Outer.String())

			sniffer := a.site.Sniff()
			begin := time.Now()
			a.start()
			require.Contains(t, a.log(), "the last daemon has not ended in order")
			a.reach(a.site.Inner, b.site.Inner)
			t.Log("traffic again after", time.Since(begin))
			for _, p := range sniffer.Packets() {
				require.False(t, p.Src.Addr() == a.site.Inner, "in clear: %v", p)
			}
			state := a.site.Run("ip", "xfrm", "state")
			for _, s := range before {
				require.NotContains(t, state, s+" ", "an SA of the daemon that was killed")
			}
			require.Contains(t, state, "0x00000777", "somebody else's")
			b.await("session down", 1)
			require.Contains(t, b.log(), "reason=replaced", "INITIAL_CONTACT")
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

// TestIkedKernelTransport: the sample for two hosts, everything between them in
// transport mode, with its policies that stay in clear; and the sample of a host
// for anybody with a line in psk.txt, called by IKEv1.
func TestIkedKernelTransport(t *testing.T) {
	t.Parallel()
	if !lab.InKernel(t, lab.KernelOptions{Timeout: 4 * time.Minute}) {
		return
	}
	for _, c := range []struct{ name, versions string }{{"transport.toml", "ikev2"}, {"transport-psk-txt.toml", "ikev1"}} {
		t.Run(c.versions, func(t *testing.T) {
			sa, sb := lab.NewPair(t)
			a, b := newIked(t, sa), newIked(t, sb)
			a.file("db.psk", ikedSecret)
			b.file("db.psk", ikedSecret)
			b.file("psk.txt", sa.Outer.String()+" "+ikedSecret)
			text := sample(t, "transport.toml")
			if c.versions == "ikev1" {
				a.configure(text, `remote = "db.example.org"`, "versions = [\"ikev1\"]\nremote = \""+sb.Outer.String()+"\"\nremote-id = \"host.example.org\"", "local-id = \"app.example.org\"\n", "")
				b.configure(sample(t, c.name), "192.0.2.0/24", "10.99.0.0/24")
			} else {
				a.configure(text, `remote = "db.example.org"`, "remote = \""+sb.Outer.String()+"\"\nremote-id = \"db.example.org\"")
				b.configure(text, `remote = "db.example.org"`, "remote = \""+sa.Outer.String()+"\"\nremote-id = \"app.example.org\"", `local-id = "app.example.org"`, `local-id = "db.example.org"`, `start = "always"`, `start = "none"`)
			}
			b.start()
			a.start()
			a.await(`msg="child up"`, 1)
			a.reach(sa.Outer, sb.Outer)
			require.Contains(t, sa.Run("ip", "xfrm", "state"), "mode transport")
			require.Contains(t, sa.Run("ip", "xfrm", "policy"), "proto ipv6-icmp", "[policy.icmp6]")
			a.stop()
			b.stop()
			require.Empty(t, sa.Run("ip", "xfrm", "policy", "list", "nosock"))
		})
	}
}
