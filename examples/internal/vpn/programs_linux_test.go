package vpn_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/internal/lab"
	"github.com/racoon3/racoon/internal/testhost"
	"github.com/racoon3/racoon/internal/testpki"
)

// binaries builds the programs when they are first needed, and returns where they
// are.
var binaries = sync.OnceValues(func() (dir string, err error) {
	if dir := os.Getenv(envBinaries); dir != "" {
		return dir, nil
	}
	if built, err = os.MkdirTemp("", "racoon-vpn-"); err == nil {
		err = build(built, raceEnabled)
	}
	return built, err
})

// built is the folder that [binaries] has made, or empty.
var built string

// envBinaries names the folder with the programs for a test in a kernel of the
// lab, where compilation would take long.
const envBinaries = "RACOON_VPN_BINARIES"

func build(dir string, race bool) error {
	args := []string{"build", "-o", dir}
	if race {
		args = append(args, "-race")
	}
	cmd := exec.Command("go", append(args, "../../vpnclient", "../../vpngateway")...)
	if race {
		cmd.Env = append(os.Environ(), "CGO_ENABLED=1")
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

func TestMain(m *testing.M) {
	code := m.Run()
	if built != "" {
		os.RemoveAll(built)
	}
	os.Exit(code)
}

// start starts vpnclient or vpngateway in a namespace.
func start(t *testing.T, ns *lab.Namespace, name string, args ...string) *testhost.Process {
	t.Helper()
	dir, err := binaries()
	require.NoError(t, err)
	cmd := exec.Command("nsenter", append([]string{"--net=" + ns.Path(), filepath.Join(dir, name)}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return testhost.Start(t, cmd, testhost.NewLog(t, "%s %q in %s", name, args, ns.Name))
}

// state is all that a program may have changed in a namespace, without the
// link-local addresses that the kernel gives to devices some time.
func state(ns *lab.Namespace) string {
	var b strings.Builder
	for _, args := range [][]string{
		{"ip", "-o", "addr"}, {"ip", "route", "show", "table", "all"}, {"ip", "-6", "route", "show", "table", "all"},
		{"ip", "rule"}, {"ip", "-6", "rule"}, {"cat", "/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding"},
	} {
		for line := range strings.Lines(ns.Run(args[0], args[1:]...)) {
			if !strings.Contains(line, "fe80::") && !strings.Contains(line, "ff00::") {
				b.WriteString(line)
			}
		}
	}
	return b.String()
}

// network is a client's host and a gateway with a network, joined by an outer
// network, and what they looked like at first.
type network struct {
	t                           *testing.T
	client, gateway             *lab.Site
	beforeClient, beforeGateway string
	psk                         string // file
}

func newNetwork(t *testing.T) *network {
	lab.Require(t, lab.Root)
	a, b := lab.NewPair(t)
	n := &network{t: t, client: a, gateway: b, psk: filepath.Join(t.TempDir(), "psk")}
	require.NoError(t, os.WriteFile(n.psk, []byte("a secret of both\n"), 0o600))
	for _, s := range []*lab.Site{a, b} {
		settle(t, s)
	}
	n.remember()
	return n
}

// settle waits until the kernel has noticed that an outer link is up.
func settle(t *testing.T, s *lab.Site) {
	require.Eventually(t, func() bool {
		routes := s.Run("ip", "route", "show", "table", "all") + s.Run("ip", "-6", "route", "show", "table", "all")
		for _, want := range []string{"local fe80::", "anycast fe80:: dev " + s.Device, "local " + s.Outer6.String(), "anycast " + netip.PrefixFrom(s.Outer6, 64).Masked().Addr().String()} {
			if !strings.Contains(routes, want) {
				return false
			}
		}
		return !strings.Contains(routes, "linkdown")
	}, testhost.Patience, 10*time.Millisecond)
}

func (n *network) remember() {
	n.beforeClient, n.beforeGateway = state(n.client.Namespace), state(n.gateway.Namespace)
}

// restored checks that both sides are as they were.
func (n *network) restored() {
	n.t.Helper()
	require.Equal(n.t, n.beforeClient, state(n.client.Namespace))
	require.Equal(n.t, n.beforeGateway, state(n.gateway.Namespace))
}

func (n *network) startGateway(args ...string) *testhost.Process {
	n.t.Helper()
	p := start(n.t, n.gateway.Namespace, "vpngateway", append([]string{"-id", "gw.lab", "-psk-file", n.psk}, args...)...)
	p.Await("gateway is ready", 1)
	return p
}

func (n *network) startClient(args ...string) *testhost.Process {
	n.t.Helper()
	p := start(n.t, n.client.Namespace, "vpnclient", append([]string{"-server", n.gateway.Outer.String(), "-id", "alice@lab", "-remote-id", "gw.lab", "-psk-file", n.psk}, args...)...)
	p.Await("tunnel is ready", 1)
	return p
}

// ping sends echo requests until three are answered: on a busy machine an
// answer may take longer than the ping program would wait for the last one.
func ping(t *testing.T, ns *lab.Namespace, from, to netip.Addr) {
	t.Helper()
	out, err := ns.Exec(t.Context(), "ping", "-n", "-c", "3", "-i", "0.05", "-w", "50", "-I", from.String(), to.String())
	require.NoError(t, err, "from %s: %s", ns.Name, out)
}

// traffic sends pings and TCP through the tunnel, and checks that nothing of it
// was to be seen outside.
func traffic(t *testing.T, outside *lab.Site, from *lab.Namespace, fromAddr netip.Addr, to *lab.Namespace, toAddr netip.Addr) {
	t.Helper()
	sniffer := outside.Sniff()
	ping(t, from, fromAddr, toAddr)
	server := netip.AddrPortFrom(toAddr, 7)
	to.Echo(server)
	ctx, cancel := context.WithTimeout(t.Context(), 2*testhost.Patience)
	defer cancel()
	require.NoError(t, from.Transfer(ctx, fromAddr, server, 1<<20))
	protected := 0
	for _, p := range sniffer.Packets() {
		require.NotContains(t, []netip.Addr{fromAddr, toAddr}, p.Src.Addr(), "in clear: %v", p)
		require.NotContains(t, []netip.Addr{fromAddr, toAddr}, p.Dst.Addr(), "in clear: %v", p)
		if p.Src.Port() == 4500 || p.Dst.Port() == 4500 {
			protected += len(p.Raw)
		}
	}
	require.Greater(t, protected, 256<<10, "octets of ESP in UDP; the sniffer may miss some")
}

// TestSplitTunnel: a client with an address of either family, and routes to the
// gateway's networks.
func TestSplitTunnel(t *testing.T) {
	n := newNetwork(t)
	a, b := n.client, n.gateway
	subnets := b.InnerNet.String() + "," + b.InnerNet6.String()
	gateway := n.startGateway("-pool", "10.98.0.0/24,fd98::/112", "-dns", "10.2.0.53", "-local-subnet", subnets)
	client := n.startClient("-remote-subnet", subnets)
	client.Await("10.2.0.53", 1)
	traffic(t, a, a.Namespace, netip.MustParseAddr("10.98.0.1"), b.Namespace, b.Inner)
	traffic(t, a, a.Namespace, netip.MustParseAddr("fd98::1"), b.Namespace, b.Inner6)
	require.NotContains(t, a.Run("ip", "rule"), "29283")
	// The gateway reaches its clients too.
	ping(t, b.Namespace, b.Inner, netip.MustParseAddr("10.98.0.1"))

	client.Stop(syscall.SIGINT)
	gateway.Await("session down", 1)
	gateway.Stop(syscall.SIGTERM)
	n.restored()
}

// TestFullTunnel: everything goes through the tunnel but its own packets, with
// a mark or, where the system drops what seems to come in by the wrong device,
// with a host route; and comes back by itself when the gateway was away.
func TestFullTunnel(t *testing.T) {
	target := netip.MustParseAddr("203.0.113.1")
	for _, c := range []struct {
		name, filter string
		marked       bool
		args         []string
	}{
		{"mark", "0", true, nil},
		{"loose reverse path", "2", true, nil},
		{"strict reverse path", "1", false, nil},
		{"host route", "0", false, []string{"-escape", "host"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := newNetwork(t)
			a, b := n.client, n.gateway
			a.Sysctl("ipv4/conf/all/rp_filter=" + c.filter)
			a.IP("route add default via " + b.Outer.String())
			b.IP("addr add " + target.String() + "/32 dev lo")
			n.remember()
			gateway := n.startGateway("-pool", "10.98.0.0/24")
			client := n.startClient(c.args...)
			client.Await(fmt.Sprintf("marked=%v", c.marked), 1)
			inner := netip.MustParseAddr("10.98.0.1")
			traffic(t, a, a.Namespace, inner, b.Namespace, target)
			// Its own networks are reached as before.
			ping(t, a.Namespace, a.Inner, a.Inner)
			require.Contains(t, a.Run("ip", "route", "get", "10.1.0.77"), "dev in0")
			require.Contains(t, a.Run("ip", "route", "get", target.String()), "dev racoon0")
			// The gateway gives no IPv6 address: none passes beside the tunnel.
			_, err := a.Exec(t.Context(), "ip", "route", "get", "2001:db8::1")
			require.ErrorContains(t, err, "unreachable")

			if c.marked || c.filter == "0" {
				gateway.Stop(syscall.SIGTERM)
				client.Await("session down", 1)
				require.Contains(t, a.Run("ip", "route", "get", target.String()), "dev racoon0", "not in clear meanwhile")
				gateway = n.startGateway("-pool", "10.98.0.0/24")
				client.Await("child up", 2)
				ping(t, a.Namespace, inner, target)
			}
			client.Stop(syscall.SIGTERM)
			gateway.Await("session down", 1)
			gateway.Stop(syscall.SIGTERM)
			n.restored()
		})
	}
}

// TestFullTunnelOverIPv6: the same with a gateway that is reached by IPv6, and
// with addresses of both families in the tunnel.
func TestFullTunnelOverIPv6(t *testing.T) {
	for _, escape := range []string{"mark", "host"} {
		t.Run(escape, func(t *testing.T) {
			n := newNetwork(t)
			a, b := n.client, n.gateway
			target := netip.MustParseAddr("2001:db8::1")
			a.IP("route add default via " + b.Outer6.String())
			b.IP("addr add " + target.String() + "/128 dev lo nodad")
			n.remember()
			gateway := n.startGateway("-pool", "10.98.0.0/24,fd98::/112")
			client := n.startClient("-server", b.Outer6.String(), "-escape", escape)
			traffic(t, a, a.Namespace, netip.MustParseAddr("fd98::1"), b.Namespace, target)
			ping(t, a.Namespace, netip.MustParseAddr("10.98.0.1"), b.Inner)
			client.Stop(syscall.SIGTERM)
			gateway.Stop(syscall.SIGTERM)
			n.restored()
		})
	}
}

// TestServerInsideTheSubnet: a gateway whose own address is in the network that
// it leads to.
func TestServerInsideTheSubnet(t *testing.T) {
	n := newNetwork(t)
	a, b := n.client, n.gateway
	b.IP("addr add 203.0.113.1/32 dev lo", "addr add 203.0.113.77/32 dev lo")
	a.IP("route add 203.0.113.1/32 via " + b.Outer.String())
	a.IP("route del 203.0.113.1/32", "route add default via "+b.Outer.String())
	n.remember()
	gateway := n.startGateway("-pool", "10.98.0.0/24", "-local-subnet", "203.0.113.0/24")
	client := n.startClient("-server", "203.0.113.1", "-remote-subnet", "203.0.113.0/24")
	traffic(t, a, a.Namespace, netip.MustParseAddr("10.98.0.1"), b.Namespace, netip.MustParseAddr("203.0.113.77"))
	client.Stop(os.Interrupt)
	gateway.Stop(os.Interrupt)
	n.restored()
}

// TestManyClients: each has an address of its own, with certificates.
func TestManyClients(t *testing.T) {
	n := newNetwork(t)
	a, b := n.client, n.gateway
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		return path
	}
	ca := testpki.NewIssuer(t, testpki.P256, 1)
	root := write("ca.pem", string(ca.RootPEM()))
	credentials := func(name string, kt testpki.KeyType) []string {
		c := ca.Host(t, kt, name)
		return []string{"-cert", write(name+".pem", string(c.PEM())), "-key", write(name+".key", string(c.KeyPEM(t))), "-ca", root}
	}
	gateway := start(t, b.Namespace, "vpngateway", append(credentials("gw.lab", testpki.P384), "-remote-id", "*@lab", "-pool", "10.98.0.0/24", "-local-subnet", b.InnerNet.String())...)
	gateway.Await("gateway is ready", 1)
	// The second one is in a namespace behind the first one's.
	other := behind(t, a, netip.MustParseAddr("10.1.0.2"))
	b.IP("route add " + a.InnerNet.String() + " via " + a.Outer.String())
	n.remember()
	var clients []*testhost.Process
	for i, ns := range []*lab.Namespace{a.Namespace, other} {
		p := start(t, ns, "vpnclient", append(credentials(fmt.Sprintf("user%d@lab", i), testpki.Ed25519), "-server", b.Outer.String(), "-remote-id", "gw.lab", "-remote-subnet", b.InnerNet.String())...)
		p.Await("tunnel is ready", 1)
		clients = append(clients, p)
	}
	for i, ns := range []*lab.Namespace{a.Namespace, other} {
		ping(t, ns, netip.AddrFrom4([4]byte{10, 98, 0, byte(1 + i)}), b.Inner)
	}
	for _, c := range clients {
		c.Stop(os.Interrupt)
	}
	gateway.Stop(os.Interrupt)
	require.Equal(t, n.beforeClient, state(a.Namespace))
}

// behind puts a host into the inner network of a site.
func behind(t *testing.T, s *lab.Site, addr netip.Addr) *lab.Namespace {
	host := lab.NewNamespace(t, "host behind "+s.Name)
	s.IP("link set in1 netns " + host.Path())
	host.IP("addr add "+addr.String()+"/24 dev in1", "link set in1 up", "route add default via "+s.Inner.String())
	ping(t, host, addr, s.Inner)
	return host
}

// TestSites: hosts behind either gateway reach each other, in both directions.
func TestSites(t *testing.T) {
	n := newNetwork(t)
	a, b := n.client, n.gateway
	hostA, hostB := netip.MustParseAddr("10.1.0.2"), netip.MustParseAddr("10.2.0.2")
	behindA, behindB := behind(t, a, hostA), behind(t, b, hostB)
	for _, s := range []*lab.Site{a, b} {
		s.Sysctl("ipv4/ip_forward=0")
	}
	n.remember()
	gateway := n.startGateway("-local-subnet", b.InnerNet.String(), "-remote-subnet", a.InnerNet.String())
	client := n.startClient("-local-subnet", a.InnerNet.String(), "-remote-subnet", b.InnerNet.String())
	traffic(t, a, behindA, hostA, behindB, hostB)
	traffic(t, a, behindB, hostB, behindA, hostA)
	// The gateways themselves speak for their networks.
	ping(t, a.Namespace, a.Inner, hostB)
	a.Run("ping", "-c", "1", "-W", "2", hostB.String())
	b.Run("ping", "-c", "1", "-W", "2", hostA.String())
	client.Stop(os.Interrupt)
	gateway.Stop(os.Interrupt)
	n.restored()
}

// TestFailures: what goes wrong half-way is told, and nothing is left.
func TestFailures(t *testing.T) {
	n := newNetwork(t)
	a, b := n.client, n.gateway
	wrong := filepath.Join(t.TempDir(), "wrong")
	require.NoError(t, os.WriteFile(wrong, []byte("another secret"), 0o600))
	gateway := n.startGateway("-pool", "10.98.0.0/24", "-local-subnet", b.InnerNet.String())
	base := []string{"-server", b.Outer.String(), "-id", "alice@lab", "-remote-id", "gw.lab"}
	for _, c := range []struct {
		name, prepare, undo string
		args                []string
		want                string
	}{
		{"wrong key", "", "", []string{"-psk-file", wrong}, "AUTHENTICATION_FAILED"},
		{"other gateway", "", "", []string{"-psk-file", n.psk, "-remote-id", "other.lab"}, "AUTHENTICATION_FAILED"},
		{"network not served", "", "", []string{"-psk-file", n.psk, "-remote-subnet", "192.0.2.0/24"}, "TS_UNACCEPTABLE"},
		{"route taken", "route add " + b.InnerNet.String() + " dev in0", "route del " + b.InnerNet.String(), []string{"-psk-file", n.psk, "-remote-subnet", b.InnerNet.String()}, "route " + b.InnerNet.String() + " dev racoon0"},
		{"device taken", "tuntap add dev tun7 mode tap", "link del tun7", []string{"-psk-file", n.psk, "-tun", "tun7"}, "-tun: making the TUN device tun7"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.prepare != "" {
				a.IP(c.prepare)
			}
			before := state(a.Namespace)
			p := start(t, a.Namespace, "vpnclient", append(base, c.args...)...)
			require.Equal(t, 1, p.Wait(), p.Log.String())
			require.Contains(t, p.Log.String(), c.want)
			require.Equal(t, before, state(a.Namespace))
			if c.undo != "" {
				a.IP(c.undo)
			}
		})
	}
	other := start(t, b.Namespace, "vpngateway", "-id", "gw.lab", "-psk-file", n.psk, "-pool", "10.98.1.0/24")
	require.Equal(t, 1, other.Wait(), "the ports are taken")
	require.Contains(t, other.Log.String(), "address already in use")
	gateway.Stop(os.Interrupt)
	n.restored()
}

// TestInterruptedCall: an interrupt while the gateway does not answer.
func TestInterruptedCall(t *testing.T) {
	n := newNetwork(t)
	p := start(t, n.client.Namespace, "vpnclient", "-server", n.gateway.Outer.String(), "-id", "alice@lab", "-psk-file", n.psk)
	p.Await("listening", 1)
	p.Stop(os.Interrupt)
	n.restored()
}

// TestStrongSwanGateway: vpnclient with strongSwan as the gateway.
func TestStrongSwanGateway(t *testing.T) {
	lab.Require(t, lab.StrongSwan)
	n := newNetwork(t)
	a, b := n.client, n.gateway
	lab.StartStrongSwan(t, b.Namespace, lab.StrongSwanConfig{
		PSK:   "a secret of both",
		Pools: []lab.StrongSwanPool{{Name: "p", Addrs: "10.98.0.0/24", Extra: "dns = 10.2.0.53"}},
		Conns: []lab.StrongSwanConn{{Local: b.Outer.String(), LocalID: "gw.lab", RemoteID: "*@lab", Pools: "p",
			Children: []lab.StrongSwanChild{{LocalTS: b.InnerNet.String(), RemoteTS: "dynamic"}}}},
	})
	client := n.startClient("-remote-subnet", b.InnerNet.String())
	client.Await("10.2.0.53", 1)
	traffic(t, a, a.Namespace, netip.MustParseAddr("10.98.0.1"), b.Namespace, b.Inner)
	client.Stop(os.Interrupt)
	require.Equal(t, n.beforeClient, state(a.Namespace))
}

// TestStrongSwanClient: vpngateway with strongSwan as a client.
func TestStrongSwanClient(t *testing.T) {
	lab.Require(t, lab.StrongSwan)
	n := newNetwork(t)
	a, b := n.client, n.gateway
	gateway := n.startGateway("-pool", "10.98.0.0/24", "-local-subnet", b.InnerNet.String())
	swan := lab.StartStrongSwan(t, a.Namespace, lab.StrongSwanConfig{
		PSK: "a secret of both",
		Conns: []lab.StrongSwanConn{{Local: a.Outer.String(), Remote: b.Outer.String(), LocalID: "alice@lab", RemoteID: "gw.lab", VirtualIPs: "0.0.0.0",
			Children: []lab.StrongSwanChild{{LocalTS: "dynamic", RemoteTS: b.InnerNet.String()}}}},
	})
	require.NoError(t, swan.Initiate("net"))
	sas := swan.WaitSAs(testhost.Patience, "an SA", func(l []lab.StrongSwanSA) bool { return len(l) == 1 })
	require.Equal(t, []string{"10.98.0.1"}, sas[0].LocalVIPs)
	traffic(t, a, a.Namespace, netip.MustParseAddr("10.98.0.1"), b.Namespace, b.Inner)
	swan.TerminateIKE("lab")
	gateway.Await("session down", 1)
	gateway.Stop(os.Interrupt)
	require.Equal(t, n.beforeGateway, state(b.Namespace))
}
