//go:build linux

package xfrm_test

import (
	"context"
	"fmt"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/internal/lab"
	"github.com/racoon3/racoon/spd"
	"github.com/racoon3/racoon/xfrm"
)

// behind makes a host in the inner network of a site, and returns its address.
func behind(t *testing.T, s *lab.Site, name string) (*lab.Namespace, netip.Addr, netip.Addr) {
	h := lab.NewNamespace(t, name)
	a, a6 := s.Inner.Next(), s.Inner6.Next()
	s.IP("link set in1 netns " + h.Path())
	h.IP(fmt.Sprintf("addr add %v/24 dev in1", a), fmt.Sprintf("addr add %v/64 dev in1 nodad", a6), "link set in1 up",
		fmt.Sprintf("route add default via %v", s.Inner), fmt.Sprintf("route add default via %v", s.Inner6))
	s.IP("link set in0 up")
	h.AwaitAddress(a6)
	s.AwaitAddress(s.Inner6)
	return h, a, a6
}

// testLabForward: hosts behind one gateway reach hosts behind the other, and
// nothing comes in that has not come through the tunnel.
func testLabForward(t *testing.T) {
	p := newPair(t, xfrm.Config{})
	ha, a, a6 := behind(t, p.a, "ha")
	_, b, b6 := behind(t, p.b, "hb")
	for _, x := range [][2]*lab.Site{{p.a, p.b}, {p.b, p.a}} {
		x[0].IP(fmt.Sprintf("route replace %v via %v", x[1].InnerNet, x[1].Outer), fmt.Sprintf("route replace %v via %v", x[1].InnerNet6, x[1].Outer6))
	}
	ha.MustPing(a, b) // in clear: there is a way
	r := p.install(t, child{proposal: "aes128gcm16"})
	r6 := p.install(t, child{proposal: "aes128gcm16", inner6: true, reqID: 2})
	require.Contains(t, p.b.Run("ip", "xfrm", "policy", "list", "nosock"), "dir fwd")
	ha.MustPing(a, b)
	ha.MustPing(a6, b6)
	c, err := p.pb.Query(context.Background(), r.bIn.ID(spd.In, 0))
	require.NoError(t, err)
	require.EqualValues(t, 3, c.Packets)
	// Without a's side, its packets arrive in clear, and are not forwarded.
	require.NoError(t, p.pa.SetPolicies(context.Background(), 1, nil))
	got, _ := ha.Ping(a, b, 2, 56)
	require.Zero(t, got)
	require.NotContains(t, p.b.Run("cat", "/proc/net/xfrm_stat"), "XfrmInTmplMismatch      \t0\n")
	p.removeAll(t, r)
	p.removeAll(t, r6)
}

// testLabVTI: routes to a VTI are the policy.
func testLabVTI(t *testing.T) {
	p := newPair(t, xfrm.Config{})
	ctx := context.Background()
	any4 := []spd.TrafficSelector{spd.AnyIPv4}
	r := p.install(t, child{proposal: "aes128gcm16", noPolicies: true, local: any4, remote: any4})
	for _, x := range []struct {
		s     *lab.Site
		plane *xfrm.DataPlane
		b     *spd.Bundle
		net   netip.Prefix
		src   netip.Addr
	}{{p.a, p.pa, r.aOut, p.b.InnerNet, p.a.Inner}, {p.b, p.pb, r.bOut, p.a.InnerNet, p.b.Inner}} {
		i, err := x.plane.AddLink(ctx, xfrm.Link{Name: "vti0", Kind: xfrm.LinkVTI, Local: x.b.Local.Addr(), Remote: x.b.Remote.Addr(), InKey: 42, OutKey: 42, MTU: 1400})
		require.NoError(t, err)
		require.Positive(t, i)
		require.Contains(t, x.s.Run("ip", "-d", "link", "show", "vti0"), "vti remote "+x.b.Remote.Addr().String())
		ps := bundlePolicies(x.b)
		for k := range ps {
			ps[k].Mark = spd.Mark{Value: 42, Mask: ^uint32(0)}
		}
		require.NoError(t, x.plane.SetPolicies(ctx, 1, ps))
		x.s.IP(fmt.Sprintf("route replace %v dev vti0 src %v", x.net, x.src))
	}
	p.a.MustPing(p.a.Inner, p.b.Inner)
	got, err := p.a.Ping(p.a.Outer, p.b.Outer, 1, 56)
	require.NoError(t, err)
	require.Equal(t, 1, got, "what is not routed to it goes in clear")
	c, err := p.pb.Query(ctx, r.bIn.ID(spd.In, 0))
	require.NoError(t, err)
	require.EqualValues(t, 3, c.Packets)
	require.NoError(t, p.pa.DeleteLink(ctx, "vti0"))
	require.ErrorIs(t, p.pa.DeleteLink(ctx, "vti0"), spd.ErrNotFound)
}

// testLabInterface: an XFRM interface, where the kernel has them, else an error
// that explains.
func testLabInterface(t *testing.T) {
	testInterface(t)
}

func testInterface(t *testing.T) {
	p := newPair(t, xfrm.Config{})
	ctx := context.Background()
	link := xfrm.Link{Name: "ipsec0", Kind: xfrm.LinkXFRM, InterfaceID: 7, MTU: 1400, Device: p.a.Device}
	if _, err := p.pa.AddLink(ctx, link); err != nil {
		require.ErrorIs(t, err, spd.ErrUnsupported)
		require.ErrorContains(t, err, "the kernel has no links of kind xfrm (module xfrm_interface)")
		t.Log(err)
		return
	}
	_, err := p.pb.AddLink(ctx, link)
	require.NoError(t, err)
	require.Contains(t, p.a.Run("ip", "-d", "link", "show", "ipsec0"), "if_id 0x7")
	any4 := []spd.TrafficSelector{spd.AnyIPv4}
	r := p.install(t, child{proposal: "aes128gcm16", local: any4, remote: any4, options: spd.Options{InterfaceID: 7}})
	p.a.IP(fmt.Sprintf("route replace %v dev ipsec0 src %v", p.b.InnerNet, p.a.Inner))
	p.b.IP(fmt.Sprintf("route replace %v dev ipsec0 src %v", p.a.InnerNet, p.b.Inner))
	p.a.MustPing(p.a.Inner, p.b.Inner)
	c, err := p.pb.Query(ctx, r.bIn.ID(spd.In, 0))
	require.NoError(t, err)
	require.EqualValues(t, 3, c.Packets)
	require.NoError(t, p.pa.DeleteLink(ctx, "ipsec0"))
}
