package ikev1

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
)

// modePair is two peers with a pre-shared key and one mode.
func modePair(t *testing.T, mode Mode, change func(a, b *Peer)) *pair {
	a, b := pskPeer("b", "a.example", "b.example"), pskPeer("a", "b.example", "a.example")
	b.Children[0].Local, b.Children[0].Remote = b.Children[0].Remote, b.Children[0].Local
	a.Modes, b.Modes = []Mode{mode}, []Mode{mode}
	if change != nil {
		change(a, b)
	}
	return newPair(t, a, b, nil)
}

// requireUp checks that both sides have a session with one Child SA, and who
// they think the other is.
func (p *pair) requireUp(id ike.SessionID) (a, b ike.SessionState) {
	p.t.Helper()
	a, ok := p.a.Session(id)
	ups := find[ike.SessionUp](p.evB)
	if !ok || !a.Up || len(ups) == 0 || len(a.Children) == 0 {
		p.explain()
		p.t.FailNow()
	}
	b, ok = p.b.Session(ups[len(ups)-1].Session)
	require.True(p.t, ok)
	require.True(p.t, b.Up)
	require.Len(p.t, a.Children, 1)
	require.Len(p.t, b.Children, 1)
	require.Equal(p.t, a.Info.LocalID, b.Info.RemoteID)
	require.Equal(p.t, a.Info.RemoteID, b.Info.LocalID)
	return a, b
}

func TestAggressiveModePSK(t *testing.T) {
	p := modePair(t, AggressiveMode, nil)
	var sent []isakmp.Header
	p.filter = func(_ *Endpoint, tx ike.Transmit) bool {
		h, err := isakmp.ParseHeader(tx.Packet)
		require.NoError(t, err)
		sent = append(sent, h)
		return true
	}
	p.requireUp(p.initiate())
	for i, encrypted := range []bool{false, false, true} {
		require.Equal(t, isakmp.ExchangeAggressive, sent[i].Exchange)
		require.Equal(t, encrypted, sent[i].Encrypted())
	}
	require.Equal(t, isakmp.ExchangeQuickMode, sent[3].Exchange)
	p.advance(2 * time.Minute)
	require.Zero(t, p.a.Stats().Retransmitted)
}
