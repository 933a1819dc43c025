//go:build linux

package interop

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/internal/lab"
)

// Cisco's encapsulation from before NAT traversal: IKE stays on port 500, and
// ESP goes in UDP on a port that the gateway tells by mode config.
func TestIKEv1VPNCCiscoUDP(t *testing.T) {
	t.Parallel()
	const port = 10000
	for _, nat := range []bool{false, true} {
		t.Run(map[bool]string{false: "direct", true: "NAT"}[nat], func(t *testing.T) {
			var c *ciscoClient
			if nat {
				lab.Require(t, lab.VPNC)
				r := lab.NewRouter(t, lab.RouterConfig{})
				c = ciscoClientAt(t, &pair{a: r.Outside("a"), b: r.Inside("b"), Peer: racoon.Peer{Name: "peer", LocalID: "a.lab", PSK: []byte(psk)}})
			} else {
				c = newCiscoClient(t)
			}
			c.VPNC.NATT = "cisco-udp"
			c.pool.config.UDPPort = port
			c.Host.Edit = func(cfg *racoon.Config) {
				cfg.Listen = append(cfg.Listen, racoon.Listen{Conn: c.a.ListenUDP(netip.AddrPortFrom(c.a.Outer, port)), NATT: true})
			}
			sniffer := c.a.Sniff()
			c.up()
			c.reach(c.b, virtual, c.a, c.a.Inner)
			c.page()
			esp := 0
			for _, p := range sniffer.Packets() {
				if p.Src.Port() == port || p.Dst.Port() == port {
					esp++
				}
				require.NotEqual(t, uint16(4500), p.Dst.Port())
			}
			require.Greater(t, esp, 10)
			c.farewell()
		})
	}
}
