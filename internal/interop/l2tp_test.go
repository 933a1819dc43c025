//go:build linux

package interop

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/lab"
)

// The addresses inside L2TP.
var (
	l2tpServer = netip.MustParseAddr("172.16.9.1")
	l2tpFirst  = netip.MustParseAddr("172.16.9.10")
	l2tpLast   = netip.MustParseAddr("172.16.9.20")
)

// TestL2TP: L2TP over IPsec (RFC 3193) with the kernel's ESP: our gateway, with
// IKEv1 and transport mode for UDP port 1701, beside xl2tpd and pppd; and the
// same as its clients. What docs/l2tp.md says of several clients behind one NAT
// is what the last cases show.
func TestL2TP(t *testing.T) {
	t.Parallel()
	lab.Require(t, lab.XL2TPD)
	if !inKernel(t, lab.L2TPModules...) {
		return
	}
	for _, plane := range bothPlanes {
		t.Run(string(plane), func(t *testing.T) {
			a, b := lab.NewPair(t)
			g := newL2TPGateway(t, b, plane)
			c := g.client(a, plane, 1701)
			wa, wb := watch(a), watch(b)
			c.dial()
			c.traffic()
			require.NoError(t, c.host.session().RekeyChild(c.host.within(), c.host.session().ChildSAs()[0].ID))
			c.traffic()
			require.Empty(t, wa.clear())
			require.Empty(t, wb.clear())
			require.NotZero(t, wa.sent(50))
		})
	}
	t.Run("clients behind one NAT with ports of their own", func(t *testing.T) {
		r := lab.NewRouter(t, lab.RouterConfig{})
		b := r.Outside("gateway")
		g := newL2TPGateway(t, b, viaXFRM)
		first, second := g.client(r.Inside("first"), viaXFRM, 1701), g.client(r.Inside("second"), viaXFRM, 1702)
		w := watch(b)
		first.dial()
		second.dial()
		first.traffic()
		second.traffic()
		require.Equal(t, 2, strings.Count(g.host.policies(), "dir out"), g.host.policies())
		require.Empty(t, w.clear())
	})
	t.Run("clients behind one NAT with the same port", func(t *testing.T) {
		r := lab.NewRouter(t, lab.RouterConfig{})
		b := r.Outside("gateway")
		g := newL2TPGateway(t, b, viaXFRM)
		first, second := g.client(r.Inside("first"), viaXFRM, 1701), g.client(r.Inside("second"), viaXFRM, 1701)
		w := watch(b)
		first.dial()
		first.traffic()
		second.initiate()
		require.Len(t, eventsOf[ike.ChildUp](g.host), 2)
		// The kernel has one policy for what goes to port 1701 of the NAT.
		require.Equal(t, 1, strings.Count(g.host.policies(), "dir out"), g.host.policies())
		first.traffic() // it stays that of the first
		require.Empty(t, w.clear())
	})
}

// An l2tpGateway is our side with an L2TP server.
type l2tpGateway struct {
	t    *testing.T
	site *lab.Site
	host *host
}

func newL2TPGateway(t *testing.T, b *lab.Site, plane planeKind) *l2tpGateway {
	g := &l2tpGateway{t: t, site: b}
	// As examples/conf/l2tp-gateway.toml.
	p := racoon.Peer{Name: "l2tp", LocalID: "vpn.example.org", RemoteID: "*", PSK: ike.Secret(psk), Unique: ike.UniqueNever,
		Proposals: []string{"aes256-sha256-modp2048", "aes256-sha1-modp2048"},
		Children: []racoon.Child{{Name: "l2tp", Mode: transport, Local: []string{b.Outer.String() + "[udp/1701]"}, Remote: []string{"dynamic"},
			Proposals: []string{"aes256-sha256", "aes256-sha1"}}}}
	useV1(&p)
	g.host = startKernel(t, b, kernelConfig{Plane: plane, Peers: []racoon.Peer{p}})
	lab.StartXL2TPD(t, b.Namespace, lab.XL2TPDConfig{Local: l2tpServer, First: l2tpFirst, Last: l2tpLast})
	return g
}

// An l2tpClient is a road warrior.
type l2tpClient struct {
	g    *l2tpGateway
	site *lab.Site
	host *host
	port uint16
}

func (g *l2tpGateway) client(a *lab.Site, plane planeKind, port uint16) *l2tpClient {
	c := &l2tpClient{g: g, site: a, port: port}
	p := racoon.Peer{Name: "gateway", Remote: g.site.Outer.String(), LocalID: a.Name + "@example.org", RemoteID: "vpn.example.org", PSK: ike.Secret(psk),
		Proposals: []string{"aes256-sha256-modp2048"},
		Children: []racoon.Child{{Name: "l2tp", Mode: transport, Local: []string{fmt.Sprintf("%v[udp/%d]", a.Outer, port)}, Remote: []string{g.site.Outer.String() + "[udp/1701]"},
			Proposals: []string{"aes256-sha256", "aes256-sha1"}}}}
	useV1(&p)
	c.host = startKernel(g.t, a, kernelConfig{Plane: plane, Peers: []racoon.Peer{p}})
	return c
}

func (c *l2tpClient) initiate() {
	c.g.t.Helper()
	before := len(eventsOf[ike.ChildUp](c.g.host))
	c.host.initiate("gateway")
	waitEvent[ike.ChildUp](c.g.host, before+1)
}

// dial brings the tunnel up and PPP through it.
func (c *l2tpClient) dial() {
	c.g.t.Helper()
	c.initiate()
	lab.StartXL2TPD(c.g.t, c.site.Namespace, lab.XL2TPDConfig{Port: c.port, Server: c.g.site.Outer})
	// pppd's handshakes, each message a process's turn on a busy machine.
	for end := time.Now().Add(3 * patience); !c.inside().IsValid(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			c.g.t.Fatalf("no PPP interface at %s", c.site.Name)
		}
	}
}

// inside is the client's address in the tunnel.
func (c *l2tpClient) inside() netip.Addr {
	c.g.t.Helper()
	for line := range strings.Lines(c.site.Run("ip", "-4", "-o", "addr")) {
		f := strings.Fields(line)
		if len(f) > 5 && strings.HasPrefix(f[1], "ppp") {
			a, _, _ := strings.Cut(f[3], "/")
			return netip.MustParseAddr(a)
		}
	}
	return netip.Addr{}
}

// traffic goes through PPP, both ways. (pppd may agree on its addresses a second
// time, when an answer was late; until then a ping is lost.)
func (c *l2tpClient) traffic() {
	c.g.t.Helper()
	c.g.host.until("answers through PPP", func() bool { n, _ := c.site.Ping(c.inside(), l2tpServer, 1, 56); return n == 1 })
	c.g.host.until("answers through PPP, the other way", func() bool { n, _ := c.g.site.Ping(l2tpServer, c.inside(), 1, 56); return n == 1 })
}
