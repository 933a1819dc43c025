package ikev1

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/spd"
)

func TestResponderLifetime(t *testing.T) {
	for _, c := range []struct {
		check     ike.ProposalCheck
		a, b      time.Duration
		va, vb    uint64
		want      time.Duration
		wantBytes uint64
		refused   bool
	}{
		{ike.CheckObey, 2 * time.Hour, time.Hour, 0, 0, 2 * time.Hour, 0, false},
		{ike.CheckStrict, time.Hour, 2 * time.Hour, 0, 0, time.Hour, 0, false},
		{ike.CheckStrict, 2 * time.Hour, time.Hour, 0, 0, 0, 0, true},
		{ike.CheckClaim, 2 * time.Hour, time.Hour, 0, 0, time.Hour, 0, false},
		{ike.CheckClaim, time.Hour, time.Hour, 0, 1 << 20, time.Hour, 1 << 20, false},
		{ike.CheckClaim, time.Hour, time.Hour, 4 << 20, 1 << 20, time.Hour, 1 << 20, false},
		{ike.CheckExact, time.Hour, time.Hour, 0, 0, time.Hour, 0, false},
		{ike.CheckExact, time.Hour, 2 * time.Hour, 0, 0, 0, 0, true},
	} {
		p := childPair(t, func(a, b *Peer) {
			b.Check = c.check
			a.Children[0].Rekey, a.Children[0].Lifetime, a.Children[0].Volume.HardBytes = c.a-time.Minute, c.a, c.va
			b.Children[0].Rekey, b.Children[0].Lifetime, b.Children[0].Volume.HardBytes = c.b-time.Minute, c.b, c.vb
		})
		p.initiate()
		if c.refused {
			p.agree(0)
			require.ErrorContains(t, find[ike.ChildFailed](p.evB)[0].Err, "Lifetime")
			continue
		}
		p.agree(1)
		a, b := only(t, p.a).Children.All()[0].Config, only(t, p.b).Children.All()[0].Config
		require.Equal(t, min(c.want, c.a), a.Lifetime)
		require.LessOrEqual(t, b.Lifetime, c.want)
		require.Equal(t, c.wantBytes, a.Volume.HardBytes)
		require.Equal(t, c.wantBytes, b.Volume.HardBytes)
	}
}

// What is offered where only the age for new keys is configured, or nothing, is
// not longer than that: racoon and racoon2 with the same numbers refuse what is
// (proposal_check strict, their default). A racoon2 with ipsec_sa_lifetime_time
// 3600 sec answered 66 minutes with NO-PROPOSAL-CHOSEN: "long lifetime proposed:
// my:3600 peer:3960".
func TestOfferedLifetimesAreRoundNumbers(t *testing.T) {
	for _, c := range []struct{ rekey, child, phase1, phase2 time.Duration }{
		{0, 0, 4 * time.Hour, time.Hour},
		{8 * time.Hour, 30 * time.Minute, 8 * time.Hour, 30 * time.Minute},
	} {
		p := childPair(t, func(a, b *Peer) {
			a.Timing.Rekey, a.Timing.Lifetime = c.rekey, 0
			a.Children[0].Rekey, a.Children[0].Lifetime = c.child, 0
			b.Check = ike.CheckExact
			b.Timing.Rekey, b.Timing.Lifetime = -1, c.phase1
			b.Children[0].Rekey, b.Children[0].Lifetime = -1, c.phase2
		})
		p.initiate()
		p.agree(1)
		a := only(t, p.a)
		spis := a.Children.All()[0].Info.ChildSPIs
		ups := len(find[ike.SessionRekeyed](p.evA))
		// There are new keys before those end.
		p.advance(c.phase2)
		require.NotEqual(t, spis, a.Children.All()[0].Info.ChildSPIs)
		require.Empty(t, find[ike.ChildDown](p.evA))
		p.advance(c.phase1 - c.phase2)
		require.Greater(t, len(find[ike.SessionRekeyed](p.evA)), ups)
		require.Empty(t, find[ike.SessionDown](p.evA))
		p.agree(1)
	}
}

// Lifetimes in kilobytes: the data plane says when they are over.
func TestVolumeLifetime(t *testing.T) {
	p := childPair(t, func(a, b *Peer) {
		for _, q := range []*Peer{a, b} {
			q.Children[0].Volume.HardBytes = 1 << 20
		}
		a.Children[0].Outer, b.Children[0].Outer = proposals(spd.ProtoAH, "sha256"), proposals(spd.ProtoAH, "sha256")
	})
	p.initiate()
	p.agree(1)
	first := only(t, p.a).Children.All()[0].Info.ChildSPIs
	p.pa.Send(p.pb, inner, 1<<20-50_000)
	p.planes()
	p.advance(20 * time.Second)
	p.agree(1)
	require.NotEqual(t, first, only(t, p.a).Children.All()[0].Info.ChildSPIs, "rekeyed at the soft limit")
	p.delivers(inner)
	// The hard limit ends it where nobody may rekey.
	for _, e := range []*Endpoint{p.a, p.b} {
		for _, a := range only(t, e).Children.All() {
			a.Rekeying = true
		}
	}
	p.pa.Send(p.pb, inner, 1<<20)
	p.planes()
	p.advance(time.Second)
	require.Zero(t, only(t, p.a).Children.Len())
	require.Zero(t, only(t, p.b).Children.Len())
	require.Empty(t, p.pa.SAs())
	require.Empty(t, p.pb.SAs())
}

// A Child SA that is not replaced ends by its lifetime.
func TestHardLifetime(t *testing.T) {
	p := childPair(t, func(a, b *Peer) {
		for _, q := range []*Peer{a, b} {
			q.Children[0].Rekey, q.Children[0].Lifetime = -1, time.Hour
		}
	})
	p.initiate()
	p.advance(time.Hour - time.Second)
	p.agree(1)
	p.advance(2 * time.Second)
	p.agree(0)
	require.Equal(t, ike.DownExpired, find[ike.ChildDown](p.evA)[0].Reason)
	require.Len(t, find[ike.ChildDown](p.evA), 1)
	require.Len(t, find[ike.ChildDown](p.evB), 1)
	require.Empty(t, p.pa.Leaks())
}

// Rekeying by the soft lifetime: one side does it, in time.
func TestSoftLifetime(t *testing.T) {
	p := childPair(t, func(a, b *Peer) {
		for _, q := range []*Peer{a, b} {
			q.Children[0].Rekey, q.Children[0].Lifetime = 10*time.Minute, 12*time.Minute
		}
	})
	p.initiate()
	p.noGaps()
	p.advance(2 * time.Hour)
	p.agree(1)
	n := len(find[ike.ChildRekeyed](p.evA))
	require.GreaterOrEqual(t, n, 11)
	require.LessOrEqual(t, n, 14)
	require.Empty(t, find[ike.RekeyFailed](p.evA))
	require.Empty(t, find[ike.ChildDown](p.evA))
}
