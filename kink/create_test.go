package kink

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/kink/message"
	"github.com/racoon3/racoon/spd"
)

// Two messages make a Child SA (RFC 4430 3.2); the initiator's inbound SA is
// there before the first of them.
func TestCreateTwoMessages(t *testing.T) {
	p := plainPair(t)
	var types []message.Type
	p.filter = func(from *Endpoint, tx ike.Transmit) bool {
		h, err := message.ParseHeader(tx.Packet)
		require.NoError(t, err)
		if h.Type == message.Create {
			require.Len(t, p.pa.SAs(), 1, "the optimistic SA")
		}
		types = append(types, h.Type)
		require.False(t, h.AckReq)
		return true
	}
	p.initiate()
	require.Equal(t, []message.Type{message.Create, message.Reply}, types)
	p.same(1)
	require.Len(t, find[ike.SessionUp](p.evA), 1)
	require.Len(t, find[ike.SessionUp](p.evB), 1)
	require.Len(t, find[ike.ChildUp](p.evA), 1)
	require.Len(t, find[ike.ChildUp](p.evB), 1)
	up := find[ike.SessionUp](p.evB)[0]
	require.Equal(t, "krb5:"+nameA+"@"+realm, up.Info.RemoteID.String())
	require.Equal(t, "krb5:"+nameB+"@"+realm, up.Info.LocalID.String())
}

// When the responder does not take what was offered first, adds a nonce, or there
// is a key exchange, there is an ACK, and the first inbound SA is replaced.
func TestCreateThreeMessages(t *testing.T) {
	for name, c := range map[string]struct {
		offers, takes string
		nonce         bool
	}{
		"second proposal": {"aes256gcm16-noesn,aes128-sha256-noesn", "aes128-sha256-noesn", false},
		"nonce":           {"aes128-sha1-noesn", "aes128-sha1-noesn", true},
		"PFS":             {"aes128-sha1-noesn-ecp256", "aes128-sha1-noesn-ecp256", false},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := peerOf("b", nameB, netA, netB), peerOf("a", nameA, netB, netA)
			var err error
			a.Children[0].Proposals, err = spd.ParseProposals(spd.ProtoESP, c.offers)
			require.NoError(t, err)
			b.Children[0].Proposals, err = spd.ParseProposals(spd.ProtoESP, c.takes)
			require.NoError(t, err)
			b.ContributeNonce = c.nonce
			p := newPair(t, a, b, nil)
			var types []message.Type
			p.filter = func(from *Endpoint, tx ike.Transmit) bool {
				h, err := message.ParseHeader(tx.Packet)
				require.NoError(t, err)
				types = append(types, h.Type)
				require.Equal(t, h.Type == message.Reply, h.AckReq)
				return true
			}
			p.initiate()
			require.Equal(t, []message.Type{message.Create, message.Reply, message.Ack}, types)
			p.same(1)
			require.Len(t, find[ike.ChildUp](p.evB), 1)
		})
	}
}

func TestCreateAckLost(t *testing.T) {
	p := plainPair(t)
	p.b.peers.Peer("a").ContributeNonce = true
	lost := 0
	p.filter = func(from *Endpoint, tx ike.Transmit) bool {
		h, _ := message.ParseHeader(tx.Packet)
		if h.Type == message.Ack && lost < 2 {
			lost++
			return false
		}
		return true
	}
	p.initiate()
	require.Empty(t, find[ike.ChildUp](p.evB))
	p.advance(10 * time.Second)
	require.Len(t, find[ike.ChildUp](p.evB), 1)
	p.same(1)
}

// Who deletes an SA that is being replaced has got its successor, most likely: it
// is used, though no ACK has come.
func TestDeleteBeforeAck(t *testing.T) {
	p := plainPair(t)
	p.b.peers.Peer("a").ContributeNonce = true
	id := p.initiate()
	lost := true
	p.filter = func(from *Endpoint, tx ike.Transmit) bool {
		h, _ := message.ParseHeader(tx.Packet)
		return !lost || h.Type != message.Ack
	}
	require.NoError(t, p.a.RekeyChild(p.now, id, find[ike.ChildUp](p.evA)[0].Child.ID))
	p.advance(2 * time.Second)
	require.Empty(t, find[ike.ChildRekeyed](p.evB))
	p.advance(2 * time.Second)
	require.Len(t, find[ike.ChildRekeyed](p.evB), 1)
	require.NotEmpty(t, only(t, p.b).unacked)
	lost = false
	p.advance(30 * time.Second)
	p.same(1)
	require.Empty(t, only(t, p.b).unacked)
	require.Empty(t, find[ike.ChildDown](p.evB))
}

// But it may have wanted neither: a CREATE that was held back makes an SA that
// only this side has, and the DELETE of the other one must not confirm it.
func TestDeleteInsteadOfAck(t *testing.T) {
	p := plainPair(t)
	p.b.peers.Peer("a").ContributeNonce = true
	id := p.initiate()
	c := newCaller(p)
	c.xid = 0xbad
	accepted(t, c.ask(c.command(message.Create, nil, c.wants(0x1001))))
	p.filter = nil
	require.Len(t, only(t, p.b).unacked, 1)
	require.NoError(t, p.a.Delete(p.now, id, ike.DownLocal))
	p.advance(2 * time.Minute)
	require.Empty(t, p.b.sessions)
	p.same(0)
}

// Every message may be lost, and come twice.
func TestCreateRetransmission(t *testing.T) {
	for n := range 4 {
		p := plainPair(t)
		i := 0
		p.filter = func(from *Endpoint, tx ike.Transmit) bool { i++; return i > n }
		p.initiate()
		p.advance(30 * time.Second)
		p.same(1)
		require.Len(t, find[ike.ChildUp](p.evB), 1)
	}
}

func TestRekeyAndDelete(t *testing.T) {
	p := plainPair(t)
	id := p.initiate()
	child := find[ike.ChildUp](p.evA)[0].Child
	require.NoError(t, p.a.RekeyChild(p.now, id, child.ID))
	p.run()
	require.Len(t, p.pa.SAs(), 4, "the old one until it is deleted")
	p.advance(20 * time.Second)
	p.same(1)
	require.Len(t, find[ike.ChildRekeyed](p.evA), 1)
	require.Len(t, find[ike.ChildRekeyed](p.evB), 1)
	require.Empty(t, find[ike.ChildDown](p.evA))

	require.NoError(t, p.a.Delete(p.now, id, ike.DownLocal))
	p.advance(10 * time.Second)
	p.same(0)
	require.Len(t, find[ike.SessionDown](p.evA), 1)
	require.Equal(t, ike.DownLocal, find[ike.SessionDown](p.evA)[0].Reason)
	require.Len(t, find[ike.SessionDown](p.evB), 1)
	require.Equal(t, ike.DownRemote, find[ike.SessionDown](p.evB)[0].Reason)
	p.advance(2 * time.Minute)
	require.Empty(t, p.b.served, "answers are not kept for ever")
	require.Empty(t, p.a.transactions)
	require.Zero(t, p.a.Held().Timers)
	require.Zero(t, p.b.Held().Timers)
}

// Lifetimes: the initiator rekeys by itself, again and again.
func TestRekeyByLifetime(t *testing.T) {
	p := plainPair(t)
	p.initiate()
	p.advance(5 * time.Hour)
	p.same(1)
	require.GreaterOrEqual(t, len(find[ike.ChildRekeyed](p.evA)), 4)
	require.Empty(t, find[ike.ChildDown](p.evA))
	require.Empty(t, find[ike.ChildDown](p.evB))
}

// Both sides begin at the same moment.
func TestCreateCrossing(t *testing.T) {
	p := plainPair(t)
	_, err := p.a.Initiate(p.now, Initiation{Peer: p.a.peers.Peer("b"), Path: pathAB()})
	require.NoError(t, err)
	_, err = p.b.Initiate(p.now, Initiation{Peer: p.b.peers.Peer("a"), Path: ike.Path{Local: addrB, Remote: addrA}})
	require.NoError(t, err)
	p.run()
	p.advance(25 * time.Second)
	p.same(1)
	only(t, p.a)
	only(t, p.b)
}

// A peer that restarts has another epoch (RFC 4430 3.7).
func TestEpoch(t *testing.T) {
	p := plainPair(t)
	p.initiate()
	p.b, p.pb = nil, spd.NewMemory(spd.MemoryConfig{})
	p.now = p.now.Add(time.Minute)
	var err error
	p.b, err = NewEndpoint(Config{Rand: p.a.Rand(), DataPlane: p.pb, Tag: 0xb, Kerberos: p.kb, Started: p.now})
	require.NoError(t, err)
	ps, err := NewPeerSet([]*Peer{peerOf("a", nameA, netB, netA)})
	require.NoError(t, err)
	p.b.SetPeers(ps)
	p.advance(2 * time.Minute) // liveness finds out
	down := find[ike.SessionDown](p.evA)
	require.Len(t, down, 1)
	require.ErrorIs(t, down[0].Err, ErrPeerRestarted)
	require.Equal(t, ike.DownDead, down[0].Reason)
	require.Empty(t, p.pa.SAs())
}

// An order to replace what the peer has made a moment ago is refused at once, with
// the time from which on it is not.
func TestRekeyTooEarly(t *testing.T) {
	p := plainPair(t)
	p.initiate()
	s := only(t, p.b)
	order := func() []ike.RekeyFailed {
		p.evB = nil
		require.NoError(t, p.b.RekeyChild(p.now, s.ID, s.Children.All()[0].Info.ID))
		p.run()
		return find[ike.RekeyFailed](p.evB)
	}
	failed := order()
	require.Len(t, failed, 1)
	require.Equal(t, s.Children.All()[0].Info.ID, failed[0].Child)
	e, ok := errors.AsType[*TooEarlyError](failed[0].Err)
	require.True(t, ok, "%v", failed[0].Err)
	require.Equal(t, 20*time.Second, e.Wait.Round(time.Second))
	p.advance(e.Wait - time.Second)
	require.Len(t, order(), 1)
	p.advance(time.Second)
	require.Empty(t, order())
	require.Len(t, find[ike.ChildRekeyed](p.evB), 1)
	p.advance(time.Minute)
	p.same(1)

	require.Empty(t, order(), "its own it may replace at any time")
	require.Len(t, find[ike.ChildRekeyed](p.evB), 1)
	s.peer = &Peer{}
	p.advance(time.Minute)
	require.Len(t, order(), 1, "it is configured no more")
}
