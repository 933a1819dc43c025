package ikev2

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/child"
	"github.com/racoon3/racoon/spd"
)

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
