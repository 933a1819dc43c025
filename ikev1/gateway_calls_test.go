package ikev1

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/spd"
)

// With the methods whose client answers ("Resp") the gateway calls: it asks for
// the user, gives the client its address, pulled or pushed, and then begins the
// Child SA for that address.
func TestGatewayCallsItsClient(t *testing.T) {
	for _, method := range []AuthMethod{AuthXAuthRespPSK, AuthXAuthRespRSA, AuthHybridRespRSA} {
		for _, push := range []bool{false, true} {
			t.Run(fmt.Sprintf("%v, push %v", method, push), func(t *testing.T) {
				l := &leases{t: t, give: prefixes("10.9.0.7/32")}
				gateway, client := methodPeers(t, MainMode, method)
				gateway.Assign, gateway.PushConfig, client.PushConfig = l, push, push
				client.Request = &ike.ConfigRequest{IPv4: true}
				gateway.Children[0].Remote, gateway.Children[0].RemoteDynamic = nil, true
				client.Children[0].Local, client.Children[0].LocalDynamic = nil, true
				p := newPairNow(t, gateway, client)
				p.initiate()
				leased := []spd.TrafficSelector{spd.MustParseTrafficSelector("10.9.0.7")}
				g, c := only(t, p.a), only(t, p.b)
				require.Len(t, g.Children.All(), 1)
				require.Len(t, c.Children.All(), 1)
				require.Equal(t, leased, g.Children.All()[0].Info.RemoteTS)
				require.Equal(t, leased, c.Children.All()[0].Info.LocalTS)
				require.Equal(t, l.give, find[ike.SessionUp](p.evB)[0].Info.Config.Addresses)
				require.Equal(t, "alice", find[ike.SessionUp](p.evA)[0].Info.User)

				for range 2 {
					require.NoError(t, p.a.RekeyChild(p.now, g.ID, g.Children.All()[0].Info.ID))
					p.advance(time.Minute)
					require.Len(t, c.Children.All(), 1)
					require.Equal(t, leased, c.Children.All()[0].Info.LocalTS)
				}
				require.NoError(t, p.a.Delete(p.now, g.ID, ike.DownLocal))
				p.advance(2 * time.Minute)
				require.Empty(t, l.held)
				p.requireNothingLeft()
			})
		}
	}
}

// One that asks for nothing is not waited for without end, nor is one that goes.
func TestGatewayCallsInVain(t *testing.T) {
	for _, goes := range []bool{false, true} {
		l := &leases{t: t, give: prefixes("10.9.0.7/32")}
		gateway, client := methodPeers(t, MainMode, AuthXAuthRespPSK)
		gateway.Assign = l
		gateway.Children[0].Remote, gateway.Children[0].RemoteDynamic = nil, true
		p := newPairNow(t, gateway, client)
		p.initiate()
		require.Empty(t, only(t, p.a).Children.All())
		require.Empty(t, find[ike.ChildFailed](p.evA))
		if goes {
			require.NoError(t, p.a.Delete(p.now, only(t, p.a).ID, ike.DownLocal))
			p.advance(2 * time.Minute)
			p.requireNothingLeft()
			continue
		}
		p.advance(leaseWait + time.Second)
		require.Len(t, find[ike.ChildFailed](p.evA), 1)
	}
}
