//go:build linux

package interop_test

import (
	"bufio"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/racoon3/racoon/internal/lab"
	"github.com/racoon3/racoon/pfkey"
	"github.com/racoon3/racoon/pfkey/setkey"
	"github.com/racoon3/racoon/spd/spmif"
)

// startSpmd starts the policy daemon with a daemon's folder and waits until it is
// ready.
func (d *iked) startSpmd(args ...string) {
	d.Helper()
	n := d.out.Count("spmd is ready")
	d.launch(append([]string{"-c", d.path("racoon.toml"), "-state", d.path("spmd.state"), "-lost-grace", "500ms"}, args...)...)
	d.await("spmd is ready", n+1)
}

// crashingClient is a client of the policy service that adds a policy and waits
// to be killed.
func crashingClient(args []string) int {
	ctx := context.Background()
	c, err := spmif.Dial(ctx, args[0], nil)
	if err == nil {
		err = c.AddPolicy(ctx, args[1], time.Hour, netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("10.77.0.7/32"),
			spmif.AddrPair{Src: netip.MustParseAddr("192.0.2.77"), Dst: netip.MustParseAddr("192.0.2.78")})
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("added")
	for {
		_ = unix.Pause()
	}
}

// sibling is another daemon with the files of d.
func (d *iked) sibling(name string) *iked {
	o := newIked(d.T, d.site)
	o.name, o.dir = name, d.dir
	return o
}

// policiesOf are the policies in a site's kernel, one a line, with the numbers
// that the kernel has given them: one that was replaced or away has another.
func policiesOf(s *lab.Site) []string {
	var list []string
	sc := bufio.NewScanner(strings.NewReader(s.Run("ip", "-d", "xfrm", "policy", "list", "nosock")))
	for sc.Scan() {
		line := strings.Join(strings.Fields(sc.Text()), " ")
		switch {
		case strings.HasPrefix(line, "src "):
			list = append(list, line)
		case strings.HasPrefix(line, "dir "), strings.HasPrefix(line, "tmpl "), strings.HasPrefix(line, "proto "):
			list[len(list)-1] += " " + line
		}
	}
	slices.Sort(list)
	return list
}

// setkeyFile carries out a file of setkey at a site.
func setkeyFile(t *testing.T, s *lab.Site, text string) {
	var conn pfkey.Conn
	var err error
	s.Do(func() { conn, err = pfkey.OpenSocket() })
	require.NoError(t, err)
	c, err := pfkey.NewClient(conn, pfkey.ClientConfig{})
	require.NoError(t, err)
	defer c.Close()
	list, err := setkey.Parse("administrator", []byte(text))
	require.NoError(t, err)
	x := setkey.Executor{Kernel: setkey.NewPFKey(c)}
	for _, st := range list {
		require.NoError(t, x.Execute(t.Context(), st))
	}
}

// A policySystem is spmd and iked at one host, and a peer.
type policySystem struct {
	*testing.T
	spmd, iked, peer *iked
	from, to         netip.Addr // between which TCP to port 443 is protected
	config           string     // of the host, for a change
	before           []string   // policies at the peer before its iked
}

// pass sends something to the peer and gets it back. Attempts are short: TCP
// would wait longer and longer for what brings the SAs up.
func (s *policySystem) pass() {
	s.Helper()
	to := netip.AddrPortFrom(s.to, 443)
	attempt := 1500 * time.Millisecond
	for end := time.Now().Add(ikedPatience); ; attempt += attempt / 2 { // for a machine that is slow
		ctx, cancel := context.WithTimeout(s.Context(), attempt)
		err := s.iked.site.Transfer(ctx, s.from, to, 5000)
		cancel()
		if err == nil {
			return
		}
		require.True(s, time.Now().Before(end), "%v", err)
	}
}

// blocked tries to reach the peer in vain.
func (s *policySystem) blocked() {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), 1500*time.Millisecond)
	defer cancel()
	c, err := s.iked.site.DialTCP(ctx, s.from, netip.AddrPortFrom(s.to, 443))
	if err == nil {
		c.Close()
	}
	require.Error(s, err)
}

// clear are packets of the protected flow that a site has sent as they are. (Those
// that have come out of a tunnel are seen too.)
func (s *policySystem) clear(w *wire) (list []string) {
	for _, p := range w.Packets() {
		src := p.Src.Addr()
		if p.Proto == unix.IPPROTO_TCP && (src == w.site.Outer || src == w.site.Inner) {
			list = append(list, p.String())
		}
	}
	return list
}

// A wire is what passes a site.
type wire struct {
	*lab.Sniffer
	site *lab.Site
}

// tunnelSystem are two hosts with spmd and iked each, and a tunnel with policies
// that want SAs of their own.
func tunnelSystem(t *testing.T, kind, proposal string) *policySystem {
	sa, sb := lab.NewPair(t)
	sa.RouteTo(sb)
	sb.RouteTo(sa)
	a, b := newIked(t, sa), newIked(t, sb)
	text := sample(t, "site-to-site.toml")
	policies := func(local, remote string) string {
		return fmt.Sprintf(`
[policy.net]
action = "protect"
local = %q
remote = %q
peer = "branch"
level = "unique"
[policy.rw]
action = "protect"
install = false
local = "any"
remote = "any"
local-address = "192.0.2.77"
remote-address = "192.0.2.78"
`, local, remote)
	}
	var all [2]string
	for i, d := range []*iked{a, b} {
		d.file("branch.psk", ikedSecret)
		t, at := text, sb
		local, remote, own := "10.1.0.0/16", "10.2.0.0/16", sa
		if i == 1 {
			t, at, local, remote, own = mirrored(d.T, text, sa.Outer.String()), sa, remote, local, sb
		}
		all[i] = strings.ReplaceAll(strings.ReplaceAll(t, "192.0.2.2", at.Outer.String()), `start = "always"`, fmt.Sprintf("start = \"none\"\nlocal-address = %q", own.Outer)) +
			fmt.Sprintf("\nproposals = [%q]\n[dataplane]\nkind = %q\nacquire-timeout = \"1s\"\n[spmd]\nsocket = %q\n[spmd.names]\nhosts-file = \"\"\n", proposal, kind, d.path("spmif")) +
			policies(local, remote)
		d.configure(all[i])
	}
	sb.Echo(netip.AddrPortFrom(sb.Inner, 443))
	spmdB := b.sibling("spmd")
	spmdB.startSpmd()
	b.start("-spmd")
	return &policySystem{T: t, spmd: a.sibling("spmd"), iked: a, peer: b, from: sa.Inner, to: sb.Inner, config: all[0]}
}

// sampleSystem is a host with the sample of spmd, and a server that has iked
// alone, whose policies are in the place of an administrator's for a while.
func sampleSystem(t *testing.T, kind, proposal string) *policySystem {
	sa, sb := lab.NewPair(t)
	a, b := newIked(t, sa), newIked(t, sb)
	for _, d := range []*iked{a, b} {
		d.file("peer.psk", ikedSecret)
	}
	a.file("spmd.pwd", "secret\n")
	peer := func(at, other *lab.Site, local, remote string) string {
		return fmt.Sprintf(`
[peer.other]
remote = %q
local-address = %q
local-id = %q
remote-id = %q
psk-file = "peer.psk"
start = "none"
[peer.other.child.https]
mode = "transport"
local = %q
remote = %q
proposals = [%q]
[dataplane]
kind = %q
acquire-timeout = "1s"
`, other.Outer, at.Outer, at.Name+".example.org", other.Name+".example.org", local, remote, proposal, kind)
	}
	https := sb.Outer.String() + "/32[tcp/443]"
	config := strings.NewReplacer(`group = "wheel"`, `group = "root"`, "[spmd]\n", fmt.Sprintf("[spmd]\nsocket = %q\n", a.path("spmif")),
		"[spmd.names.static]\n", fmt.Sprintf("[spmd.names.static]\n\"www.example.org\" = %q\n\"mail.example.org\" = \"198.51.100.25\"\n", sb.Outer)).
		Replace(sample(t, "spmd.toml")) + peer(sa, sb, sa.Outer.String()+"/32[tcp]", https)
	a.configure(config)
	b.configure(peer(sb, sa, https, sa.Outer.String()+"/32[tcp]"))
	sb.Echo(netip.AddrPortFrom(sb.Outer, 443))
	// An administrator has forbidden there what is not protected.
	setkeyFile(t, sb, fmt.Sprintf(`
		spdadd %[1]v[443] %[2]v[any] tcp -P out discard;
		spdadd %[2]v[any] %[1]v[443] tcp -P in discard;`, sb.Outer, sa.Outer))
	before := policiesOf(sb)
	b.start()
	return &policySystem{T: t, spmd: a.sibling("spmd"), iked: a, peer: b, from: sa.Outer, to: sb.Outer, config: config, before: before}
}

// TestSpmdKernel: spmd has the policies and iked the SAs, as processes. A packet
// brings them up; iked ends and comes again; spmd is killed and comes again, gets
// another configuration, and ends; a client of it crashes. What iked does changes
// no policy, what spmd does changes its own alone, and nothing is ever in clear
// that a policy protects.
func TestSpmdKernel(t *testing.T) {
	t.Parallel()
	if !lab.InKernel(t, lab.KernelOptions{}) {
		return
	}
	lab.LoadAlgorithms(t)
	t.Run("xfrm", func(t *testing.T) { tunnelSystem(t, "xfrm", "aes128gcm16").run() })
	t.Run("pfkey", func(t *testing.T) {
		s := sampleSystem(t, "pfkey", "aes256-sha384")
		s.run()
		s.peer.stop()
		require.Equal(t, s.before, policiesOf(s.peer.site), "what the administrator had is there again")
	})
}

func (s *policySystem) run() {
	site := s.iked.site
	begin := time.Now()
	step := func(what string) { s.Logf("%5.1f s: %s", time.Since(begin).Seconds(), what) }
	setkeyFile(s.T, site, `
		spdadd 10.66.0.0/16 10.67.0.0/16 any -P out ipsec esp/tunnel/192.0.2.66-192.0.2.67/unique:66;
		spdadd 10.67.0.0/16 10.66.0.0/16 any -P in discard;`)
	foreign := policiesOf(site)
	require.Len(s, foreign, 3)
	wires := []*wire{{site.Sniff(), site}, {s.peer.site.Sniff(), s.peer.site}}

	s.spmd.startSpmd()
	s.iked.start("-spmd")
	installed := policiesOf(site)
	require.Greater(s, len(installed), len(foreign))
	require.Empty(s, site.Run("ip", "xfrm", "state"))
	step("a packet brings SAs up")
	s.pass()
	require.Equal(s, installed, policiesOf(site), "the Child SA has no policies of its own")
	require.Contains(s, site.Run("ip", "xfrm", "state"), "reqid 8192 ", "that of the policy")
	esp := 0
	for _, p := range wires[0].Packets() {
		if p.Proto == unix.IPPROTO_ESP {
			esp++
		}
	}
	require.Greater(s, esp, 6)

	step("spmd is killed")
	s.spmd.kill()
	require.Equal(s, installed, policiesOf(site))
	s.pass()
	s.spmd.startSpmd()
	s.spmd.await("policies of the last life were found", 1)
	require.Equal(s, installed, policiesOf(site), "taken up as they are")
	s.pass()

	step("spmd gets another configuration")
	s.spmd.configure(s.config + "\n[policy.more]\naction = \"discard\"\nremote = \"10.88.0.0/16\"\nlocal = \"0.0.0.0/0\"\n")
	s.spmd.signal(syscall.SIGHUP)
	s.spmd.await("loaded anew", 1)
	changed := policiesOf(site)
	require.Len(s, changed, len(installed)+3)
	for _, p := range installed {
		require.Contains(s, changed, p)
	}
	s.spmd.configure(s.config)
	s.spmd.signal(syscall.SIGHUP)
	s.spmd.await("loaded anew", 2)
	require.Equal(s, installed, policiesOf(site))
	s.pass()

	if strings.Contains(s.config, "[policy.rw]") {
		step("a client of spmd crashes")
		c := s.spmd.sibling("spmif-client")
		c.launch(s.spmd.path("spmif"), "rw")
		c.await("added", 1)
		require.Len(s, policiesOf(site), len(installed)+3)
		c.kill()
		require.Eventually(s, func() bool { return slices.Equal(policiesOf(site), installed) }, ikedPatience, 50*time.Millisecond)
	}

	step("iked ends and comes again")
	s.iked.stop()
	require.Empty(s, site.Run("ip", "xfrm", "state", "list", "reqid", "8192"))
	require.Equal(s, installed, policiesOf(site))
	s.blocked()
	s.iked.start("-spmd")
	s.pass()
	s.iked.kill()
	require.Equal(s, installed, policiesOf(site))
	s.iked.start("-spmd")
	s.pass()
	require.Equal(s, installed, policiesOf(site))
	s.iked.stop()
	s.blocked()
	require.Equal(s, installed, policiesOf(site))
	for _, w := range wires {
		require.Empty(s, s.clear(w))
	}
	step("spmd ends")
	s.spmd.stop()
	require.Equal(s, foreign, policiesOf(site), "its own are gone, and no others")
	step("done")
}
