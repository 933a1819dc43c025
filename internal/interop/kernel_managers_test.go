//go:build linux

package interop

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/lab"
	"github.com/racoon3/racoon/natt"
	"github.com/racoon3/racoon/spd"
)

// A kernelCase is a Child SA over the kernel's IPsec.
type kernelCase struct {
	name     string
	planes   [2]planeKind // ours, the peer's
	v1       bool
	esp      string // proposal
	outerAH  string // AH around it
	protocol spd.Protocol
	mode     spd.Mode
	ipv6     bool // outer
	inner6   bool
	udp      bool         // without a NAT too
	nat      bool         // we are behind one
	natt     natt.Variant // alone, if not 0
	ipcomp   bool
	state    []string // what ip(8) must show
}

var (
	xx = [2]planeKind{viaXFRM, viaXFRM}
	pp = [2]planeKind{viaPFKey, viaPFKey}
	xp = [2]planeKind{viaXFRM, viaPFKey}
)

const transport = spd.ModeTransport

// TestKernelManagers: two of our Managers, with the kernel's IPsec through
// packages xfrm and pfkey.
func TestKernelManagers(t *testing.T) {
	t.Parallel()
	if !inKernel(t) {
		return
	}
	for _, c := range []kernelCase{
		{name: "GCM", planes: xx, esp: "aes128gcm16", state: []string{"rfc4106(gcm(aes))"}},
		{name: "ChaCha20 with ESN", planes: xx, esp: "chacha20poly1305-esn", state: []string{"rfc7539esp(chacha20,poly1305)", "esn"}},
		{name: "CBC over IPv6", planes: xx, esp: "aes256-sha256", ipv6: true, inner6: true, state: []string{"cbc(aes)", "hmac(sha256)"}},
		{name: "GCM in UDP", planes: xx, esp: "aes256gcm16", udp: true, state: []string{"espinudp"}},
		{name: "GCM in UDP over IPv6", planes: xx, esp: "aes256gcm16", udp: true, ipv6: true, state: []string{"espinudp"}},
		{name: "behind a NAT with ESN", planes: xx, esp: "aes128gcm16-esn", nat: true, state: []string{"espinudp", "esn"}},
		{name: "transport", planes: xx, esp: "aes128gcm16", mode: transport, state: []string{"mode transport"}},
		{name: "transport over IPv6", planes: xx, esp: "chacha20poly1305", mode: transport, ipv6: true, state: []string{"mode transport"}},
		{name: "transport behind a NAT", planes: xx, esp: "aes128gcm16", mode: transport, nat: true, state: []string{"mode transport", "espinudp"}},
		{name: "IPv6 in IPv4", planes: xx, esp: "aes128-sha256", inner6: true},
		{name: "with IPComp", planes: xx, esp: "aes128-sha256", ipcomp: true, state: []string{"comp deflate"}},
		{name: "transport with IPComp", planes: xx, esp: "aes128gcm16", mode: transport, ipcomp: true, state: []string{"comp deflate"}},
		{name: "AH", planes: xx, esp: "sha256", protocol: spd.ProtoAH, state: []string{"proto ah"}},

		{name: "CBC", planes: pp, esp: "aes256-sha384", state: []string{"cbc(aes)", "hmac(sha384)"}},
		{name: "CBC over IPv6", planes: pp, esp: "aes128-sha1", ipv6: true, inner6: true, state: []string{"hmac(sha1)"}},
		{name: "CBC behind a NAT", planes: pp, esp: "aes128-sha1", nat: true, state: []string{"espinudp"}},
		{name: "transport with AH", planes: pp, esp: "sha1", protocol: spd.ProtoAH, mode: transport, state: []string{"proto ah"}},
		{name: "transport behind a NAT", planes: pp, esp: "aes128-sha1", mode: transport, nat: true, state: []string{"espinudp"}},
		{name: "with IPComp", planes: pp, esp: "aes128-sha1", ipcomp: true, state: []string{"comp deflate"}},
		{name: "CBC", planes: xp, esp: "aes256-sha512", state: []string{"hmac(sha512)"}},
		{name: "transport over IPv6", planes: xp, esp: "3des-md5", mode: transport, ipv6: true, state: []string{"des3_ede"}},

		{name: "GCM", planes: xx, v1: true, esp: "aes128gcm16", state: []string{"rfc4106(gcm(aes))"}},
		{name: "transport with ESN", planes: xx, v1: true, esp: "aes256-sha256-esn", mode: transport, state: []string{"esn"}},
		{name: "behind a NAT", planes: xx, v1: true, esp: "aes128gcm16", nat: true, state: []string{"espinudp"}},
		{name: "behind a NAT, draft 00", planes: xx, v1: true, esp: "aes128gcm16", nat: true, natt: natt.Draft00, state: []string{"espinudp-nonike sport 500"}},
		{name: "behind a NAT, transport, draft 01", planes: xx, v1: true, esp: "aes128gcm16", mode: transport, nat: true, natt: natt.Draft01, state: []string{"espinudp-nonike"}},
		{name: "behind a NAT, draft 01", planes: pp, v1: true, esp: "aes128-sha1", nat: true, natt: natt.Draft01, state: []string{"espinudp-nonike"}},
		{name: "behind a NAT, transport, draft 03", planes: xp, v1: true, esp: "aes128-sha1", mode: transport, nat: true, natt: natt.Draft03, state: []string{"espinudp "}},
		{name: "AH around ESP", planes: xx, v1: true, esp: "aes128-sha256", outerAH: "sha256", state: []string{"proto ah", "proto esp"}},
		{name: "AH around ESP around IPComp, transport", planes: xx, v1: true, esp: "aes128-sha256", outerAH: "sha256", ipcomp: true, mode: transport,
			state: []string{"proto ah", "proto esp", "comp deflate"}},
		{name: "CBC over IPv6", planes: pp, v1: true, esp: "aes128-sha1", ipv6: true, inner6: true},
		{name: "AH around ESP", planes: pp, v1: true, esp: "aes128-sha1", outerAH: "sha1", state: []string{"proto ah", "proto esp"}},
		{name: "transport behind a NAT", planes: pp, v1: true, esp: "aes128-sha1", mode: transport, nat: true, state: []string{"espinudp"}},
	} {
		version := "IKEv2"
		if c.v1 {
			version = "IKEv1"
		}
		t.Run(fmt.Sprintf("%s %s-%s %s", version, c.planes[0], c.planes[1], c.name), c.run)
	}
}

// sites are the two sites of a case.
func (c *kernelCase) sites(t *testing.T) (a, b *lab.Site, router *lab.Router) {
	if c.nat {
		router = lab.NewRouter(t, lab.RouterConfig{})
		a, b = router.Inside("a"), router.Outside("b")
	} else {
		a, b = lab.NewPair(t)
	}
	a.RouteTo(b)
	b.RouteTo(a)
	return a, b, router
}

// child is the Child of one side.
func (c *kernelCase) child(local, remote *lab.Site) racoon.Child {
	child := racoon.Child{Name: "net", Protocol: c.protocol, Proposals: []string{c.esp}, Mode: c.mode, IPComp: c.ipcomp}
	if c.outerAH != "" {
		child.OuterAH = []string{c.outerAH}
	}
	switch {
	case c.mode == transport: // the two hosts
	case c.inner6:
		child.Local, child.Remote = []string{local.InnerNet6.String()}, []string{remote.InnerNet6.String()}
	default:
		child.Local, child.Remote = []string{local.InnerNet.String()}, []string{remote.InnerNet.String()}
	}
	return child
}

// peers are the configurations of both sides.
func (c *kernelCase) peers(a, b *lab.Site) (atA, atB racoon.Peer) {
	remote := b.Outer
	if c.ipv6 {
		remote = b.Outer6
	}
	atA = racoon.Peer{Name: "b", Remote: remote.String(), LocalID: "a.lab", RemoteID: "b.lab", PSK: ike.Secret(psk), ForceEncap: c.udp, Children: []racoon.Child{c.child(a, b)}}
	atB = racoon.Peer{Name: "a", LocalID: "b.lab", RemoteID: "a.lab", PSK: ike.Secret(psk), ForceEncap: c.udp, Children: []racoon.Child{c.child(b, a)}}
	if c.v1 {
		useV1(&atA)
		useV1(&atB)
	}
	if c.natt != natt.NoVariant {
		atA.IKEv1.NATT, atB.IKEv1.NATT = []natt.Variant{c.natt}, []natt.Variant{c.natt}
	}
	return atA, atB
}

// ends are the addresses between which packets are protected.
func (c *kernelCase) ends(a, b *lab.Site) (at, to netip.Addr) {
	switch {
	case c.mode == transport && c.ipv6:
		return a.Outer6, b.Outer6
	case c.mode == transport:
		return a.Outer, b.Outer
	case c.inner6:
		return a.Inner6, b.Inner6
	}
	return a.Inner, b.Inner
}

func (c *kernelCase) run(t *testing.T) {
	a, b, router := c.sites(t)
	atA, atB := c.peers(a, b)
	hb := startKernel(t, b, kernelConfig{Plane: c.planes[1], Peers: []racoon.Peer{atB}, IPv6: c.ipv6})
	ha := startKernel(t, a, kernelConfig{Plane: c.planes[0], Peers: []racoon.Peer{atA}, IPv6: c.ipv6})
	s := ha.initiate("b")
	hb.until("the peer's Child SA", func() bool { return len(eventsOf[ike.ChildUp](hb)) == 1 })
	child := s.ChildSAs()[0]
	require.Equal(t, c.mode, child.Mode)
	require.Equal(t, c.udp || c.nat, child.UDPEncap)
	require.Equal(t, c.ipcomp, child.IPComp)
	for _, h := range []*host{ha, hb} {
		for _, want := range c.state {
			require.Contains(t, h.installed(), want, h.site.Name)
		}
	}

	wa, wb := watch(a), watch(b)
	at, to := c.ends(a, b)
	traffic := func() {
		t.Helper()
		ha.reach(a, at, b, to)
		if router == nil || c.mode != transport { // else b knows the NAT's address only
			hb.reach(b, to, a, at)
		}
		n, err := a.Ping(at, to, 1, 1000, "-W", "20")
		require.NoError(t, err)
		require.Equal(t, 1, n)
	}
	traffic()
	require.NoError(t, s.RekeyChild(ha.within(), child.ID))
	traffic()
	atPeer := hb.session()
	require.NoError(t, atPeer.RekeyChild(hb.within(), atPeer.ChildSAs()[0].ID))
	waitEvent[ike.ChildRekeyed](ha, 2)
	traffic()

	require.Empty(t, wa.clear())
	require.Empty(t, wb.clear())
	proto := uint8(unix.IPPROTO_ESP)
	switch {
	case c.udp || c.nat:
		proto = unix.IPPROTO_UDP
	case c.protocol == spd.ProtoAH || c.outerAH != "":
		proto = unix.IPPROTO_AH
	}
	require.GreaterOrEqual(t, wa.sent(proto), 12)
	require.GreaterOrEqual(t, wb.sent(proto), 12)
	st, err := s.Stats(t.Context())
	require.NoError(t, err)
	require.GreaterOrEqual(t, st.Sent.Packets, uint64(12))
	require.GreaterOrEqual(t, st.Received.Packets, uint64(12))

	require.NoError(t, s.Delete(ha.within()))
	for _, h := range []*host{ha, hb} {
		h.until("an empty kernel", func() bool { return strings.TrimSpace(h.installed()+h.policies()) == "" })
	}
}
