//go:build linux

package interop

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/lab"
	"github.com/racoon3/racoon/internal/testpki"
	"github.com/racoon3/racoon/spd"
)

// A ciscoClient is a network with our gateway at a and vpnc at b.
type ciscoClient struct {
	*pair
	t    *testing.T
	pool *assigner
	VPNC lab.VPNCConfig
	vpnc *lab.CiscoClient
}

func newCiscoClient(t *testing.T) *ciscoClient {
	p := newPair(t, lab.VPNC)
	return ciscoClientAt(t, p)
}

func ciscoClientAt(t *testing.T, p *pair) *ciscoClient {
	c := &ciscoClient{pair: p, t: t, pool: newV1Pool()}
	useV1(&p.Peer)
	useAggressive(&p.Peer)
	p.Peer.Users = users{user: password}
	p.Peer.Remote, p.Peer.RemoteID = "", "keyid:"+group
	p.Peer.Proposals = []string{"aes256-sha1-modp2048"}
	p.Peer.Assign = c.pool
	c.pool.config.Banner, c.pool.config.DefaultDomain = "welcome", "lab.example"
	c.pool.config.Subnets = []netip.Prefix{p.a.InnerNet, netip.MustParsePrefix("10.20.0.0/16")}
	p.Peer.Children = []racoon.Child{{Name: "net", Local: []string{"0.0.0.0/0"}, Remote: []string{"dynamic"}, Proposals: []string{"aes256-sha1"}}}
	c.VPNC = lab.VPNCConfig{
		Gateway: p.a.Outer.String(), Group: group, Secret: psk, User: user, Password: password,
		DH: "dh14", PFS: "nopfs", NATT: "natt",
	}
	return c
}

// up starts both and checks what the client has been told.
func (c *ciscoClient) up() lab.VPNCSettings {
	c.t.Helper()
	c.start(c.t)
	c.vpnc = lab.StartVPNC(c.t, c.b.Namespace, c.VPNC)
	got, err := c.vpnc.Connected(2 * patience)
	require.NoError(c.t, err)
	require.Equal(c.t, virtual, got.Address)
	require.Equal(c.t, []string{"10.1.0.53"}, got.DNS)
	require.Equal(c.t, "welcome", got.Banner)
	require.Equal(c.t, "lab.example", got.Domain)
	require.Equal(c.t, c.pool.config.Subnets, got.Split)
	c.routeTo(netip.PrefixFrom(virtual, 32), c.a.Inner)
	waitEvent[ike.ChildUp](c.host, 1)
	return got
}

// page fetches a page from our inner network through the tunnel.
func (c *ciscoClient) page() { c.pageAt(c.a.Inner) }

func (c *ciscoClient) pageAt(inner netip.Addr) {
	c.t.Helper()
	l := c.a.ListenTCP(netip.AddrPortFrom(inner, 80))
	const size = 300_000
	srv := &http.Server{ReadHeaderTimeout: patience, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, size)) })}
	go func() { _ = srv.Serve(l) }()
	defer func() { _ = srv.Close() }()
	client := http.Client{Timeout: patience, Transport: &http.Transport{DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
		return c.b.DialTCP(ctx, virtual, netip.MustParseAddrPort(addr))
	}}}
	r, err := client.Get("http://" + inner.String() + ":80/")
	require.NoError(c.t, err)
	defer func() { _ = r.Body.Close() }()
	b, err := io.ReadAll(r.Body)
	require.NoError(c.t, err)
	require.Len(c.t, b, size)
}

// farewell ends vpnc, which deletes its SAs.
func (c *ciscoClient) farewell() {
	c.t.Helper()
	c.vpnc.Stop()
	waitEvent[ike.SessionDown](c.host, 1)
	c.until("the lease to end", func() bool { return c.pool.released.Load() == 1 })
	c.until("no SA", func() bool { return len(c.plane.installed()) == 0 })
}

func TestIKEv1VPNC(t *testing.T) {
	t.Parallel()
	for _, v := range []struct {
		name string
		edit func(c *ciscoClient)
	}{
		{"natt without a NAT", func(c *ciscoClient) { c.Host.RawESP = true }},
		{"force-natt", func(c *ciscoClient) { c.VPNC.NATT = "force-natt" }},
		{"hybrid", func(c *ciscoClient) {
			ca := testpki.NewIssuer(c.t, testpki.RSA2048, 0)
			c.Peer.PSK, c.Peer.Credential = nil, credential(ca.Host(c.t, testpki.RSA2048, "a.lab"))
			c.Peer.IKEv1.Hybrid = true
			c.VPNC.CA, c.VPNC.Secret, c.VPNC.NATT = ca, "", "force-natt"
		}},
		{"PFS as the gateway says, MODP-1024", func(c *ciscoClient) {
			c.Peer.Proposals, c.Peer.Children[0].Proposals = []string{"aes256-sha1-modp1024"}, []string{"aes256-sha1-modp1024"}
			c.pool.config.PFS = true
			c.VPNC.DH, c.VPNC.PFS, c.VPNC.NATT = "dh2", "server", "force-natt"
		}},
	} {
		t.Run(v.name, func(t *testing.T) {
			c := newCiscoClient(t)
			v.edit(c)
			c.up()
			c.reach(c.b, virtual, c.a, c.a.Inner)
			c.reach(c.a, c.a.Inner, c.b, virtual)
			c.page()
			c.farewell()
		})
	}
}

// Two networks behind the gateway, both told by split-include: the client asks
// for everything in one Quick Mode, and its SA is for the two, also after our
// rekey.
func TestIKEv1VPNCNetworks(t *testing.T) {
	t.Parallel()
	c := newCiscoClient(t)
	second := netip.MustParsePrefix("10.20.0.0/16")
	inner := netip.MustParseAddr("10.20.0.1")
	c.a.IP("addr add " + inner.String() + "/16 dev in0")
	c.Peer.Children[0].Local = []string{c.a.InnerNet.String(), second.String()}
	c.VPNC.NATT = "force-natt"
	c.up()
	require.Equal(t, []spd.TrafficSelector{spd.FromPrefix(c.a.InnerNet), spd.FromPrefix(second)}, c.session().ChildSAs()[0].LocalTS)
	c.page()
	c.pageAt(inner)
	s := c.session()
	require.NoError(t, s.RekeyChild(c.within(), s.ChildSAs()[0].ID))
	c.page()
	c.pageAt(inner)
	require.Len(t, s.ChildSAs(), 1)
	c.farewell()
}

// vpnc behind a NAT.
func TestIKEv1VPNCNAT(t *testing.T) {
	t.Parallel()
	lab.Require(t, lab.VPNC)
	r := lab.NewRouter(t, lab.RouterConfig{})
	a := r.Outside("a")
	b := r.Inside("b")
	c := ciscoClientAt(t, &pair{a: a, b: b, Peer: racoon.Peer{Name: "peer", LocalID: "a.lab", PSK: []byte(psk)}})
	c.up()
	require.Equal(t, r.Public, c.session().Path().Remote.Addr())
	c.page()
	c.farewell()
}

// A wrong password, a wrong group secret and a wrong group. (vpnc itself refuses
// no certificate.)
func TestIKEv1VPNCRefused(t *testing.T) {
	t.Parallel()
	for _, v := range []struct {
		name, want string
		edit       func(c *ciscoClient)
	}{
		{"password", "authentication unsuccessful", func(c *ciscoClient) { c.VPNC.Password = "wrong" }},
		{"secret", "hash comparison failed", func(c *ciscoClient) { c.VPNC.Secret = "wrong" }},
		{"group", "", func(c *ciscoClient) { c.VPNC.Group = "others" }},
	} {
		t.Run(v.name, func(t *testing.T) {
			c := newCiscoClient(t)
			v.edit(c)
			c.start(t)
			_, err := lab.StartVPNC(t, c.b.Namespace, c.VPNC).Connected(2 * patience)
			require.ErrorContains(t, err, v.want)
			require.Zero(t, c.pool.assigned.Load())
			require.Empty(t, c.plane.installed())
		})
	}
}
