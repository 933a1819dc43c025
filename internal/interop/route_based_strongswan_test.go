//go:build linux

package interop

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/lab"
	"github.com/racoon3/racoon/spd"
	"github.com/racoon3/racoon/xfrm"
)

// RouteBasedStrongSwan is a part of TestRouteBased: a Manager of ours with an XFRM
// interface, and strongSwan with one, of other numbers. Routes say what goes in.
func RouteBasedStrongSwan(t *testing.T) {
	const ours, theirs = 42, 7
	s := newSwan(t)
	s.Swan.Kernel = true
	any4 := []string{"0.0.0.0/0"}
	own, ch := &s.Peer.Children[0], &s.Swan.Conns[0].Children[0]
	own.Local, own.Remote, own.Options = any4, any4, spd.Options{InterfaceID: ours}
	ch.LocalTS, ch.RemoteTS, ch.Extra = "0.0.0.0/0", "0.0.0.0/0", "if_id_in = 7\nif_id_out = 7"
	s.b.IP("link add ipsec0 type xfrm dev "+s.b.Device+" if_id 7", "link set ipsec0 mtu 1400 up", "route add "+s.a.InnerNet.String()+" dev ipsec0 src "+s.b.Inner.String())
	s.peer = lab.StartStrongSwan(t, s.b.Namespace, s.Swan)
	var plane *xfrm.DataPlane
	s.host = startKernel(t, s.a, kernelConfig{Peers: []racoon.Peer{s.Peer}, Wrap: func(p spd.DataPlane) spd.DataPlane {
		plane = p.(*xfrm.DataPlane)
		return p
	}})
	link := xfrm.Link{Name: "ipsec0", Kind: xfrm.LinkXFRM, InterfaceID: ours, MTU: 1400, Device: s.a.Device, Alias: "a test"}
	_, err := plane.AddLink(t.Context(), link)
	require.NoError(t, err)
	_, err = plane.AddLink(t.Context(), link)
	require.ErrorIs(t, err, spd.ErrExists)
	found, err := plane.FindLink(t.Context(), "ipsec0")
	require.NoError(t, err)
	link.Device = "" // is not told
	require.Equal(t, link, found)
	s.a.IP("route add " + s.b.InnerNet.String() + " dev ipsec0 src " + s.a.Inner.String())

	require.NoError(t, s.peer.Initiate("net"))
	session := s.session()
	s.agree()
	w := watch(s.a)
	s.reach(s.a, s.a.Inner, s.b, s.b.Inner)
	require.NoError(t, session.RekeyChild(s.within(), session.ChildSAs()[0].ID))
	s.agree()
	s.reach(s.a, s.a.Inner, s.b, s.b.Inner)
	s.peer.RekeyChild("net")
	waitEvent[ike.ChildRekeyed](s.host, 2)
	s.agree()
	s.reach(s.a, s.a.Inner, s.b, s.b.Inner)
	require.NotZero(t, s.agree().Children[0].PacketsIn)
	require.Empty(t, w.clear())
	require.Equal(t, strings.Count(s.installed(), "proto esp"), strings.Count(s.installed(), "if_id 0x2a"))
	require.Equal(t, strings.Count(s.policies(), "dir "), strings.Count(s.policies(), "if_id 0x2a"))
	require.NotContains(t, s.b.Run("ip", "xfrm", "state"), "if_id 0x2a")
	// What is not routed to the interface is not for the Child SA, whose selectors
	// have everything.
	s.a.MustPing(s.a.Outer, s.b.Outer)
	require.NotEmpty(t, w.clear())
	require.NoError(t, session.Delete(s.within()))
	require.NoError(t, plane.DeleteLink(t.Context(), "ipsec0"))
}
