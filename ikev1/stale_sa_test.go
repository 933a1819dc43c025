package ikev1

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
)

// The peer has no longer the ISAKMP SA, and its Delete was lost. Packets still
// come in, so it is not dead; but what is asked under that SA nobody answers.
// The SA is given up, and the next exchange makes another.
func TestStaleISAKMPSA(t *testing.T) {
	p := clocked(t, func(_, _ *Peer) {})
	id := p.initiate()
	p.agree(1)
	only(t, p.b).current.kill(p.now, errGone)
	stale := only(t, p.a).current
	before, _ := p.a.Session(id)
	require.NoError(t, p.a.RekeyChild(p.now, id, before.Children[0].ID))
	for range 600 {
		p.delivers(inner)
		p.advance(time.Second)
	}
	require.Equal(t, stateDead, stale.state)
	require.Empty(t, find[ike.SessionDown](append(p.evA, p.evB...)))
	require.Empty(t, find[ike.ChildDown](append(p.evA, p.evB...)))
	after, _ := p.a.Session(id)
	require.NotEqual(t, before.Children[0].In, after.Children[0].In)
	p.agree(1)
}

// A peer that has ended its session and begun another one, both unheard, renews
// the ISAKMP SA of the latter: it is the younger session here that goes on.
func TestRenewalJoinsYoungestSession(t *testing.T) {
	a, b := pskPeer("b", "a.example", "b.example"), pskPeer("a", "b.example", "a.example")
	b.Children[0].Local, b.Children[0].Remote = b.Children[0].Remote, b.Children[0].Local
	lost := false
	p := newPair(t, a, b, nil)
	p.filter = func(_ *Endpoint, tx ike.Transmit) bool {
		return !lost || isakmp.ExchangeType(tx.Packet[18]) != isakmp.ExchangeInformational
	}
	p.a.sessions[p.initiate()].end(p.now, ike.DownLocal, nil) // without a Delete
	p.run()
	first := only(t, p.b)
	// What is new is another session here, as if INITIAL-CONTACT had been lost.
	lost, a.NoInitialContact, first.peer.Unique = true, true, ike.UniqueNever
	place := first.Path
	first.Path.Remote = addrFrom(1)
	id := p.initiate()
	first.Path = place
	require.Len(t, p.b.sessions, 2)

	require.NoError(t, p.a.RekeyIKE(p.now, id))
	p.run()
	up, renewed := find[ike.SessionUp](p.evB), find[ike.SessionRekeyed](p.evB)
	require.Len(t, up, 2)
	require.Len(t, renewed, 1)
	require.Equal(t, up[1].Session, renewed[0].Session)
}
