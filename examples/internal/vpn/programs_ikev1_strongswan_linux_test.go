package vpn_test

import (
	"net/netip"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/internal/lab"
	"github.com/racoon3/racoon/internal/testhost"
)

// TestStrongSwanGatewayIKEv1: vpnclient in the old version with strongSwan as the
// gateway: a user that logs in, an address.
func TestStrongSwanGatewayIKEv1(t *testing.T) {
	lab.Require(t, lab.StrongSwan)
	for _, mode := range []string{"main", "aggressive"} {
		t.Run(mode, func(t *testing.T) {
			n := newNetwork(t)
			a, b := n.client, n.gateway
			lab.StartStrongSwan(t, b.Namespace, lab.StrongSwanConfig{
				PSK: "a secret of both", EAP: map[string]string{"carol": "wonderland"},
				Pools: []lab.StrongSwanPool{{Name: "p", Addrs: "10.98.0.0/24", Extra: "dns = 10.2.0.53"}},
				Conns: []lab.StrongSwanConn{{Version: 1, Aggressive: mode == "aggressive", Local: b.Outer.String(), LocalID: "gw.lab", RemoteID: "*@lab", XAuthClients: true, Pools: "p",
					Proposals: "aes128-sha256-modp2048", Children: []lab.StrongSwanChild{{LocalTS: b.InnerNet.String(), RemoteTS: "dynamic", Proposals: "aes128-sha256"}}}},
			})
			n.remember()
			client := n.startClient("-ike", "1", "-mode", mode, "-user", "carol", "-password-file", file(t, "password", []byte("wonderland\n")),
				"-proposals", "aes128-sha256-modp2048", "-esp", "aes128-sha256", "-remote-subnet", b.InnerNet.String())
			client.Await("10.2.0.53", 1)
			traffic(t, a, a.Namespace, netip.MustParseAddr("10.98.0.1"), b.Namespace, b.Inner)
			client.Stop(syscall.SIGINT)
			require.Equal(t, n.beforeClient, state(a.Namespace))
		})
	}
}

// TestStrongSwanClientIKEv1: vpngateway in the old version with strongSwan as a
// client, whose user logs in.
func TestStrongSwanClientIKEv1(t *testing.T) {
	lab.Require(t, lab.StrongSwan)
	for _, mode := range []string{"main", "aggressive"} {
		t.Run(mode, func(t *testing.T) {
			n := newNetwork(t)
			a, b := n.client, n.gateway
			gateway := n.startGateway("-ike", "1", "-mode", mode, "-users", file(t, "users", []byte("carol:{PLAIN}wonderland\n")), "-pool", "10.98.0.0/24",
				"-proposals", "aes128-sha256-modp2048", "-esp", "aes128-sha256", "-local-subnet", b.InnerNet.String())
			swan := lab.StartStrongSwan(t, a.Namespace, lab.StrongSwanConfig{
				PSK: "a secret of both", EAP: map[string]string{"carol": "wonderland"},
				Conns: []lab.StrongSwanConn{{Version: 1, Aggressive: mode == "aggressive", Local: a.Outer.String(), Remote: b.Outer.String(), LocalID: "alice@lab", RemoteID: "gw.lab",
					XAuthUser: "carol", VirtualIPs: "0.0.0.0", Proposals: "aes128-sha256-modp2048",
					Children: []lab.StrongSwanChild{{LocalTS: "dynamic", RemoteTS: b.InnerNet.String(), Proposals: "aes128-sha256"}}}},
			})
			require.NoError(t, swan.Initiate("net"))
			sas := swan.WaitSAs(testhost.Patience, "an SA", func(l []lab.StrongSwanSA) bool { return len(l) == 1 && len(l[0].LocalVIPs) == 1 })
			gateway.Await("child up", 1)
			gateway.Await("user=carol", 1)
			traffic(t, a, a.Namespace, netip.MustParseAddr(sas[0].LocalVIPs[0]), b.Namespace, b.Inner)
			swan.TerminateIKE("lab")
			gateway.Await("session down", 1)
			gateway.Stop(syscall.SIGTERM)
			require.Equal(t, n.beforeGateway, state(b.Namespace))
		})
	}
}
