//go:build linux

package interop_test

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/internal/control"
	"github.com/racoon3/racoon/internal/lab"
)

// TestIkedKernelSamples: the samples that are made for a kernel's IPsec, each with
// its counterpart.
func TestIkedKernelSamples(t *testing.T) {
	t.Parallel()
	if !lab.InKernel(t, lab.KernelOptions{Modules: lab.L2TPModules}) {
		return
	}
	lab.LoadAlgorithms(t)
	t.Run("transport", func(t *testing.T) { transportSample(t, false) })
	t.Run("transport-psk-txt", func(t *testing.T) { transportSample(t, true) })
	t.Run("xauth", xauthSamples)
	t.Run("l2tp-gateway", l2tpSample)
}

// transportSample: the sample for two hosts, everything between them in transport
// mode, with its policies that stay in clear; or the sample of a host for anybody
// with a line in psk.txt, called by IKEv1.
func transportSample(t *testing.T, anybody bool) {
	sa, sb := lab.NewPair(t)
	a, b := newIked(t, sa), newIked(t, sb)
	a.file("db.psk", ikedSecret)
	b.file("db.psk", ikedSecret)
	b.file("psk.txt", sa.Outer.String()+" "+ikedSecret)
	text := sample(t, "transport.toml")
	if anybody {
		a.configure(text, `remote = "db.example.org"`, "versions = [\"ikev1\"]\nremote = \""+sb.Outer.String()+"\"\nremote-id = \"host.example.org\"", "local-id = \"app.example.org\"\n", "")
		b.configure(sample(t, "transport-psk-txt.toml"), "192.0.2.0/24", "10.99.0.0/24")
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
}

// xauthSamples: the samples of a gateway and its client who logs in, whose address
// and routes the sample scripts set, and take away.
func xauthSamples(t *testing.T) {
	sa, sb := lab.NewPair(t)
	gateway, client := newIked(t, sb), newIked(t, sa)
	withUsers(t, gateway, client)
	client.sampleHooks()
	inLab := strings.NewReplacer("10.99.", "10.98.", "10.1.", "10.2.").Replace
	gateway.configure(inLab(sample(t, "xauth-gateway.toml")))
	client.configure(inLab(sample(t, "xauth-client.toml")), `remote = "vpn.example.org"`, "remote = \""+sb.Outer.String()+"\"\nremote-id = \"vpn.example.org\"")
	sb.IP("route add 10.98.0.0/24 via " + sa.Outer.String()) // a gateway has a default route
	before := untouched(sa)
	gateway.start()
	client.start()
	client.await(`msg="child up"`, 1)
	address := netip.MustParseAddr("10.98.0.7")
	client.eventually(func() bool {
		return strings.Contains(sa.Run("ip", "address"), "10.98.0.7/32") && strings.Contains(sa.Run("ip", "route"), "10.2.0.0/16 dev "+sa.Device)
	}, "the address and the route of hooks/phase1-up")
	sniffer := sa.Sniff()
	client.reach(address, sb.Inner)
	sb.MustPing(sb.Inner, address)
	for _, p := range sniffer.Packets() {
		require.NotEqual(t, address, p.Src.Addr(), "in clear: %v", p)
	}
	client.stop()
	require.Equal(t, before, untouched(sa), "hooks/phase1-down")
	gateway.await("session down", 1)
	gateway.stop()
}

// l2tpSample: the sample of a gateway beside xl2tpd, and a client of both. What
// comes without IPsec does not reach the L2TP server.
func l2tpSample(t *testing.T) {
	lab.Require(t, lab.XL2TPD)
	sa, sb := lab.NewPair(t)
	gateway, client := newIked(t, sb), newIked(t, sa)
	gateway.file("l2tp.psk", ikedSecret)
	gateway.configure(sample(t, "l2tp-gateway.toml"), "interface4:eth0", "interface4:"+sb.Device)
	client.file("l2tp.psk", ikedSecret)
	client.configure(fmt.Sprintf(`
[peer.gateway]
versions = ["ikev1"]
remote = %[2]q
remote-id = "vpn.example.org"
local-id = "alice@example.org"
psk-file = "l2tp.psk"
proposals = ["aes256-sha256-modp2048"]
start = "trap"
[peer.gateway.child.l2tp]
mode = "transport"
local = "%[1]s[udp/1701]"
remote = "%[2]s[udp/1701]"
proposals = ["aes256-sha256"]
`, sa.Outer, sb.Outer))
	gateway.start()

	l2tp := sb.ListenUDP(netip.AddrPortFrom(sb.Outer, 1701))
	other := sb.ListenUDP(netip.AddrPortFrom(sb.Outer, 1702))
	for _, to := range []*net.UDPConn{l2tp, other} {
		from := sa.ListenUDP(netip.AddrPortFrom(sa.Outer, to.LocalAddr().(*net.UDPAddr).AddrPort().Port()))
		_, err := from.WriteTo([]byte("hello"), to.LocalAddr())
		require.NoError(t, err)
		require.NoError(t, from.Close())
	}
	require.NoError(t, other.SetReadDeadline(time.Now().Add(ikedPatience)))
	_, err := other.Read(make([]byte, 16))
	require.NoError(t, err)
	require.NoError(t, l2tp.SetReadDeadline(time.Now().Add(100*time.Millisecond))) // it would be there before the other
	_, err = l2tp.Read(make([]byte, 16))
	require.ErrorIs(t, err, os.ErrDeadlineExceeded, "[policy.no-clear-l2tp]")
	require.NoError(t, l2tp.Close())
	require.NoError(t, other.Close())

	client.start()
	lab.StartXL2TPD(t, sb.Namespace, lab.XL2TPDConfig{Local: netip.MustParseAddr("172.16.9.1"), First: netip.MustParseAddr("172.16.9.10"), Last: netip.MustParseAddr("172.16.9.20")})
	lab.StartXL2TPD(t, sa.Namespace, lab.XL2TPDConfig{Server: sb.Outer})
	client.eventually(func() bool { return strings.Contains(sa.Run("ip", "-4", "-o", "addr"), "172.16.9.10 peer 172.16.9.1") }, "PPP through L2TP through IPsec")
	client.eventually(func() bool {
		n, _ := sa.Ping(netip.MustParseAddr("172.16.9.10"), netip.MustParseAddr("172.16.9.1"), 1, 56)
		return n == 1
	}, "an answer through PPP")
	require.Equal(t, 2, strings.Count(sb.Run("ip", "xfrm", "state"), "mode transport"))
	client.stop()
	gateway.await("session down", 1)
	gateway.stop()
	require.Empty(t, sb.Run("ip", "xfrm", "policy", "list", "nosock"))
}

// TestIkedRacoon2Sample: the sample with keys and hooks of a racoon2 installation,
// over IPv4 with IKEv2 and over IPv6 with IKEv1, called by packets.
func TestIkedRacoon2Sample(t *testing.T) {
	t.Parallel()
	lab.Require(t, lab.Root)
	sa, sb := lab.NewPair(t)
	a, b := newIked(t, sa), newIked(t, sb)
	a.file("psk/tokyo", strings.TrimSpace(ikedSecret)) // as pskgen writes it: all of the file is the key
	a.file("psk/kyoto.psk", strings.TrimSpace(ikedSecret))
	a.sampleHooks()
	b.file("gw.psk", ikedSecret)
	inLab := strings.NewReplacer("2001:db8::7", sb.Outer6.String(), "2001:db8:1::/48", "fd00:1::/48", "2001:db8:2::/48", "fd00:2::/48",
		`remote = "tokyo.example.org"`, "remote = \""+sb.Outer.String()+"\"\nremote-id = \"tokyo.example.org\"")
	a.configure(inLab.Replace(sample(t, "racoon2-keys.toml")) + inTUN)
	// Kyoto speaks IKEv1 only: the second of the versions is taken.
	b.configure(fmt.Sprintf(`
[defaults]
remote-id = "gw.example.org"
psk-file = "gw.psk"
[peer.tokyo]
versions = ["ikev2"]
remote = %q
local-id = "tokyo.example.org"
[peer.tokyo.child.net]
local = "10.2.0.0/16"
remote = "10.1.0.0/16"
[peer.kyoto]
versions = ["ikev1"]
remote = %q
local-id = "kyoto.example.org"
[peer.kyoto.child.net]
local = "fd00:2::/48"
remote = "fd00:1::/48"
`, sa.Outer, sa.Outer6) + inTUN)
	b.start()
	a.start()
	a.reach(sa.Inner, sb.Inner)
	a.reach(sa.Inner6, sb.Inner6)
	c := a.client()
	sessions, err := c.Sessions(t.Context(), control.Select{}, false)
	require.NoError(t, err)
	require.Len(t, sessions, 2)
	require.ElementsMatch(t, []string{"IKEv1", "IKEv2"}, []string{sessions[0].Version, sessions[1].Version})
	for _, q := range []control.Select{{Peer: "tokyo"}, {Peer: "tokyo", Child: "net"}, {Peer: "kyoto", Child: "net"}} {
		_, err = c.Rekey(t.Context(), control.RekeyRequest{Select: q})
		require.NoError(t, err)
	}
	a.stop()
	b.stop()
	log := readFile(t, a.path("racoon-events.log"))
	for _, line := range []string{
		`ike_sa_up 10\.99\.0\.1-10\.99\.0\.2 tokyo\.example\.org`, `ike_sa_rekey 10\.99\.0\.1-10\.99\.0\.2 tokyo\.example\.org`, `ike_sa_down 10\.99\.0\.1-10\.99\.0\.2 tokyo\.example\.org`,
		`child_up 10\.99\.0\.1-10\.99\.0\.2 net tunnel 10\.1\.0\.0/16 10\.2\.0\.0/16 any`, `child_rekey 10\.99\.0\.1-10\.99\.0\.2 net tunnel 10\.1\.0\.0/16 10\.2\.0\.0/16 any`,
		`child_down 10\.99\.0\.1-10\.99\.0\.2 net tunnel 10\.1\.0\.0/16 10\.2\.0\.0/16 any`,
		`phase1_up fd99::1-fd99::2 kyoto\.example\.org`, `phase2_up fd99::1-fd99::2 net tunnel fd00:1::/48 fd00:2::/48 any`, `phase2_rekey fd99::1-fd99::2 net `,
		`phase2_down fd99::1-fd99::2 net `, `phase1_down fd99::1-fd99::2 kyoto\.example\.org`,
	} {
		require.Regexp(t, `(?m)^\S+Z `+line, log)
	}
	require.NotContains(t, a.log(), "level=ERROR")
}
