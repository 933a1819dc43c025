package ikev2

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev2/message"
)

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
