package ikev1

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/spd"
)

// shortPhase1 gives both sides ISAKMP SAs of an hour, and longer Child SAs.
func shortPhase1(a, b *Peer) {
	for _, q := range []*Peer{a, b} {
		q.Timing.Rekey, q.Timing.Lifetime = 50*time.Minute, time.Hour
		q.Children[0].Rekey, q.Children[0].Lifetime = 30*time.Hour, 33*time.Hour
	}
}

// An ISAKMP SA is renewed in time, under live Child SAs, for as long as the
// session lasts.
func TestRenewal(t *testing.T) {
	p := childPair(t, shortPhase1)
	id := p.initiate()
	child := only(t, p.a).Children.All()[0].Info
	for range 24 {
		p.advance(time.Hour)
		p.agree(1)
		p.delivers(inner)
		require.NotNil(t, only(t, p.a).current)
		require.LessOrEqual(t, len(p.a.sas), 2)
		require.LessOrEqual(t, len(p.b.sas), 2)
	}
	require.Equal(t, child, only(t, p.a).Children.All()[0].Info, "the Child SA stays")
	require.Equal(t, id, only(t, p.a).ID)
	require.GreaterOrEqual(t, len(find[ike.SessionRekeyed](p.evA)), 24)
	require.Len(t, find[ike.SessionUp](p.evB), 1)
	require.Empty(t, find[ike.RekeyFailed](p.evA))
}

func TestRenewalByBoth(t *testing.T) {
	p := childPair(t, shortPhase1)
	p.initiate()
	p.advance(time.Minute)
	for range 5 {
		require.NoError(t, p.a.RekeyIKE(p.now, only(t, p.a).ID))
		require.NoError(t, p.b.RekeyIKE(p.now, only(t, p.b).ID))
		p.advance(3 * time.Minute)
		p.agree(1)
		p.delivers(inner)
		p.rekey(p.a)
		p.rekey(p.b)
		p.advance(time.Minute)
		p.agree(1)
		require.Len(t, p.a.sas, 1)
		require.Len(t, p.b.sas, 1)
		require.Equal(t, only(t, p.a).current.local, only(t, p.b).current.remote)
	}
	require.Len(t, find[ike.SessionUp](p.evA), 1)
	require.Len(t, find[ike.SessionUp](p.evB), 1)
}

// An ISAKMP SA that is not renewed ends; its Child SAs live on, and a new one is
// made when there is something to say.
func TestExpiryWithoutRenewal(t *testing.T) {
	p := childPair(t, func(a, b *Peer) {
		shortPhase1(a, b)
		for _, q := range []*Peer{a, b} {
			q.Timing.Rekey, q.Timing.Liveness = -1, -1
			q.Children[0].Rekey, q.Children[0].Lifetime = 3*time.Hour, 4*time.Hour
		}
		b.Children[0].Rekey = -1
	})
	p.initiate()
	p.advance(time.Hour + time.Minute)
	require.Nil(t, only(t, p.a).current)
	require.Nil(t, only(t, p.b).current)
	require.Empty(t, p.a.sas)
	p.delivers(inner)
	require.Len(t, only(t, p.b).Children.All(), 1)
	st, _ := p.a.Session(only(t, p.a).ID)
	require.Equal(t, "NONE", st.State)
	p.noGaps()
	p.advance(2 * time.Hour) // the Child SA is rekeyed
	p.agree(1)
	require.Len(t, find[ike.ChildRekeyed](p.evA), 1)
	require.Len(t, find[ike.SessionUp](p.evB), 1, "the new ISAKMP SA joins the session")
	p.filter = nil
	p.advance(2 * time.Hour)
	require.Nil(t, only(t, p.a).current)
	require.NoError(t, p.a.DeleteChild(p.now, only(t, p.a).ID, only(t, p.a).Children.All()[0].Info.ID))
	p.advance(time.Minute)
	require.Empty(t, p.a.sessions, "nothing is left of it")
	require.Equal(t, spd.NoInboundSA, p.pb.Send(p.pa, inner.Reverse(), 1).Outcome, "it could not be told")
	p.advance(5 * time.Hour)
	require.Empty(t, p.b.sessions)
	require.Empty(t, p.pb.Leaks())
}

// The peer has lost the session: its first contact under a new ISAKMP SA shows
// that the Child SAs are dead.
func TestPeerForgets(t *testing.T) {
	p := childPair(t, func(a, b *Peer) {
		shortPhase1(a, b)
		a.Timing.Liveness, b.Timing.Liveness = 30*time.Second, -1
	})
	p.initiate()
	require.NoError(t, p.b.Forget(p.now, only(t, p.b).ID, ike.DownLocal))
	p.run()
	only(t, p.a).current.kill(p.now, errGone) // it has expired here
	p.advance(2 * time.Minute)
	require.Empty(t, p.a.sessions)
	require.Empty(t, p.b.sessions)
	down := find[ike.SessionDown](p.evA)
	require.Len(t, down, 1)
	require.Equal(t, ike.DownRemote, down[0].Reason)
	require.ErrorIs(t, down[0].Err, errLost)
	require.Empty(t, p.pa.Leaks())

	// If there is something to be made, it is made.
	p.initiate()
	require.NoError(t, p.b.Forget(p.now, only(t, p.b).ID, ike.DownLocal))
	p.run()
	only(t, p.a).current.kill(p.now, errGone)
	require.NoError(t, p.a.CreateChild(p.now, only(t, p.a).ID, "net", 0, nil))
	p.run()
	p.agree(1)
	p.delivers(inner)
}

// The Deletes of a session reach the peer in any order, and one may be lost.
func TestDeletesLostOrReordered(t *testing.T) {
	for _, how := range []string{"reversed", "first lost", "second lost", "third lost"} {
		p := childPair(t, func(a, b *Peer) { a.Timing.Liveness, b.Timing.Liveness = 10*time.Second, 10*time.Second })
		p.initiate()
		var all []ike.Transmit
		p.filter = func(from *Endpoint, tx ike.Transmit) bool {
			if from == p.a {
				all = append(all, tx)
			}
			return from != p.a
		}
		require.NoError(t, p.a.Delete(p.now, only(t, p.a).ID, ike.DownLocal))
		p.run()
		require.Len(t, all, 3)
		p.filter = nil
		switch how {
		case "reversed":
			all[0], all[2] = all[2], all[0]
		case "first lost":
			all = all[1:]
		case "second lost":
			all = []ike.Transmit{all[0], all[2]}
		default:
			all = all[:2]
		}
		for _, tx := range all {
			p.b.HandleDatagram(p.now, reverse(tx.Path), tx.Packet)
		}
		p.advance(5 * time.Minute)
		require.Empty(t, p.b.sessions, how)
		require.Empty(t, p.a.sessions, how)
		require.Empty(t, p.pb.SAs(), how)
		require.Len(t, find[ike.SessionUp](p.evB), 1, how)
	}
}

// The ISAKMP SA's lifetime in kilobytes.
func TestVolumeOfISAKMPSA(t *testing.T) {
	p := childPair(t, func(a, b *Peer) {
		a.Volume, b.Volume = 32<<10, 32<<10
		a.Timing.Liveness, b.Timing.Liveness = -1, -1
	})
	p.initiate()
	first := only(t, p.a).current
	n := 0
	for ; only(t, p.a).current == first && n < 5000; n++ {
		first.sendNotify(p.now, 40503, make([]byte, 100))
		p.advance(100 * time.Millisecond)
	}
	require.InDelta(t, 32<<10*9/10/160, n, 40)
	p.advance(time.Minute)
	require.Len(t, p.a.sas, 1)
	require.Len(t, p.b.sas, 1)
	p.agree(1)
	// Without a renewal it ends.
	p = childPair(t, func(a, b *Peer) {
		a.Volume, b.Volume = 8<<10, 8<<10
		a.Timing.Rekey, b.Timing.Rekey, a.Timing.Lifetime, b.Timing.Lifetime = -1, -1, time.Hour, time.Hour
		a.Timing.Liveness, b.Timing.Liveness = -1, -1
	})
	p.initiate()
	first = only(t, p.a).current
	for range 100 {
		first.sendNotify(p.now, 40503, make([]byte, 100))
		p.advance(100 * time.Millisecond)
	}
	require.Nil(t, only(t, p.a).current)
	require.Nil(t, only(t, p.b).current)
	p.delivers(inner)
}

// A renewal that fails is tried again while the lifetime lasts.
func TestRenewalFails(t *testing.T) {
	p := childPair(t, func(a, b *Peer) {
		shortPhase1(a, b)
		a.Timing.Rekey = 30 * time.Minute
		a.Timing.Liveness, b.Timing.Liveness, b.Timing.Rekey = -1, -1, -1
	})
	p.initiate()
	p.filter = func(*Endpoint, ike.Transmit) bool { return false }
	p.advance(35 * time.Minute)
	require.NotEmpty(t, find[ike.RekeyFailed](p.evA))
	require.NotNil(t, only(t, p.a).current)
	p.filter = nil
	p.advance(5 * time.Minute)
	require.NotEmpty(t, find[ike.SessionRekeyed](p.evA))
	p.agree(1)
}
