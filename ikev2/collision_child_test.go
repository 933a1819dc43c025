package ikev2

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/spd"
)

// 11. Both rekey the same Child SA at once (RFC 7296 2.8.1).
//
//	A                             B
//	REKEY_SA, SA, Ni1     -\   /--  REKEY_SA, SA, Ni2
//	                      --\-/-->
//	                      <-/-\--
//	SA, Nr2               -\   /--  SA, Nr1
//	                      <-\-/---
//	                      ---/--->
//	the one that made the SA with the lowest nonce: D(its new one)
//	the other: D(old)
func TestChildRekey11_Collision(t *testing.T) {
	collisions(t, nil, func(t *testing.T, p *play, o nonceOrder) {
		p.bothRekey(o)
		p.A.sends("rekey-child")
		p.B.sends("rekey-child")
		p.B.sends("rekey-child:ok")
		p.A.sends("rekey-child:ok")
		p.bothDelete(o)
		require.Equal(t, o.winner, p.rekeyedOnce())
	})
}

// bothDelete delivers the Deletes after a collision: the winner's of the old
// SA, the loser's of its redundant one.
func (p *play) bothDelete(o nonceOrder) {
	p.t.Helper()
	require.Equal(p.t, []string{"delete-child"}, p.A.waiting())
	require.Equal(p.t, []string{"delete-child"}, p.B.waiting())
	p.A.sends("delete-child")
	p.B.sends("delete-child")
	p.A.sends("delete-child:ok")
	p.B.sends("delete-child:ok")
}

// 12. The same with slow key exchanges on both sides: both requests are under
// work when the answers come.
func TestChildRekey12_CollisionSlow(t *testing.T) {
	collisions(t, nil, func(t *testing.T, p *play, o nonceOrder) {
		p.bothRekey(o)
		p.A.slow[ike.JobKeyExchange], p.B.slow[ike.JobKeyExchange] = true, true
		p.A.sends("rekey-child")
		p.B.sends("rekey-child")
		p.A.release()
		p.B.release()
		p.A.slow[ike.JobKeyExchange], p.B.slow[ike.JobKeyExchange] = true, true
		p.B.sends("rekey-child:ok")
		p.A.sends("rekey-child:ok")
		p.A.release()
		p.B.release()
		p.bothDelete(o)
		require.Equal(t, o.winner, p.rekeyedOnce())
	}, withPFS("x25519", "x25519"))
}

// 13. Only one side's work is slow: B's request comes to A while A finishes
// its own exchange. B has agreed to A's SA, so A's it is, whatever the nonces:
// A refuses B's request, like that for an SA that is being closed (RFC 7296
// 2.25.1).
//
//	A                             B
//	REKEY_SA, Ni1         -\   /--  REKEY_SA, Ni2
//	                      --\-/-->
//	                      <-/-----  SA, Nr1
//	(works on it)         <-
//	N(TEMPORARY_FAILURE)  ------->
//	D(old)                ------->
func TestChildRekey13_CollisionMixed(t *testing.T) {
	collisions(t, nil, func(t *testing.T, p *play, o nonceOrder) {
		p.bothRekey(o)
		p.A.sends("rekey-child")
		p.A.slow[ike.JobKeyExchange] = true
		p.B.sends("rekey-child:ok")
		p.B.sends("rekey-child")
		p.A.release()
		p.A.sends("rekey-child:TEMPORARY_FAILURE")
		require.Equal(t, "A", p.rekeyedOnce())
	}, withPFS("x25519", "x25519"))
	// A works on both: B's request came first, and B's answer.
	collisions(t, nil, func(t *testing.T, p *play, o nonceOrder) {
		p.bothRekey(o)
		p.A.sends("rekey-child")
		p.A.slow[ike.JobKeyExchange] = true
		p.B.sends("rekey-child")
		p.B.sends("rekey-child:ok")
		p.A.release()
		p.pass(time.Second)
		require.Equal(t, "A", p.rekeyedOnce())
	}, withPFS("x25519", "x25519"))
}

// 21. Both rekey, each with a group that the other does not take.
//
//	A                             B
//	REKEY_SA, KE(X25519)  -\   /--  REKEY_SA, KE(P-384)
//	                      --\-/-->
//	N(INVALID_KE, P-256)  -\   /--  N(INVALID_KE, P-256)
//	                      --\-/-->
//	REKEY_SA, KE(P-256)   -\   /--  REKEY_SA, KE(P-256)
//	SA, Nr2               --\-/-->  SA, Nr1
func TestChildRekey21_CollisionInvalidKE(t *testing.T) {
	collisions(t, nil, func(t *testing.T, p *play, o nonceOrder) {
		p.A.rekeyChild()
		p.B.rekeyChild()
		p.A.sends("rekey-child")
		p.B.sends("rekey-child")
		p.A.draws(o.ai)
		p.B.sends("rekey-child:INVALID_KE_PAYLOAD")
		p.B.draws(o.bi)
		p.A.sends("rekey-child:INVALID_KE_PAYLOAD")
		p.B.draws(o.br)
		p.A.draws(o.ar)
		p.A.sends("rekey-child")
		p.B.sends("rekey-child")
		p.B.sends("rekey-child:ok")
		p.A.sends("rekey-child:ok")
		p.bothDelete(o)
		require.Equal(t, o.winner, p.rekeyedOnce())
		require.EqualValues(t, spd.KEECP256, p.A.child().Proposal.KeyExchange())
	}, withPFS("x25519-ecp256", "ecp384-ecp256"))
}

// 22. As 21, but one side's second attempt is delayed: to the other it looks
// as if there were no collision.
func TestChildRekey22_CollisionInvalidKEDelayedRetry(t *testing.T) {
	begin := func(p *play, o nonceOrder) {
		p.A.rekeyChild()
		p.B.rekeyChild()
		p.A.sends("rekey-child")
		p.B.sends("rekey-child")
		p.A.draws(o.ai)
		p.B.sends("rekey-child:INVALID_KE_PAYLOAD")
		p.B.draws(o.bi)
		p.A.sends("rekey-child:INVALID_KE_PAYLOAD")
		p.B.draws(o.br)
		p.A.draws(o.ar)
		p.B.sends("rekey-child")
		p.A.sends("rekey-child:ok")
	}
	groups := withPFS("x25519-ecp256", "ecp384-ecp256")
	t.Run("before the Delete", func(t *testing.T) {
		collisions(t, nil, func(t *testing.T, p *play, o nonceOrder) {
			begin(p, o)
			p.A.sends("rekey-child")
			p.B.sends("rekey-child:TEMPORARY_FAILURE")
			p.B.sends("delete-child")
			p.A.sends("delete-child:ok")
			require.Equal(t, "B", p.rekeyedOnce())
		}, groups)
	})
	t.Run("the Delete first", func(t *testing.T) {
		collisions(t, nil, func(t *testing.T, p *play, o nonceOrder) {
			begin(p, o)
			p.B.sends("delete-child")
			p.A.sends("rekey-child")
			p.B.sends("rekey-child:TEMPORARY_FAILURE")
			p.A.sends("delete-child:ok")
			require.Equal(t, "B", p.rekeyedOnce())
		}, groups)
	})
	t.Run("after the Delete", func(t *testing.T) {
		collisions(t, nil, func(t *testing.T, p *play, o nonceOrder) {
			begin(p, o)
			p.B.sends("delete-child")
			p.A.sends("delete-child:ok")
			p.A.sends("rekey-child")
			p.pass(time.Second)
			require.Equal(t, "B", p.rekeyedOnce())
		}, groups)
	})
	// A's second attempt is still to be computed when B's request comes.
	t.Run("not yet sent", func(t *testing.T) {
		collisions(t, nil, func(t *testing.T, p *play, o nonceOrder) {
			p.A.rekeyChild()
			p.B.rekeyChild()
			p.A.sends("rekey-child")
			p.B.sends("rekey-child")
			p.A.sends("rekey-child:INVALID_KE_PAYLOAD")
			p.A.slow[ike.JobKeyExchange] = true
			p.B.sends("rekey-child:INVALID_KE_PAYLOAD")
			retry := p.A.held
			p.A.held, p.A.slow = nil, map[ike.JobKind]bool{}
			p.B.sends("rekey-child")
			p.A.held = retry
			p.A.release()
			p.pass(time.Second)
			require.Equal(t, "B", p.rekeyedOnce())
		}, groups)
	})
}

// 23. B has lost the collision, and deletes the old SA although that is A's
// to do; its Delete overtakes its answer.
func TestChildRekey23_CollisionIncorrectDelete(t *testing.T) {
	collisions(t, func(o nonceOrder) bool { return o.winner == "A" }, func(t *testing.T, p *play, o nonceOrder) {
		p.bothRekey(o)
		p.A.sends("rekey-child")
		p.B.sends("rekey-child")
		p.A.sends("rekey-child:ok")
		p.B.sends("delete-child") // of its redundant SA
		p.A.sends("delete-child:ok")
		p.traffic = false // the peer's fault opens a gap
		p.B.incorrectDelete(p.oldB)
		p.B.sends("delete-child")
		p.A.sends("delete-child:ok")
		p.B.sends("rekey-child:ok")
		require.Equal(t, "A", p.rekeyedOnce())
	})
	// Before it deletes its redundant one.
	collisions(t, func(o nonceOrder) bool { return o.winner == "A" }, func(t *testing.T, p *play, o nonceOrder) {
		p.bothRekey(o)
		p.A.sends("rekey-child")
		p.B.sends("rekey-child")
		p.traffic = false
		p.A.sends("rekey-child:ok")
		redundant := p.B.take("delete-child")
		p.A.out = nil
		_ = redundant
		p.pass(3 * time.Second)
		require.Equal(t, "A", p.rekeyedOnce())
	})
}
