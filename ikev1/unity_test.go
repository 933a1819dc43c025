package ikev1

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/spd"
)

// A Unity client asks for everything. The gateway has two networks, and its SA is
// for both of them and nothing else. A rekey of either side stays with what was
// negotiated.
func TestUnityEverything(t *testing.T) {
	networks := []spd.TrafficSelector{spd.MustParseTrafficSelector("10.2.0.0/16"), spd.MustParseTrafficSelector("10.20.0.0/16")}
	for _, gatewayRekeys := range []bool{false, true} {
		t.Run(map[bool]string{false: "the client rekeys", true: "the gateway rekeys"}[gatewayRekeys], func(t *testing.T) {
			l := &leases{give: prefixes("10.9.0.7/32"), rest: ike.NetworkConfig{Subnets: prefixes("10.2.0.0/16", "10.20.0.0/16")}}
			p := gatewayPair(t, l, func(c, g *Peer) {
				c.Children[0].Remote = []spd.TrafficSelector{spd.AnyIPv4}
				g.Children[0].Local = append([]spd.TrafficSelector{spd.MustParseTrafficSelector("2001:db8:2::/48")}, networks...)
			})
			p.initiate()
			check := func() {
				t.Helper()
				a, b := only(t, p.a), only(t, p.b)
				require.Len(t, a.Children.All(), 1)
				require.Len(t, b.Children.All(), 1)
				require.Equal(t, []spd.TrafficSelector{spd.AnyIPv4}, a.Children.All()[0].Info.RemoteTS)
				require.Equal(t, networks, b.Children.All()[0].Info.LocalTS)
				require.Equal(t, []spd.TrafficSelector{spd.MustParseTrafficSelector("10.9.0.7")}, b.Children.All()[0].Info.RemoteTS)
				require.Equal(t, a.Children.All()[0].Info.Out, b.Children.All()[0].Info.In)
			}
			check()
			of, before := p.a, only(t, p.a).Children.All()[0].Info
			if gatewayRekeys {
				of, before = p.b, only(t, p.b).Children.All()[0].Info
			}
			for range 2 {
				require.NoError(t, of.RekeyChild(p.now, only(t, of).ID, before.ID))
				p.advance(time.Minute)
				check()
				after := only(t, of).Children.All()[0].Info
				require.NotEqual(t, before.In, after.In)
				before = after
			}
			require.Empty(t, find[ike.ChildFailed](p.evA))
			require.Empty(t, find[ike.RekeyFailed](p.evB))
			require.NoError(t, p.a.Delete(p.now, only(t, p.a).ID, ike.DownLocal))
			p.advance(2 * time.Minute)
			p.requireNothingLeft()
		})
	}
}

// One that was leased no address, or that does not announce Unity, gets no SA
// for everything.
func TestUnityEverythingRefused(t *testing.T) {
	a, b := methodPeers(t, MainMode, AuthPSK)
	a.Children[0].Remote = []spd.TrafficSelector{spd.AnyIPv4}
	p := newPairNow(t, a, b)
	p.initiate()
	require.Empty(t, only(t, p.b).Children.All())
	failed := find[ike.ChildFailed](p.evB)
	require.Len(t, failed, 1)
	require.ErrorIs(t, failed[0].Err, errNoSelectors)
}

// A client whose Delete of the ISAKMP SA alone arrives has logged out: nothing
// of its session stays, and its address is free.
func TestClientLogsOut(t *testing.T) {
	l := &leases{give: prefixes("10.9.0.7/32")}
	p := gatewayPair(t, l, nil)
	p.initiate()
	only(t, p.a).current.sendDelete(p.now)
	require.NoError(t, p.a.Forget(p.now, only(t, p.a).ID, ike.DownLocal))
	p.advance(4 * time.Second)
	require.NotEmpty(t, only(t, p.b).Children.All(), "it may come with another ISAKMP SA")
	p.advance(2 * time.Second)
	require.Equal(t, ike.DownRemote, find[ike.SessionDown](p.evB)[0].Reason)
	require.Empty(t, l.held)
	p.advance(2 * time.Minute)
	p.requireNothingLeft()
}

// Cisco's ESP in UDP on a port that mode config tells is for clients that ask for
// it and know no NAT traversal. Ours has no socket there, so it does not ask then.
func TestUnityUDPPort(t *testing.T) {
	for _, c := range []struct {
		name       string
		noNATT     bool
		asks       bool // as vpnc does, whatever our client does
		told, used uint16
	}{
		{"our client, NAT traversal", false, false, 10000, 0},
		{"our client, none", true, false, 0, 0},
		{"client of Cisco, none", true, true, 10000, 10000},
		{"client of Cisco, NAT traversal", false, true, 10000, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := &leases{give: prefixes("10.9.0.7/32"), rest: ike.NetworkConfig{UDPPort: 10000}}
			p := gatewayPair(t, l, func(client, _ *Peer) { client.NoNATT = c.noNATT })
			p.initiate()
			told := find[ike.SessionUp](p.evA)[0].Info.Config.UDPPort
			if c.asks {
				q := &isakmp.Attributes{Type: isakmp.ConfigRequest, Attributes: []isakmp.ConfigAttribute{emptyAttribute(isakmp.AttrUnityNATTPort)}}
				p.a.anySA().transact(p.now, q, time.Time{}, func(_ time.Time, a *isakmp.Attributes, err error) {
					require.NoError(t, err)
					n, _ := a.First(isakmp.AttrUnityNATTPort).Uint()
					told = uint16(n)
				})
				p.run()
			}
			require.Equal(t, c.told, told)
			s := only(t, p.b)
			require.Equal(t, c.used, s.ESPPort)
			require.Equal(t, c.used != 0, s.Endpoints().UDPEncap)
		})
	}
}
