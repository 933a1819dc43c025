package racoon

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1"
)

// In Base Mode INITIAL-CONTACT is a message of its own, after the session is up.
// It ends what the same client had from other addresses, on whatever worker that
// is.
func TestLateInitialContactOverWorkers(t *testing.T) {
	bubble(t, func(t *testing.T, b *scene) {
		base := func(p *Peer) {
			p.Unique = ike.UniqueNo // only INITIAL-CONTACT counts
			p.Versions, p.IKEv1.Modes = []Version{IKEv1}, []ikev1.Mode{ikev1.BaseMode}
		}
		gateway := b.start(gatewayAddr, Config{Workers: 4, Peers: with(gatewayPeer(), base)})
		for i := range 8 {
			c := b.start(fmt.Sprintf("192.0.2.%d", 10+i), Config{Peers: with(clientPeer(), base)})
			_, err := c.Initiate(t.Context(), "gw")
			require.NoError(t, err)
			time.Sleep(time.Second)
			synctest.Wait()
			require.Equal(t, 1, gateway.up(), "after client %d", i)
		}
		workers := make(map[uint64]bool)
		for _, ev := range gateway.events {
			if up, ok := ev.(ike.SessionUp); ok {
				workers[uint64(up.Session)>>56] = true
				require.Contains(t, up.Info.Why, "identity matches *@example.org")
			}
		}
		require.Greater(t, len(workers), 1, "the sessions were on several workers")
	})
}
