package ikev2

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/spd"
)

// The 18 situations around the rekey of the IKE SA that strongSwan's tests
// name, and what RFC 7296 2.8.2, 2.18 and 2.25.2 make of them. Child SAs and
// their traffic must not notice any of it. As in collision_child_test.go,
// situations with several key exchanges are played with slow ones.

// rekeyedIKEOnce requires that the IKE SA was replaced once and nothing else
// has happened, and returns who has begun the exchange that made the new one.
func (p *play) rekeyedIKEOnce(oldA uint64) string {
	p.t.Helper()
	p.pass(4 * time.Minute)
	p.converged(1)
	by := ""
	for _, a := range []*actor{p.A, p.B} {
		r := find[ike.SessionRekeyed](a.happened)
		require.Len(p.t, r, 1, "%s was told %+v", a.name, a.happened)
		require.EqualValues(p.t, a.session().current.local, r[0].LocalSPI)
		require.EqualValues(p.t, a.session().current.remote, r[0].RemoteSPI)
		require.Equal(p.t, r[0].Initiator, a.session().current.initiator)
		if r[0].Initiator {
			by += a.name
		}
		p.nothingElse(a, 1)
	}
	require.NotEqual(p.t, oldA, uint64(p.A.session().current.local))
	require.Equal(p.t, p.oldA, p.A.child().ChildSPIs, "the Child SA is the same")
	require.Equal(p.t, p.oldB, p.B.child().ChildSPIs)
	// The new IKE SA works, both ways.
	for _, a := range []*actor{p.A, p.B} {
		require.NoError(p.t, a.CheckLiveness(p.now, a.session().ID))
		p.work()
		a.sends("liveness")
		a.other.sends("liveness:ok")
	}
	return by
}

func (p *play) ikeSPI() uint64 { return uint64(p.A.session().current.local) }

func (p *play) bothRekeyIKE(o nonceOrder) {
	p.t.Helper()
	p.A.draws(o.ai).rekeyIKE()
	p.B.draws(o.bi).rekeyIKE()
	p.B.draws(o.br)
	p.A.draws(o.ar)
}

// bothDeleteIKE delivers the Deletes after a collision: the winner's of the
// old SA, the loser's of its redundant one.
func (p *play) bothDeleteIKE() {
	p.t.Helper()
	require.Equal(p.t, []string{"delete-ike"}, p.A.waiting())
	require.Equal(p.t, []string{"delete-ike"}, p.B.waiting())
	p.A.sends("delete-ike")
	p.B.sends("delete-ike")
	p.A.sends("delete-ike:ok")
	p.B.sends("delete-ike:ok")
}

// rekeyGroups makes each side begin a rekey with a group of its own, which the
// other does not take; both have X25519.
func rekeyGroups(a, b *Peer, _, _ *Config) {
	a.Proposals = []spd.Proposal{ikeProposal("aes128gcm16-prfsha256-x25519-ecp384")}
	b.Proposals = []spd.Proposal{ikeProposal("aes128gcm16-prfsha256-x25519-ecp521")}
	a.Quirks.RekeyGroupFirst, b.Quirks.RekeyGroupFirst = spd.KEECP384, spd.KEECP521
}

// 1. Regular rekey.
//
//	x                             y
//	SA, Ni, KE            ------->
//	                      <-------  SA, Nr, KE
//	D(IKE), on the old    ------->
//	                      <-------
func TestIKERekey01_Regular(t *testing.T) {
	bothRoles(t, func(t *testing.T, p *play, x, y *actor) {
		old := p.ikeSPI()
		x.rekeyIKE()
		x.sends("rekey-ike")
		y.sends("rekey-ike:ok")
		require.Equal(t, []string{"delete-ike"}, x.waiting())
		require.Len(t, x.sas, 2)
		x.sends("delete-ike")
		y.sends("delete-ike:ok")
		require.Len(t, x.sas, 1)
		require.True(t, x.session().current.initiator, "who rekeys is the new SA's initiator")
		for _, a := range []*actor{x, y} {
			require.Zero(t, a.session().current.sendID, "message IDs begin at 0 again")
			require.Zero(t, a.session().current.recvID)
		}
		require.Equal(t, x.name, p.rekeyedIKEOnce(old))
	})
}

// 2. The key exchange takes its time; the request is repeated meanwhile.
func TestIKERekey02_SlowKeyExchange(t *testing.T) {
	bothRoles(t, func(t *testing.T, p *play, x, y *actor) {
		old := p.ikeSPI()
		x.rekeyIKE()
		y.slow[ike.JobKeyExchange] = true
		request := x.take("rekey-ike")
		x.hand(request, "rekey-ike")
		x.hand(request, "rekey-ike")
		require.Len(t, y.held, 1)
		y.release()
		x.slow[ike.JobKeyExchange] = true
		y.sends("rekey-ike:ok")
		require.Empty(t, x.waiting())
		x.release()
		x.sends("delete-ike")
		y.sends("delete-ike:ok")
		require.Equal(t, x.name, p.rekeyedIKEOnce(old))
	})
}

// 3. The responder wants another group.
//
//	x                             y
//	SA, Ni, KE(P-384)     ------->
//	                      <-------  N(INVALID_KE_PAYLOAD, X25519)
//	SA, Ni, KE(X25519)    ------->
//	                      <-------  SA, Nr, KE
//	D(IKE)                ------->
func TestIKERekey03_InvalidKE(t *testing.T) {
	bothRoles(t, func(t *testing.T, p *play, x, y *actor) {
		old := p.ikeSPI()
		x.rekeyIKE()
		x.sends("rekey-ike")
		require.Len(t, y.sas, 1)
		y.sends("rekey-ike:INVALID_KE_PAYLOAD")
		x.sends("rekey-ike")
		y.sends("rekey-ike:ok")
		x.sends("delete-ike")
		y.sends("delete-ike:ok")
		require.Equal(t, x.name, p.rekeyedIKEOnce(old))
	}, rekeyGroups)
}

// 4. The same with slow key exchanges.
func TestIKERekey04_InvalidKESlow(t *testing.T) {
	bothRoles(t, func(t *testing.T, p *play, x, y *actor) {
		old := p.ikeSPI()
		x.slow[ike.JobKeyExchange] = true
		x.rekeyIKE()
		require.Empty(t, x.waiting())
		x.release()
		x.sends("rekey-ike")
		x.slow[ike.JobKeyExchange] = true
		y.sends("rekey-ike:INVALID_KE_PAYLOAD")
		require.Empty(t, x.waiting())
		x.release()
		y.slow[ike.JobKeyExchange] = true
		x.sends("rekey-ike")
		y.release()
		y.sends("rekey-ike:ok")
		x.sends("delete-ike")
		y.sends("delete-ike:ok")
		require.Equal(t, x.name, p.rekeyedIKEOnce(old))
	}, rekeyGroups)
}

// 5. Both rekey the IKE SA at once (RFC 7296 2.8.2).
//
//	A                             B
//	SA, Ni1, KE           -\   /--  SA, Ni2, KE
//	                      --\-/-->
//	                      <-/-\--
//	SA, Nr2, KE           -\   /--  SA, Nr1, KE
//	                      <-\-/---
//	                      ---/--->
//	the one that made the SA with the lowest nonce: D(IKE) on it
//	the other: D(IKE) on the old one
func TestIKERekey05_Collision(t *testing.T) {
	collisions(t, nil, func(t *testing.T, p *play, o nonceOrder) {
		old := p.ikeSPI()
		p.bothRekeyIKE(o)
		p.A.sends("rekey-ike")
		p.B.sends("rekey-ike")
		require.Len(t, p.A.sas, 3)
		p.B.sends("rekey-ike:ok")
		p.A.sends("rekey-ike:ok")
		p.bothDeleteIKE()
		require.Equal(t, o.winner, p.rekeyedIKEOnce(old))
	})
}

// 6. The same with slow key exchanges on both sides.
func TestIKERekey06_CollisionSlow(t *testing.T) {
	collisions(t, nil, func(t *testing.T, p *play, o nonceOrder) {
		old := p.ikeSPI()
		p.bothRekeyIKE(o)
		p.A.slow[ike.JobKeyExchange], p.B.slow[ike.JobKeyExchange] = true, true
		p.A.sends("rekey-ike")
		p.B.sends("rekey-ike")
		p.A.release()
		p.B.release()
		p.A.slow[ike.JobKeyExchange], p.B.slow[ike.JobKeyExchange] = true, true
		p.B.sends("rekey-ike:ok")
		p.A.sends("rekey-ike:ok")
		p.A.release()
		p.B.release()
		p.bothDeleteIKE()
		require.Equal(t, o.winner, p.rekeyedIKEOnce(old))
	})
}

// 7. Only A is slow: B's request comes while A finishes its own exchange, or
// works on B's.
//
//	A                             B
//	SA, Ni1, KE           -\   /--  SA, Ni2, KE
//	                      --\-/-->
//	                      <-/-----  SA, Nr1, KE
//	(works on it)         <-
func TestIKERekey07_CollisionMixed(t *testing.T) {
	t.Run("the answer first", func(t *testing.T) {
		collisions(t, nil, func(t *testing.T, p *play, o nonceOrder) {
			old := p.ikeSPI()
			p.bothRekeyIKE(o)
			p.A.sends("rekey-ike")
			p.A.slow[ike.JobKeyExchange] = true
			p.B.sends("rekey-ike:ok")
			p.B.sends("rekey-ike")
			p.A.release()
			p.pass(time.Second)
			by := p.rekeyedIKEOnce(old)
			require.Len(t, by, 1, "one of the two")
		})
	})
	t.Run("the request first", func(t *testing.T) {
		collisions(t, nil, func(t *testing.T, p *play, o nonceOrder) {
			old := p.ikeSPI()
			p.bothRekeyIKE(o)
			p.A.sends("rekey-ike")
			p.A.slow[ike.JobKeyExchange] = true
			p.B.sends("rekey-ike")
			p.B.sends("rekey-ike:ok")
			p.A.release()
			p.pass(time.Second)
			by := p.rekeyedIKEOnce(old)
			require.Len(t, by, 1, "one of the two")
		})
	})
}

// 8. Both rekey, each with a group that the other does not take.
//
//	A                             B
//	KE(P-384)             -\   /--  KE(P-521)
//	                      --\-/-->
//	N(INVALID_KE, X25519) -\   /--  N(INVALID_KE, X25519)
//	                      --\-/-->
//	KE(X25519)            -\   /--  KE(X25519)
//	SA, Nr2               --\-/-->  SA, Nr1
func TestIKERekey08_CollisionInvalidKE(t *testing.T) {
	collisions(t, nil, func(t *testing.T, p *play, o nonceOrder) {
		old := p.ikeSPI()
		p.A.rekeyIKE()
		p.B.rekeyIKE()
		p.A.sends("rekey-ike")
		p.B.sends("rekey-ike")
		p.A.draws(o.ai)
		p.B.sends("rekey-ike:INVALID_KE_PAYLOAD")
		p.B.draws(o.bi)
		p.A.sends("rekey-ike:INVALID_KE_PAYLOAD")
		p.B.draws(o.br)
		p.A.draws(o.ar)
		p.A.sends("rekey-ike")
		p.B.sends("rekey-ike")
		p.B.sends("rekey-ike:ok")
		p.A.sends("rekey-ike:ok")
		p.bothDeleteIKE()
		require.Equal(t, o.winner, p.rekeyedIKEOnce(old))
	}, rekeyGroups)
}

// 9. As 8, but A's second attempt is delayed, so that B sees no collision.
func TestIKERekey09_CollisionInvalidKEDelayedRetry(t *testing.T) {
	begin := func(p *play, o nonceOrder) uint64 {
		old := p.ikeSPI()
		p.A.rekeyIKE()
		p.B.rekeyIKE()
		p.A.sends("rekey-ike")
		p.B.sends("rekey-ike")
		p.A.draws(o.ai)
		p.B.sends("rekey-ike:INVALID_KE_PAYLOAD")
		p.B.draws(o.bi)
		p.A.sends("rekey-ike:INVALID_KE_PAYLOAD")
		p.B.draws(o.br)
		p.A.draws(o.ar)
		p.B.sends("rekey-ike")
		p.A.sends("rekey-ike:ok")
		return old
	}
	t.Run("before the Delete", func(t *testing.T) {
		collisions(t, nil, func(t *testing.T, p *play, o nonceOrder) {
			old := begin(p, o)
			p.A.sends("rekey-ike")
			p.B.sends("rekey-ike:TEMPORARY_FAILURE")
			p.B.sends("delete-ike")
			p.A.sends("delete-ike:ok")
			require.Equal(t, "B", p.rekeyedIKEOnce(old))
		}, rekeyGroups)
	})
	t.Run("after the Delete", func(t *testing.T) {
		collisions(t, nil, func(t *testing.T, p *play, o nonceOrder) {
			old := begin(p, o)
			p.B.sends("delete-ike")
			p.A.sends("rekey-ike") // on its way since before
			p.A.sends("delete-ike:ok")
			p.pass(time.Second)
			require.Equal(t, "B", p.rekeyedIKEOnce(old))
		}, rekeyGroups)
	})
}

// 10. B's answer is delayed until after its Delete.
//
//	A                             B
//	SA, Ni1, KE           -\   /--  SA, Ni2, KE
//	                      --\-/-->
//	                      <-/ /---  SA, Nr1, KE (delayed)
//	SA, Nr2, KE           ---/--->  knows who wins
//	                      <-/-----  D(IKE) on the old or on its redundant one
//	                      -/----->
//	                      <
//
// If B has won, the old SA and with it A's exchange is gone when the answer
// comes, and B gives the SA that it made of it up after a while.
func TestIKERekey10_DelayedResponse(t *testing.T) {
	collisions(t, nil, func(t *testing.T, p *play, o nonceOrder) {
		old := p.ikeSPI()
		p.bothRekeyIKE(o)
		p.A.sends("rekey-ike")
		p.B.sends("rekey-ike")
		p.A.sends("rekey-ike:ok")
		p.B.sends("delete-ike")
		if o.winner == "B" {
			p.A.sends("delete-ike:ok")
			p.B.sends("rekey-ike:ok")
			require.Empty(t, p.A.waiting())
		} else {
			p.A.sends("delete-ike:ok") // on the SA that A has made
			p.B.sends("rekey-ike:ok")
			p.A.sends("delete-ike")
			p.B.sends("delete-ike:ok")
		}
		require.Equal(t, o.winner, p.rekeyedIKEOnce(old))
	})
}

// 11. As 10, where B's answer comes in time but A is slow to work on it.
func TestIKERekey11_DelayedResponseSlow(t *testing.T) {
	for _, first := range []string{"the Delete", "the work"} {
		t.Run(first+" is done first", func(t *testing.T) {
			collisions(t, nil, func(t *testing.T, p *play, o nonceOrder) {
				old := p.ikeSPI()
				p.bothRekeyIKE(o)
				p.A.sends("rekey-ike")
				p.B.sends("rekey-ike")
				p.A.sends("rekey-ike:ok")
				p.A.slow[ike.JobKeyExchange] = true
				p.B.sends("rekey-ike:ok")
				if first == "the Delete" {
					p.B.sends("delete-ike")
					p.A.release()
				} else {
					p.A.release()
					p.B.sends("delete-ike")
				}
				p.pass(time.Second)
				require.Equal(t, o.winner, p.rekeyedIKEOnce(old))
			})
		})
	}
}

// 12. A's request is lost, so that B notices no collision.
//
//	A                             B
//	SA, Ni1, KE           -- x  /-  SA, Ni2, KE
//	SA, Nr2, KE           ------->
//	                      <-------  D(IKE) on the old one
//	                      ------->
func TestIKERekey12_DroppedRequest(t *testing.T) {
	collisions(t, nil, func(t *testing.T, p *play, o nonceOrder) {
		old := p.ikeSPI()
		p.bothRekeyIKE(o)
		p.A.loses("rekey-ike")
		p.B.sends("rekey-ike")
		p.A.sends("rekey-ike:ok")
		p.B.sends("delete-ike")
		p.A.sends("delete-ike:ok")
		require.Equal(t, "B", p.rekeyedIKEOnce(old))
	})
}

// 13. A's request is delayed; B's Delete comes before its answer.
//
//	A                             B
//	SA, Ni1, KE           -\   /--  SA, Ni2, KE
//	SA, Nr2, KE           --\-/-->
//	                         \ /--  D(IKE) on the old one
//	                      ----X-->  N(TEMPORARY_FAILURE)
//	                      <--/ /--
//	                      ----/-->
//	(gone)                <--/
func TestIKERekey13_DelayedRequest(t *testing.T) {
	collisions(t, nil, func(t *testing.T, p *play, o nonceOrder) {
		old := p.ikeSPI()
		p.bothRekeyIKE(o)
		p.B.sends("rekey-ike")
		p.A.sends("rekey-ike:ok")
		p.A.sends("rekey-ike")
		p.B.sends("delete-ike")
		p.A.sends("delete-ike:ok")
		p.B.sends("rekey-ike:TEMPORARY_FAILURE")
		require.Equal(t, "B", p.rekeyedIKEOnce(old))
	})
}

// 14. The same, with the refusal before the Delete: A does not try again.
func TestIKERekey14_DelayedRequestAndDelete(t *testing.T) {
	collisions(t, nil, func(t *testing.T, p *play, o nonceOrder) {
		old := p.ikeSPI()
		p.bothRekeyIKE(o)
		p.B.sends("rekey-ike")
		p.A.sends("rekey-ike:ok")
		p.A.sends("rekey-ike")
		p.B.sends("rekey-ike:TEMPORARY_FAILURE")
		p.B.sends("delete-ike")
		p.A.sends("delete-ike:ok")
		require.Equal(t, "B", p.rekeyedIKEOnce(old))
	})
}

// 15. As 13, while B is slow to finish: A's request finds it at work.
func TestIKERekey15_DelayedRequestSlow(t *testing.T) {
	collisions(t, nil, func(t *testing.T, p *play, o nonceOrder) {
		old := p.ikeSPI()
		p.bothRekeyIKE(o)
		p.B.sends("rekey-ike")
		p.B.slow[ike.JobKeyExchange] = true
		p.A.sends("rekey-ike:ok")
		p.A.sends("rekey-ike")
		p.B.release()
		p.pass(time.Second)
		by := p.rekeyedIKEOnce(old)
		require.Len(t, by, 1, "one of the two")
	})
}

// ended requires that the session is over at both sides and that each was
// told once.
func (p *play) ended() {
	p.t.Helper()
	p.pass(4 * time.Minute)
	p.gone()
	for _, a := range []*actor{p.A, p.B} {
		require.Len(p.t, find[ike.SessionDown](a.happened), 1, "%s was told %+v", a.name, a.happened)
		require.Len(p.t, find[ike.ChildDown](a.happened), 1, "%s was told %+v", a.name, a.happened)
	}
}

// 16. One side deletes the IKE SA that the other rekeys.
//
//	x                             y
//	SA, Ni, KE            -\   /--  D(IKE)
//	                      --\-/-->  N(TEMPORARY_FAILURE)
//	                      <--/ /--
//	                      ----/-->
//	(gone)                <--/
func TestIKERekey16_CollisionWithDelete(t *testing.T) {
	bothRoles(t, func(t *testing.T, p *play, x, y *actor) {
		p.traffic = false
		x.rekeyIKE()
		y.deleteIKE()
		x.sends("rekey-ike")
		y.sends("delete-ike")
		x.sends("delete-ike:ok")
		y.sends("rekey-ike:TEMPORARY_FAILURE")
		p.ended()
	})
}

// 17. The same with slow work on either side.
func TestIKERekey17_CollisionWithDeleteSlow(t *testing.T) {
	t.Run("request not yet sent", func(t *testing.T) {
		bothRoles(t, func(t *testing.T, p *play, x, y *actor) {
			p.traffic = false
			x.slow[ike.JobKeyExchange] = true
			x.rekeyIKE()
			y.deleteIKE()
			y.sends("delete-ike")
			x.release()
			p.ended()
		})
	})
	t.Run("request under work", func(t *testing.T) {
		bothRoles(t, func(t *testing.T, p *play, x, y *actor) {
			p.traffic = false
			y.slow[ike.JobKeyExchange] = true
			x.rekeyIKE()
			x.sends("rekey-ike")
			y.deleteIKE()
			y.release()
			p.ended()
		})
	})
	t.Run("answer under work", func(t *testing.T) {
		bothRoles(t, func(t *testing.T, p *play, x, y *actor) {
			p.traffic = false
			x.rekeyIKE()
			x.sends("rekey-ike")
			x.slow[ike.JobKeyExchange] = true
			y.sends("rekey-ike:ok")
			y.deleteIKE() // of the new SA, which x does not know yet
			y.sends("delete-ike")
			x.release()
			p.ended()
		})
	})
	t.Run("deleted by who rekeys", func(t *testing.T) {
		bothRoles(t, func(t *testing.T, p *play, x, y *actor) {
			p.traffic = false
			x.rekeyIKE()
			x.deleteIKE()
			x.sends("rekey-ike")
			y.sends("rekey-ike:ok")
			p.ended()
		})
	})
}

// 18. The Delete is delayed, or lost and repeated: the rekeying side does not
// know why it is refused.
//
//	x                             y
//	SA, Ni, KE            -\   /--  D(IKE)
//	                      --\-/-->  N(TEMPORARY_FAILURE)
//	                      <--/---
//	                      <-/
//	                      ------->
func TestIKERekey18_CollisionDeleteDelayed(t *testing.T) {
	for _, lost := range []bool{false, true} {
		bothRoles(t, func(t *testing.T, p *play, x, y *actor) {
			p.traffic = false
			x.rekeyIKE()
			y.deleteIKE()
			x.sends("rekey-ike")
			y.sends("rekey-ike:TEMPORARY_FAILURE")
			require.Equal(t, stateEstablished, x.session().current.state)
			if lost {
				y.loses("delete-ike")
			} else {
				y.sends("delete-ike")
				x.sends("delete-ike:ok")
			}
			p.ended()
		})
	}
}
