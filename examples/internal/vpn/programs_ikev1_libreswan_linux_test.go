package vpn_test

import (
	"net/netip"
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/internal/lab"
)

// TestLibreswanIKEv1: libreswan as the gateway of vpnclient and as a client of
// vpngateway, with a user that logs in and gets an address; in a kernel of the
// lab, as libreswan has no ESP of its own.
func TestLibreswanIKEv1(t *testing.T) {
	lab.Require(t, lab.Libreswan)
	dir := os.Getenv(envBinaries)
	if dir == "" {
		dir = t.TempDir()
		require.NoError(t, build(dir, false))
	}
	if !lab.InKernel(t, lab.KernelOptions{Env: []string{envBinaries + "=" + dir}}) {
		return
	}
	address := netip.MustParseAddr("10.98.0.1")
	algorithms := []string{"-proposals", "aes128-sha256-modp2048", "-esp", "aes128-sha256-modp2048"}
	for _, mode := range []string{"main", "aggressive"} {
		pluto := lab.LibreswanConfig{IKEv1: true, Kernel: true, Encap: true, Aggressive: mode == "aggressive", PSK: "a secret of both", IKE: "aes128-sha2_256-modp2048", ESP: "aes128-sha2_256"}
		t.Run("vpnclient, "+mode, func(t *testing.T) {
			n := newNetwork(t)
			a, b := n.client, n.gateway
			pluto := pluto
			pluto.Local, pluto.LocalID, pluto.RemoteID, pluto.LocalNet = b.Outer.String(), "@gw.lab", "alice@lab", b.InnerNet.String()
			pluto.XAuthClients, pluto.Pool = map[string]string{"carol": "wonderland"}, "10.98.0.1-10.98.0.200"
			lab.StartLibreswan(t, b.Namespace, pluto)
			n.remember()
			client := n.startClient(append(algorithms, "-ike", "1", "-mode", mode, "-user", "carol", "-password-file", file(t, "password", []byte("wonderland\n")),
				"-remote-subnet", b.InnerNet.String())...)
			b.IP("route replace " + address.String() + "/32 via " + a.Outer.String() + " src " + b.Inner.String())
			traffic(t, a, a.Namespace, address, b.Namespace, b.Inner)
			client.Stop(syscall.SIGINT)
			require.Equal(t, n.beforeClient, state(a.Namespace))
		})
		t.Run("vpngateway, "+mode, func(t *testing.T) {
			n := newNetwork(t)
			a, b := n.client, n.gateway
			gateway := n.startGateway(append(algorithms, "-ike", "1", "-mode", mode, "-users", file(t, "users", []byte("carol:{PLAIN}wonderland\n")),
				"-pool", "10.98.0.0/24", "-local-subnet", b.InnerNet.String())...)
			pluto := pluto
			pluto.Local, pluto.Remote, pluto.LocalID, pluto.RemoteID, pluto.RemoteNet = a.Outer.String(), b.Outer.String(), "alice@lab", "@gw.lab", b.InnerNet.String()
			pluto.XAuthUser, pluto.Secrets = "carol", `@carol : XAUTH "wonderland"`
			client := lab.StartLibreswan(t, a.Namespace, pluto)
			require.NoError(t, client.Initiate())
			gateway.Await("child up", 1)
			gateway.Await("user=carol", 1)
			// (On libreswan's side the kernel shows what has come in again, decrypted.)
			traffic(t, b, a.Namespace, address, b.Namespace, b.Inner)
			client.Terminate()
			gateway.Await("session down", 1)
			gateway.Stop(syscall.SIGTERM)
			require.Equal(t, n.beforeGateway, state(b.Namespace))
		})
	}
}
