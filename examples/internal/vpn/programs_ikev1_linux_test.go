package vpn_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/internal/lab"
	"github.com/racoon3/racoon/internal/testhost"
	"github.com/racoon3/racoon/internal/testpki"
)

// file writes a file that nobody else reads.
func file(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, content, 0o600))
	return path
}

// TestSitesIKEv1: two networks joined by the old version, which the client
// falls back to.
func TestSitesIKEv1(t *testing.T) {
	n := newNetwork(t)
	a, b := n.client, n.gateway
	gateway := n.startGateway("-ike", "1", "-local-subnet", b.InnerNet.String(), "-remote-subnet", a.InnerNet.String())
	client := n.startClient("-ike", "2,1", "-local-subnet", a.InnerNet.String(), "-remote-subnet", b.InnerNet.String())
	client.Await("trying another version of IKE", 1)
	traffic(t, a, a.Namespace, a.Inner, b.Namespace, b.Inner)
	client.Stop(syscall.SIGINT)
	gateway.Await("session down", 1)
	gateway.Stop(syscall.SIGTERM)
	n.restored()
}

// TestRoadWarrior: a client as racoon's road warriors were: a key of the group
// in Aggressive Mode, a user that logs in, an address and a banner.
func TestRoadWarrior(t *testing.T) {
	n := newNetwork(t)
	a, b := n.client, n.gateway
	users := file(t, "users", []byte("carol:{PLAIN}wonderland\n"))
	password := file(t, "password", []byte("wonderland\n"))
	gateway := n.startGateway("-ike", "1", "-mode", "main,aggressive", "-remote-id", "keyid:staff", "-users", users, "-banner", "Welcome", "-pool", "10.98.0.0/24",
		"-dns", "10.2.0.53", "-local-subnet", b.InnerNet.String())
	client := start(t, a.Namespace, "vpnclient", "-server", b.Outer.String(), "-id", "keyid:staff", "-remote-id", "gw.lab", "-psk-file", n.psk, "-ike", "1", "-mode", "aggressive",
		"-user", "carol", "-password-file", password, "-remote-subnet", b.InnerNet.String())
	client.Await("tunnel is ready", 1)
	client.Await("10.2.0.53", 1)
	client.Await("banner=Welcome", 1)
	gateway.Await("user=carol", 1)
	require.NotContains(t, gateway.Log.String()+client.Log.String(), "wonderland")
	traffic(t, a, a.Namespace, netip.MustParseAddr("10.98.0.1"), b.Namespace, b.Inner)
	client.Stop(syscall.SIGINT)
	gateway.Await("session down", 1)
	gateway.Stop(syscall.SIGTERM)
	n.restored()
}

// TestRoadWarriorSplit: a client that names no networks asks for everything, and
// keeps to those that the gateway names.
func TestRoadWarriorSplit(t *testing.T) {
	n := newNetwork(t)
	a, b := n.client, n.gateway
	users := file(t, "users", []byte("carol:{PLAIN}wonderland\n"))
	gateway := n.startGateway("-ike", "1", "-users", users, "-pool", "10.98.0.0/24", "-local-subnet", b.InnerNet.String())
	client := start(t, a.Namespace, "vpnclient", "-server", b.Outer.String(), "-id", "carol@lab", "-remote-id", "gw.lab", "-psk-file", n.psk, "-ike", "1",
		"-user", "carol", "-password-file", file(t, "password", []byte("wonderland\n")))
	client.Await("tunnel is ready", 1)
	client.Await("subnets=["+b.InnerNet.String()+"]", 1)
	traffic(t, a, a.Namespace, netip.MustParseAddr("10.98.0.1"), b.Namespace, b.Inner)
	client.Stop(syscall.SIGINT)
	gateway.Stop(syscall.SIGTERM)
	n.restored()
}

// TestRoadWarriorHybrid: only the gateway has a certificate. A wrong password
// is told.
func TestRoadWarriorHybrid(t *testing.T) {
	n := newNetwork(t)
	a, b := n.client, n.gateway
	ca := testpki.NewCA(t, "Test CA")
	host := ca.Host(t, testpki.RSA2048, "gw.lab")
	cert, key, root := file(t, "gw.pem", host.PEM()), file(t, "gw.key", host.KeyPEM(t)), file(t, "ca.pem", ca.RootPEM())
	users := file(t, "users", []byte("carol:{PLAIN}wonderland\n"))
	gateway := start(t, b.Namespace, "vpngateway", "-ike", "1", "-hybrid", "-cert", cert, "-key", key, "-users", users, "-pool", "10.98.0.0/24", "-local-subnet", b.InnerNet.String())
	gateway.Await("gateway is ready", 1)
	args := func(password string) []string {
		return []string{"-server", b.Outer.String(), "-id", "carol@lab", "-remote-id", "gw.lab", "-ike", "1", "-hybrid", "-ca", root,
			"-user", "carol", "-password-file", file(t, "password", []byte(password)), "-remote-subnet", b.InnerNet.String()}
	}
	wrong := start(t, a.Namespace, "vpnclient", args("looking-glass")...)
	require.Equal(t, 1, wrong.Wait())
	gateway.Await("wrong name or password", 1)

	client := start(t, a.Namespace, "vpnclient", args("wonderland")...)
	client.Await("tunnel is ready", 1)
	traffic(t, a, a.Namespace, netip.MustParseAddr("10.98.0.1"), b.Namespace, b.Inner)
	client.Stop(syscall.SIGINT)
	gateway.Stop(syscall.SIGTERM)
	n.restored()
}

// TestVPNC: vpngateway with vpnc, the open client of Cisco's gateways, which has
// nothing newer than SHA-1.
func TestVPNC(t *testing.T) {
	lab.Require(t, lab.VPNC)
	n := newNetwork(t)
	a, b := n.client, n.gateway
	users := file(t, "users", []byte("carol:{PLAIN}wonderland\n"))
	gateway := n.startGateway("-ike", "1", "-mode", "main,aggressive", "-remote-id", "keyid:staff", "-users", users, "-pool", "10.98.0.0/24",
		"-proposals", "aes256-sha1-modp2048", "-esp", "aes256-sha1", "-local-subnet", b.InnerNet.String())
	client := lab.StartVPNC(t, a.Namespace, lab.VPNCConfig{Gateway: b.Outer.String(), Group: "staff", Secret: "a secret of both", User: "carol", Password: "wonderland",
		DH: "dh14", PFS: "nopfs", NATT: "natt"})
	got, err := client.Connected(testhost.Patience)
	require.NoError(t, err)
	require.Equal(t, []netip.Prefix{b.InnerNet}, got.Split)
	traffic(t, a, a.Namespace, got.Address, b.Namespace, b.Inner)
	client.Stop()
	gateway.Await("session down", 1)
	gateway.Stop(syscall.SIGTERM)
}
