package ikev2

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev2/message"
	"github.com/racoon3/racoon/internal/child"
	"github.com/racoon3/racoon/spd"
)

// The 30 situations around the rekey of a Child SA that strongSwan's tests
// name, and what RFC 7296 2.8, 2.8.1, 2.25 and 2.25.1 make of them. In the
// diagrams time runs downwards; a message ends where it arrives.
//
// Situations with several key exchanges (RFC 9370, which is not spoken here)
// are played with a key exchange that takes its time: like an
// IKE_FOLLOWUP_KE, it keeps one side's exchange open while others go on.

// withPFS gives the Child SAs of each side these groups.
func withPFS(a, b string) sceneOption {
	return func(pa, pb *Peer, _, _ *Config) {
		pa.Children[0].Proposals = []spd.Proposal{espProposal("aes128gcm16-" + a + "-noesn")}
		pb.Children[0].Proposals = []spd.Proposal{espProposal("aes128gcm16-" + b + "-noesn")}
	}
}

// A play is a situation, set up and running.
type play struct {
	*scene
	oldA ike.ChildSPIs // of the Child SA that is rekeyed, as A and B see it
	oldB ike.ChildSPIs
}

// plays runs a situation with and without traffic: packets on a new SA let the
// responder of a rekey use it at once, without them the Delete does.
func plays(t *testing.T, run func(t *testing.T, p *play), options ...sceneOption) {
	for _, traffic := range []bool{true, false} {
		name := "idle"
		if traffic {
			name = "traffic"
		}
		t.Run(name, func(t *testing.T) {
			s := newScene(t, options...).establish()
			s.traffic = traffic
			run(t, &play{scene: s, oldA: s.A.child().ChildSPIs, oldB: s.B.child().ChildSPIs})
		})
	}
}

// bothRoles runs a situation twice: x is the original initiator, then the
// original responder.
func bothRoles(t *testing.T, run func(t *testing.T, p *play, x, y *actor), options ...sceneOption) {
	for _, role := range []string{"initiator", "responder"} {
		t.Run(role, func(t *testing.T) {
			plays(t, func(t *testing.T, p *play) {
				if role == "initiator" {
					run(t, p, p.A, p.B)
				} else {
					run(t, p, p.B, p.A)
				}
			}, options...)
		})
	}
}

// A nonceOrder says with which octet the four nonces of two exchanges that
// collide begin, and whose SA survives: of the exchange that has not the
// lowest (RFC 7296 2.8.1).
type nonceOrder struct {
	name           string
	ai, br, bi, ar byte // A's request, B's answer to it, B's request, A's answer to it
	winner         string
}

var nonceOrders = []nonceOrder{
	{"A's request is lowest", 0x00, 0xf0, 0xf1, 0xf2, "B"},
	{"B's answer is lowest", 0xf0, 0x00, 0xf1, 0xf2, "B"},
	{"B's request is lowest", 0xf0, 0xf1, 0x00, 0xf2, "A"},
	{"A's answer is lowest", 0xf0, 0xf1, 0xf2, 0x00, "A"},
}

// collisions runs a situation for each order of nonces that want accepts.
func collisions(t *testing.T, want func(nonceOrder) bool, run func(t *testing.T, p *play, o nonceOrder), options ...sceneOption) {
	for _, o := range nonceOrders {
		if want == nil || want(o) {
			t.Run(o.name, func(t *testing.T) {
				plays(t, func(t *testing.T, p *play) { run(t, p, o) }, options...)
			})
		}
	}
}

// bothRekey lets both sides begin.
func (p *play) bothRekey(o nonceOrder) {
	p.t.Helper()
	p.A.draws(o.ai).rekeyChild()
	p.B.draws(o.bi).rekeyChild()
	p.B.draws(o.br)
	p.A.draws(o.ar)
}

// rekeyedOnce requires that the Child SA was replaced once and nothing else
// has happened, and returns who has begun the exchange that made the new one.
func (p *play) rekeyedOnce() string {
	p.t.Helper()
	p.pass(15 * time.Second)
	p.converged(1)
	by := ""
	for _, a := range []*actor{p.A, p.B} {
		old := p.oldA
		if a == p.B {
			old = p.oldB
		}
		r := find[ike.ChildRekeyed](a.happened)
		require.Len(p.t, r, 1, "%s was told %+v", a.name, a.happened)
		require.Equal(p.t, old, r[0].Old, a.name)
		require.Equal(p.t, a.child().ChildSPIs, r[0].Child.ChildSPIs, a.name)
		require.NotEqual(p.t, old, r[0].Child.ChildSPIs, a.name)
		if r[0].Initiator {
			by += a.name
		}
		p.nothingElse(a, 1)
	}
	return by
}

// nothingElse requires that a was told of nothing but rekeys.
func (p *play) nothingElse(a *actor, events int) {
	p.t.Helper()
	require.Len(p.t, a.happened, events, "%s was told %+v", a.name, a.happened)
}

// lost requires that the Child SA is gone on both sides and that each was
// told once.
func (p *play) lost() {
	p.t.Helper()
	p.pass(30 * time.Second)
	p.converged(0)
	for _, a := range []*actor{p.A, p.B} {
		require.Len(p.t, find[ike.ChildDown](a.happened), 1, "%s was told %+v", a.name, a.happened)
		require.Empty(p.t, find[ike.ChildUp](a.happened), a.name)
		require.Empty(p.t, find[ike.ChildFailed](a.happened), a.name)
	}
}

// 1. Regular rekey.
//
//	x                             y
//	REKEY_SA, SA, Ni, TS  ------->
//	                      <-------  SA, Nr, TS
//	D(old)                ------->
//	                      <-------  D(old)
func TestChildRekey01_Regular(t *testing.T) {
	bothRoles(t, func(t *testing.T, p *play, x, y *actor) {
		x.rekeyChild()
		x.sends("rekey-child")
		require.Equal(t, "inbound-only", y.childStates()[1], "RFC 7296 2.8: y does not use it before x does")
		y.sends("rekey-child:ok")
		require.Equal(t, []string{"deleting", "mature"}, x.childStates())
		x.sends("delete-child")
		require.Equal(t, []string{"deleting", "mature"}, y.childStates(), "the old one still receives for a while")
		y.sends("delete-child:ok")
		require.Equal(t, x.name, p.rekeyedOnce())
	})
}

// childStates are the states of all Child SAs, oldest first.
func (a *actor) childStates() (states []string) {
	a.s.t.Helper()
	st, _ := a.Session(a.session().ID)
	for _, c := range st.Children {
		states = append(states, c.State)
	}
	// The steps of a scene let traffic flow, which makes an SA mature: what
	// the last answer found is what counts.
	if a.s.traffic && len(states) == 2 && states[1] == "mature" && states[0] == "replaced" {
		states[1] = "inbound-only"
	}
	return states
}

// 2. Regular rekey whose key exchange takes its time: a repeated request
// meanwhile is not worked on twice.
//
//	x                             y
//	REKEY_SA, SA, Ni, KE  ------->  ...
//	(repeated)            ------->  ...
//	                      <-------  SA, Nr, KE
//	D(old)                ------->
func TestChildRekey02_SlowKeyExchange(t *testing.T) {
	bothRoles(t, func(t *testing.T, p *play, x, y *actor) {
		x.rekeyChild()
		y.slow[ike.JobKeyExchange] = true
		request := x.take("rekey-child")
		x.hand(request, "rekey-child")
		x.hand(request, "rekey-child")
		require.Len(t, y.held, 1)
		y.release()
		require.Equal(t, []string{"rekey-child:ok"}, y.waiting())
		x.slow[ike.JobKeyExchange] = true
		y.sends("rekey-child:ok")
		require.Empty(t, x.waiting())
		x.release()
		x.sends("delete-child")
		y.sends("delete-child:ok")
		require.Equal(t, x.name, p.rekeyedOnce())
		require.EqualValues(t, spd.KECurve25519, p.A.child().Proposal.KeyExchange())
	}, withPFS("x25519", "x25519"))
}

// 3. The responder wants another group.
//
//	x                             y
//	REKEY_SA, KE(X25519)  ------->
//	                      <-------  N(INVALID_KE_PAYLOAD, P-256)
//	REKEY_SA, KE(P-256)   ------->
//	                      <-------  SA, Nr, KE
//	D(old)                ------->
func TestChildRekey03_InvalidKE(t *testing.T) {
	run := func(t *testing.T, p *play, x, y *actor) {
		x.rekeyChild()
		x.sends("rekey-child")
		require.Equal(t, []string{"mature"}, y.childStates())
		y.sends("rekey-child:INVALID_KE_PAYLOAD")
		x.sends("rekey-child")
		y.sends("rekey-child:ok")
		x.sends("delete-child")
		y.sends("delete-child:ok")
		require.Equal(t, x.name, p.rekeyedOnce())
		require.EqualValues(t, spd.KEECP256, p.A.child().Proposal.KeyExchange())
	}
	t.Run("initiator", func(t *testing.T) {
		plays(t, func(t *testing.T, p *play) { run(t, p, p.A, p.B) }, withPFS("x25519-ecp256", "ecp256"))
	})
	t.Run("responder", func(t *testing.T) {
		plays(t, func(t *testing.T, p *play) { run(t, p, p.B, p.A) }, withPFS("ecp256", "x25519-ecp256"))
	})
}

// 4. The same with a slow key exchange at both sides.
func TestChildRekey04_InvalidKESlow(t *testing.T) {
	plays(t, func(t *testing.T, p *play) {
		p.A.slow[ike.JobKeyExchange] = true
		p.A.rekeyChild()
		require.Empty(t, p.A.waiting())
		p.A.release()
		p.A.sends("rekey-child")
		p.A.slow[ike.JobKeyExchange] = true
		p.B.sends("rekey-child:INVALID_KE_PAYLOAD")
		require.Empty(t, p.A.waiting())
		p.A.release()
		p.B.slow[ike.JobKeyExchange] = true
		p.A.sends("rekey-child")
		p.B.release()
		p.B.sends("rekey-child:ok")
		p.A.sends("delete-child")
		p.B.sends("delete-child:ok")
		require.Equal(t, "A", p.rekeyedOnce())
	}, withPFS("x25519-ecp256", "ecp256"))
}

// 5. The responder's soft lifetime ends while it waits for the Delete of the
// old SA: it does not rekey what is replaced.
//
//	A                             B
//	REKEY_SA              ------->
//	                      <-------  SA, Nr
//	                                soft expire of the old SA: nothing
//	D(old)                ------->
func TestChildRekey05_ResponderIgnoresSoftExpire(t *testing.T) {
	plays(t, func(t *testing.T, p *play) {
		p.A.rekeyChild()
		p.A.sends("rekey-child")
		require.NoError(t, p.B.plane.Expire(inbound(p.B, p.oldB), false))
		p.after("soft expire at B")
		require.Equal(t, []string{"rekey-child:ok"}, p.B.waiting())
		p.B.sends("rekey-child:ok")
		require.NoError(t, p.B.plane.Expire(inbound(p.B, p.oldB), false))
		p.after("soft expire at B")
		require.Empty(t, p.B.waiting())
		p.A.sends("delete-child")
		p.B.sends("delete-child:ok")
		require.Equal(t, "A", p.rekeyedOnce())
	})
}

func inbound(a *actor, c ike.ChildSPIs) spd.SAID {
	return spd.SAID{Direction: spd.In, Protocol: spd.ProtoESP, SPI: c.In, Dst: a.addr.Addr()}
}

// 6. The responder's hard lifetime ends while it waits for the Delete: it
// deletes the old SA itself and uses the new one.
//
//	A                             B
//	REKEY_SA              ------->
//	         /-----------<--------  SA, Nr (delayed)
//	         |            <-------  hard expire: D(old)
//	         |            ------->
//	<--------/
func TestChildRekey06_ResponderHandlesHardExpire(t *testing.T) {
	plays(t, func(t *testing.T, p *play) {
		p.A.rekeyChild()
		p.A.sends("rekey-child")
		p.traffic = false // B's old inbound SA has expired, A has no other
		require.NoError(t, p.B.plane.Expire(inbound(p.B, p.oldB), true))
		p.after("hard expire at B")
		p.B.sends("rekey-child:ok")
		p.B.sends("delete-child")
		p.A.sends("delete-child")
		p.A.sends("delete-child:ok")
		p.B.sends("delete-child:ok")
		require.Equal(t, "A", p.rekeyedOnce())
	})
	plays(t, func(t *testing.T, p *play) {
		p.A.rekeyChild()
		p.A.sends("rekey-child")
		p.traffic = false
		require.NoError(t, p.B.plane.Expire(inbound(p.B, p.oldB), true))
		p.after("hard expire at B")
		p.B.sends("delete-child")
		p.A.sends("delete-child:ok")
		p.B.sends("rekey-child:ok")
		require.Equal(t, "A", p.rekeyedOnce())
	})
}

// 7. Somebody deletes the new SA at the responder before the old one is
// deleted: both go.
//
//	A                             B
//	REKEY_SA              ------->
//	                      <-------  SA, Nr
//	D(old)                -\   /--  D(new)
//	                      <-\-/---
//	D(new)                --/-\-->
//	                        \---->
func TestChildRekey07_ResponderDeletesNewSA(t *testing.T) {
	plays(t, func(t *testing.T, p *play) {
		p.traffic = false
		p.A.rekeyChild()
		p.A.sends("rekey-child")
		p.B.deleteChild()
		p.B.sends("rekey-child:ok")
		p.B.sends("delete-child")
		p.A.sends("delete-child")
		p.A.sends("delete-child:ok")
		p.B.sends("delete-child:ok")
		p.lost()
	})
}

// 8. The responder has lost the SA: it says so, and the initiator makes a new
// one in place of the one that is of no use.
//
//	A                             B
//	REKEY_SA              ------->
//	                      <-------  N(CHILD_SA_NOT_FOUND)
//	SA, Ni, TS            ------->
//	                      <-------  SA, Nr, TS
func TestChildRekey08_ResponderLostSA(t *testing.T) {
	plays(t, func(t *testing.T, p *play) {
		p.traffic = false
		s := p.B.session()
		s.Children.Remove(p.now, s.Children.All()[0], ike.DownFailed, nil, false)
		p.work()
		p.A.rekeyChild()
		p.A.sends("rekey-child")
		p.B.sends("rekey-child:CHILD_SA_NOT_FOUND")
		p.A.sends("create-child")
		p.B.sends("create-child:ok")
		p.pass(15 * time.Second)
		p.converged(1)
		require.Len(t, find[ike.ChildDown](p.A.happened), 1)
		require.Len(t, find[ike.ChildUp](p.A.happened), 1)
		require.Len(t, find[ike.ChildUp](p.B.happened), 1)
		require.Empty(t, find[ike.ChildRekeyed](p.A.happened))
	})
}

// 9. A responder that deletes the old SA itself, although there was no
// collision, and whose Delete overtakes its answer: the new SA is kept.
//
//	A                             B
//	REKEY_SA              ------->
//	         /-----------<--------  SA, Nr
//	         |            <-------  D(old), which is A's to send
//	D(old)   |            ------->
//	<--------/
func TestChildRekey09_IncorrectDelete(t *testing.T) {
	plays(t, func(t *testing.T, p *play) {
		p.A.rekeyChild()
		p.A.sends("rekey-child")
		p.traffic = false // the peer's fault opens a gap
		p.B.incorrectDelete(p.oldB)
		p.B.sends("delete-child")
		p.A.sends("delete-child:ok")
		p.B.sends("rekey-child:ok")
		require.Equal(t, "A", p.rekeyedOnce())
	})
}

// incorrectDelete makes an endpoint delete a replaced SA that is the peer's to
// delete.
func (a *actor) incorrectDelete(old ike.ChildSPIs) {
	s := a.session()
	c := s.Children.ByInbound(spd.ProtoESP, old.In)
	c.State = child.Mature
	s.StartDelete(a.s.now, c, ike.DownReplaced)
	a.s.after(a.name + " deletes what is not its to delete")
}

// 10. The Delete of the old SA is never answered: the session ends, and each
// side is told once of the end of the Child SA.
//
//	A                             B
//	REKEY_SA              ------->
//	                      <-------  SA, Nr
//	D(old)                --- x
//	D(old)                --- x
//	(gives up)
func TestChildRekey10_DeleteTimeout(t *testing.T) {
	plays(t, func(t *testing.T, p *play) {
		p.A.rekeyChild()
		p.A.sends("rekey-child")
		p.B.sends("rekey-child:ok")
		p.traffic = false
		for range 100 {
			p.A.out = nil
			p.tick(3 * time.Second)
			p.B.out = nil
		}
		require.Empty(t, p.A.sessions)
		require.Len(t, find[ike.ChildDown](p.A.happened), 1, "%+v", p.A.happened)
		require.Len(t, find[ike.ChildRekeyed](p.A.happened), 1)
		require.Len(t, find[ike.SessionDown](p.A.happened), 1)
		require.Equal(t, ike.DownDead, find[ike.SessionDown](p.A.happened)[0].Reason)
		require.Empty(t, p.A.plane.Leaks())
		require.Empty(t, p.B.sessions)
		require.Len(t, find[ike.ChildDown](p.B.happened), 1, "%+v", p.B.happened)
		p.gone()
	})
}

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

// 24. One side deletes the Child SA that the other rekeys.
//
//	x                             y
//	REKEY_SA              -\   /--  D(old)
//	                      --\-/-->  N(TEMPORARY_FAILURE)
//	D(old)                <--/ /--
//	                      ----/-->
//	                      <--/
func TestChildRekey24_CollisionWithDelete(t *testing.T) {
	bothRoles(t, func(t *testing.T, p *play, x, y *actor) {
		p.traffic = false
		x.rekeyChild()
		y.deleteChild()
		x.sends("rekey-child")
		y.sends("delete-child")
		x.sends("delete-child:ok")
		y.sends("rekey-child:TEMPORARY_FAILURE")
		p.lost()
	})
}

// 25. The same with slow work on either side.
func TestChildRekey25_CollisionWithDeleteSlow(t *testing.T) {
	// The rekeying side is not ready to send: its request never leaves.
	bothRoles(t, func(t *testing.T, p *play, x, y *actor) {
		p.traffic = false
		x.slow[ike.JobKeyExchange] = true
		x.rekeyChild()
		y.deleteChild()
		y.sends("delete-child")
		x.release()
		require.Equal(t, []string{"delete-child:ok"}, x.waiting())
		x.sends("delete-child:ok")
		p.lost()
	}, withPFS("x25519", "x25519"))
	// The deleting side is told to delete while it works on the rekey.
	bothRoles(t, func(t *testing.T, p *play, x, y *actor) {
		p.traffic = false
		y.slow[ike.JobKeyExchange] = true
		x.rekeyChild()
		x.sends("rekey-child")
		y.deleteChild()
		y.sends("delete-child")
		y.release()
		x.sends("delete-child:ok")
		p.pass(time.Second)
		p.lost()
	}, withPFS("x25519", "x25519"))
	// It is told after it has installed the new one: 28.
}

// 26. The Delete is delayed, so that the rekeying side does not know why it is
// refused; it tries again later, and finds nothing to rekey.
//
//	x                             y
//	REKEY_SA              -\   /--  D(old) (delayed)
//	                      --\-/-->  N(TEMPORARY_FAILURE)
//	                      <--/---
//	                      <-/
//	D(old)                ------->
func TestChildRekey26_CollisionDeleteDelayed(t *testing.T) {
	bothRoles(t, func(t *testing.T, p *play, x, y *actor) {
		p.traffic = false
		x.rekeyChild()
		y.deleteChild()
		x.sends("rekey-child")
		y.sends("rekey-child:TEMPORARY_FAILURE")
		require.Equal(t, []string{"mature"}, x.childStates())
		y.sends("delete-child")
		x.sends("delete-child:ok")
		p.lost()
	})
	// It is lost altogether, and sent again.
	bothRoles(t, func(t *testing.T, p *play, x, y *actor) {
		p.traffic = false
		x.rekeyChild()
		y.deleteChild()
		x.sends("rekey-child")
		y.sends("rekey-child:TEMPORARY_FAILURE")
		y.loses("delete-child")
		p.lost()
	})
}

// 27. The rekey is delayed, so that the deleting side does not know.
//
//	x                             y
//	REKEY_SA              -\   /--  D(old)
//	D(old)                <-\-/---
//	                      ---\--->
//	                          \-->  N(CHILD_SA_NOT_FOUND)
func TestChildRekey27_CollisionRekeyDelayed(t *testing.T) {
	bothRoles(t, func(t *testing.T, p *play, x, y *actor) {
		p.traffic = false
		x.rekeyChild()
		y.deleteChild()
		y.sends("delete-child")
		x.sends("delete-child:ok")
		x.sends("rekey-child")
		y.sends("rekey-child:CHILD_SA_NOT_FOUND")
		p.lost()
	})
}

// 28. The responder deletes the new SA, and its Delete overtakes its answer:
// the initiator does not know the SA yet.
//
//	x                             y
//	REKEY_SA              ------->
//	             /-------<--------  SA, Nr (delayed)
//	(unknown)    |        <-------  D(new)
//	             |        ------->
//	<-----------/
//	D(old)                ------->
func TestChildRekey28_DeleteBeforeDelayedResponse(t *testing.T) {
	bothRoles(t, func(t *testing.T, p *play, x, y *actor) {
		p.traffic = false
		x.rekeyChild()
		x.sends("rekey-child")
		y.deleteChild()
		y.sends("delete-child")
		x.sends("delete-child:ok")
		y.sends("rekey-child:ok")
		p.lost()
	})
}

// 29. One side rekeys the Child SA, the other the IKE SA (RFC 7296 2.25.2):
// both are refused for now, and try again.
//
//	x                             y
//	REKEY_SA (Child)      -\   /--  SA (IKE), KE
//	                      --\-/-->  N(TEMPORARY_FAILURE)
//	N(TEMPORARY_FAILURE)  <--/ /--
func TestChildRekey29_CollisionWithIKERekey(t *testing.T) {
	bothRoles(t, func(t *testing.T, p *play, x, y *actor) {
		x.rekeyChild()
		y.rekeyIKE()
		x.sends("rekey-child")
		y.sends("rekey-ike")
		y.sends("rekey-child:TEMPORARY_FAILURE")
		x.sends("rekey-ike:TEMPORARY_FAILURE")
		require.Empty(t, x.waiting())
		require.Empty(t, y.waiting())
		require.Equal(t, []string{"mature"}, x.childStates())
		p.pass(time.Minute)
		p.converged(1)
		for _, a := range []*actor{x, y} {
			require.Len(t, find[ike.ChildRekeyed](a.happened), 1, "%+v", a.happened)
			require.Len(t, find[ike.SessionRekeyed](a.happened), 1, "%+v", a.happened)
			require.Len(t, a.happened, 2)
		}
	})
}

// 30. One side rekeys the Child SA, the other deletes the IKE SA.
//
//	x                             y
//	REKEY_SA              -\   /--  D(IKE)
//	                      --\-/-->  N(TEMPORARY_FAILURE)
//	                      <--/ /--
//	                      ----/-->
//	(gone)                <--/
func TestChildRekey30_CollisionWithIKEDelete(t *testing.T) {
	bothRoles(t, func(t *testing.T, p *play, x, y *actor) {
		p.traffic = false
		x.rekeyChild()
		y.deleteIKE()
		x.sends("rekey-child")
		y.sends("delete-ike")
		x.sends("delete-ike:ok")
		y.sends("rekey-child:" + message.NotifyTemporaryFailure.String())
		p.pass(2 * time.Minute)
		p.gone()
		for _, a := range []*actor{x, y} {
			require.Len(t, find[ike.SessionDown](a.happened), 1)
			require.Len(t, find[ike.ChildDown](a.happened), 1, "%+v", a.happened)
			require.Len(t, a.happened, 2, "%+v", a.happened)
		}
	})
}
