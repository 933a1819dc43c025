//go:build linux

package interop

import (
	"context"
	"fmt"
	"net/netip"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/lab"
)

// An assigner gives everybody the same network configuration and counts.
type assigner struct {
	config             ike.NetworkConfig
	err                error
	assigned, released atomic.Int32
}

func (a *assigner) Assign(context.Context, ike.AddressRequest) (*ike.NetworkConfig, error) {
	if a.err != nil {
		return nil, a.err
	}
	a.assigned.Add(1)
	c := a.config
	return &c, nil
}

func (a *assigner) Release(context.Context, ike.AddressRequest, *ike.NetworkConfig) {
	a.released.Add(1)
}

// We are a client: strongSwan gives us an address of each family, and a DNS
// server, and everything goes through the tunnel.
func TestStrongSwanGivesAddress(t *testing.T) {
	t.Parallel()
	s := newSwan(t)
	s.Peer.Children = nil
	s.Peer.Request = &ike.ConfigRequest{IPv4: true, IPv6: true, DNS: true}
	c := &s.Swan.Conns[0]
	c.Remote, c.Pools, c.Children[0].RemoteTS, c.Children[0].LocalTS = "", "p4,p6", "dynamic", "0.0.0.0/0,::/0"
	s.Swan.Pools = []lab.StrongSwanPool{
		{Name: "p4", Addrs: "10.3.0.0/24", Extra: "dns = 10.2.0.53,10.2.0.54"},
		{Name: "p6", Addrs: "fd00:3::/120", Extra: "dns = fd00:2::53"},
	}
	session := s.up(weInitiate)
	got := session.Info().Config
	require.NotNil(t, got)
	require.Equal(t, "[10.3.0.1/32 fd00:3::1/64]", fmt.Sprint(got.Addresses))
	require.Equal(t, "[10.2.0.53 10.2.0.54 fd00:2::53]", fmt.Sprint(got.DNS))
	require.Equal(t, []string{"10.3.0.1", "fd00:3::1"}, s.agree().RemoteVIPs)
	require.Equal(t, "[10.3.0.1 fd00:3::1]", fmt.Sprint(session.ChildSAs()[0].LocalTS))
	require.Equal(t, "[0.0.0.0/0 ::/0]", fmt.Sprint(session.ChildSAs()[0].RemoteTS))

	v4, v6 := netip.MustParseAddr("10.3.0.1"), netip.MustParseAddr("fd00:3::1")
	s.a.IP("addr add 10.3.0.1/32 dev tun0", "addr add fd00:3::1/128 dev tun0 nodad")
	s.a.AwaitAddress(v6)
	s.reach(s.a, v4, s.b, s.b.Inner)
	s.reach(s.a, v6, s.b, s.b.Inner6)
	s.reach(s.b, s.b.Inner, s.a, v4)

	// The address stays through rekeys of both SAs.
	TrafficBetween(t, s.a, v4, s.b, s.b.Inner, func() {
		require.NoError(t, session.Rekey(s.within()))
		require.NoError(t, session.RekeyChild(s.within(), session.ChildSAs()[0].ID))
	})
	require.Equal(t, []string{"10.3.0.1", "fd00:3::1"}, s.agree().RemoteVIPs)
	require.Equal(t, "[10.3.0.1 fd00:3::1]", fmt.Sprint(session.ChildSAs()[0].LocalTS))
}

// We are the gateway.
func TestStrongSwanTakesAddress(t *testing.T) {
	t.Parallel()
	s := newSwan(t)
	pool := &assigner{config: ike.NetworkConfig{
		Addresses: []netip.Prefix{netip.MustParsePrefix("10.4.0.9/32")},
		DNS:       []netip.Addr{netip.MustParseAddr("10.1.0.53")},
		Subnets:   []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")},
	}}
	s.Peer.Assign = pool
	s.Peer.Children = []racoon.Child{{Name: "net", Local: []string{"0.0.0.0/0"}, Remote: []string{"dynamic"}}}
	c := &s.Swan.Conns[0]
	c.VirtualIPs, c.Children[0].LocalTS, c.Children[0].RemoteTS = "0.0.0.0", "dynamic", "0.0.0.0/0"
	c.Children[0].RemoteTS = s.a.InnerNet.String()
	session := s.up(theyInitiate)
	require.Equal(t, []string{"10.4.0.9"}, s.agree().LocalVIPs)
	require.Equal(t, "[10.4.0.9]", fmt.Sprint(session.ChildSAs()[0].RemoteTS))
	require.Equal(t, "[10.1.0.0/24]", fmt.Sprint(session.ChildSAs()[0].LocalTS))
	require.Contains(t, s.peer.Log(), "installing new virtual IP 10.4.0.9")
	s.routeTo(netip.MustParsePrefix("10.4.0.0/24"), s.a.Inner)
	v := netip.MustParseAddr("10.4.0.9")
	s.reach(s.b, v, s.a, s.a.Inner)
	s.reach(s.a, s.a.Inner, s.b, v)
	TrafficBetween(t, s.a, s.a.Inner, s.b, v, func() {
		require.NoError(t, session.Rekey(s.within()))
		require.NoError(t, session.RekeyChild(s.within(), session.ChildSAs()[0].ID))
	})
	require.Equal(t, int32(1), pool.assigned.Load())
	s.peer.TerminateIKE("lab")
	waitEvent[ike.SessionDown](s.host, 1)
	s.until("the lease to end", func() bool { return pool.released.Load() == 1 })
}

// Without an address to give, the IKE SA stands without a Child SA.
func TestStrongSwanGetsNoAddress(t *testing.T) {
	t.Parallel()
	s := newSwan(t)
	s.Peer.Assign = &assigner{err: fmt.Errorf("the pool is empty")}
	c := &s.Swan.Conns[0]
	c.VirtualIPs, c.Children[0].LocalTS = "0.0.0.0", "dynamic"
	s.start()
	require.ErrorContains(t, s.peer.Initiate("net"), "INTERNAL_ADDRESS_FAILURE")
	ev := waitEvent[ike.ChildFailed](s.host, 1)
	require.ErrorContains(t, ev.Err, "the pool is empty")
}
