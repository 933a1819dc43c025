package ikev2

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
)

// 14. B's answer is delayed until after its Delete.
//
//	A                             B
//	REKEY_SA, Ni1         -\   /--  REKEY_SA, Ni2
//	                      --\-/-->
//	                      <-/ /---  SA, Nr1 (delayed)
//	SA, Nr2               ---/--->  knows who wins
//	                      <-/-----  D(old) or D(redundant)
//	D                     -/----->
//	                      <
func TestChildRekey14_DelayedResponse(t *testing.T) {
	collisions(t, nil, func(t *testing.T, p *play, o nonceOrder) {
		p.bothRekey(o)
		p.A.sends("rekey-child")
		p.B.sends("rekey-child")
		p.A.sends("rekey-child:ok")
		p.B.sends("delete-child")
		p.A.sends("delete-child:ok")
		p.B.sends("rekey-child:ok")
		p.A.sends("delete-child")
		p.B.sends("delete-child:ok")
		require.Equal(t, o.winner, p.rekeyedOnce())
	})
}

// 14b. It is delayed for so long that the old inbound SA has been removed.
func TestChildRekey14_DelayedResponseBeyondGrace(t *testing.T) {
	collisions(t, nil, func(t *testing.T, p *play, o nonceOrder) {
		p.bothRekey(o)
		p.A.sends("rekey-child")
		p.B.sends("rekey-child")
		p.A.sends("rekey-child:ok")
		p.B.sends("delete-child")
		p.A.sends("delete-child:ok")
		response := p.B.take("rekey-child:ok")
		for range 8 { // the repetitions are lost too
			p.tick(time.Second)
			p.A.out, p.B.out = nil, nil
		}
		p.B.hand(response, "rekey-child:ok")
		require.Equal(t, o.winner, p.rekeyedOnce())
	})
}

// 15. As 14, and B deletes the new SA too, before A hears its answer.
//
//	A                             B
//	REKEY_SA, Ni1         -\   /--  REKEY_SA, Ni2
//	                      --\-/-->
//	                      <-/ /---  SA, Nr1 (delayed)
//	SA, Nr2               ---/--->
//	                      <-/-----  D(old) or D(redundant)
//	                      -/----->
//	                      <-------  D(the new one)
//	                      ------->
//	                      <
func TestChildRekey15_DelayedResponseThenDelete(t *testing.T) {
	collisions(t, func(o nonceOrder) bool { return o.winner == "B" }, func(t *testing.T, p *play, o nonceOrder) {
		p.bothRekey(o)
		p.A.sends("rekey-child")
		p.B.sends("rekey-child")
		p.A.sends("rekey-child:ok")
		p.traffic = false
		p.B.sends("delete-child")
		p.A.sends("delete-child:ok")
		p.B.deleteChild()
		p.B.sends("delete-child")
		p.A.sends("delete-child:ok")
		p.B.sends("rekey-child:ok")
		p.lost()
	})
	// B has lost: its new SA is the one that A makes and does not know yet.
	collisions(t, func(o nonceOrder) bool { return o.winner == "A" }, func(t *testing.T, p *play, o nonceOrder) {
		p.bothRekey(o)
		p.A.sends("rekey-child")
		p.B.sends("rekey-child")
		p.A.sends("rekey-child:ok")
		p.traffic = false
		p.B.sends("delete-child")
		p.A.sends("delete-child:ok")
		p.B.deleteChild()
		p.B.sends("delete-child")
		p.A.sends("delete-child:ok")
		p.B.sends("rekey-child:ok")
		p.lost()
	})
}

// 16. As 14 with slow work on B's delayed answer.
func TestChildRekey16_DelayedResponseSlow(t *testing.T) {
	collisions(t, nil, func(t *testing.T, p *play, o nonceOrder) {
		p.bothRekey(o)
		p.A.sends("rekey-child")
		p.B.sends("rekey-child")
		p.A.sends("rekey-child:ok")
		p.A.slow[ike.JobKeyExchange] = true
		p.B.sends("rekey-child:ok")
		p.B.sends("delete-child")
		p.A.release()
		require.Equal(t, o.winner, p.rekeyedOnce())
	}, withPFS("x25519", "x25519"))
}

// 17. A's request is delayed, so that B does not notice the collision before
// it deletes the old SA.
//
//	A                             B
//	REKEY_SA, Ni1         -\   /--  REKEY_SA, Ni2
//	SA, Nr2               --\-/-->
//	                         \ /--  D(old)
//	                          X-->  N(TEMPORARY_FAILURE)
//	D(old)                <--/ /--
//	                      ----/-->
//	                      <--/
func TestChildRekey17_DelayedRequest(t *testing.T) {
	for _, o := range nonceOrders {
		for _, first := range []string{"delete-child", "rekey-child:TEMPORARY_FAILURE"} {
			t.Run(o.name+", "+first+" arrives first", func(t *testing.T) {
				plays(t, func(t *testing.T, p *play) {
					p.bothRekey(o)
					p.B.sends("rekey-child")
					p.A.sends("rekey-child:ok")
					p.A.sends("rekey-child")
					if first == "delete-child" {
						p.B.sends("delete-child", "rekey-child:TEMPORARY_FAILURE")
					} else {
						p.B.sends("rekey-child:TEMPORARY_FAILURE", "delete-child")
					}
					p.A.sends("delete-child:ok")
					require.Equal(t, "B", p.rekeyedOnce())
				})
			})
		}
	}
}

// 18. A's request is delayed even more: B has deleted the old SA by then.
//
//	A                             B
//	REKEY_SA, Ni1         -\   /--  REKEY_SA, Ni2
//	SA, Nr2               --\-/-->
//	                      <--\----  D(old)
//	D(old)                ----\-->
//	                           \->  N(CHILD_SA_NOT_FOUND) or TEMPORARY_FAILURE
func TestChildRekey18_DelayedRequestMore(t *testing.T) {
	collisions(t, nil, func(t *testing.T, p *play, o nonceOrder) {
		p.bothRekey(o)
		p.B.sends("rekey-child")
		p.A.sends("rekey-child:ok")
		p.B.sends("delete-child")
		p.A.sends("delete-child:ok")
		late := p.A.take("rekey-child")
		for range 8 { // B keeps the old inbound SA for a while
			p.tick(time.Second)
			p.A.out = nil
		}
		p.A.hand(late, "rekey-child")
		p.B.sends("rekey-child:CHILD_SA_NOT_FOUND")
		require.Equal(t, "B", p.rekeyedOnce())
	})
	collisions(t, nil, func(t *testing.T, p *play, o nonceOrder) {
		p.bothRekey(o)
		p.B.sends("rekey-child")
		p.A.sends("rekey-child:ok")
		p.B.sends("delete-child")
		p.A.sends("delete-child:ok")
		p.A.sends("rekey-child")
		p.B.sends("rekey-child:TEMPORARY_FAILURE") // not yet removed
		require.Equal(t, "B", p.rekeyedOnce())
	})
}

// 19. As 18, and B deletes the new SA as well before A's request arrives.
func TestChildRekey19_DelayedRequestMoreThenDelete(t *testing.T) {
	collisions(t, nil, func(t *testing.T, p *play, o nonceOrder) {
		p.bothRekey(o)
		p.B.sends("rekey-child")
		p.A.sends("rekey-child:ok")
		p.B.sends("delete-child")
		p.A.sends("delete-child:ok")
		p.traffic = false
		p.B.deleteChild()
		p.B.sends("delete-child")
		p.A.sends("delete-child:ok")
		p.A.sends("rekey-child")
		p.B.sends("rekey-child:CHILD_SA_NOT_FOUND")
		p.lost()
	})
}

// 20. As 17, while B's key exchange is slow: A's request comes before B is
// through with its own. A has agreed to that, so it stands.
//
//	A                             B
//	REKEY_SA, Ni1         -\   /--  REKEY_SA, Ni2
//	SA, Nr2               --\-/-->  (works on it)
//	                         \--->
//	                      <-------  N(TEMPORARY_FAILURE)
//	                      <-------  D(old)
func TestChildRekey20_DelayedRequestSlow(t *testing.T) {
	collisions(t, nil, func(t *testing.T, p *play, o nonceOrder) {
		p.bothRekey(o)
		p.B.sends("rekey-child")
		p.B.slow[ike.JobKeyExchange] = true
		p.A.sends("rekey-child:ok")
		p.A.sends("rekey-child")
		p.B.release()
		p.pass(time.Second)
		require.Equal(t, "B", p.rekeyedOnce())
	}, withPFS("x25519", "x25519"))
}
