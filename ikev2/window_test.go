package ikev2

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
)

// quiet turns off what begins exchanges by itself.
func quiet(a, b *Peer, _, _ *Config) {
	for _, p := range []*Peer{a, b} {
		p.Timing.Liveness, p.Timing.Rekey = -1, -1
		p.Children[0].Rekey = -1
	}
}

func (a *actor) checkLiveness() {
	a.s.t.Helper()
	require.NoError(a.s.t, a.CheckLiveness(a.s.now, a.session().ID))
	a.s.work()
}

// TestMessageIDsNearTheEnd: long before the message IDs of either side's
// requests come to an end, the IKE SA is replaced, and counting begins anew
// (RFC 7296 2.2).
func TestMessageIDsNearTheEnd(t *testing.T) {
	for _, side := range []string{"A", "B"} {
		s := newScene(t, quiet).establish()
		x, y := s.A, s.B
		if side == "B" {
			x, y = s.B, s.A
		}
		x.session().current.sendID, y.session().current.recvID = rekeyID-1, rekeyID-1
		x.checkLiveness()
		s.flush()
		s.pass(time.Minute)
		s.converged(1)
		require.Len(t, find[ike.SessionRekeyed](x.happened), 1)
		require.Less(t, x.session().current.sendID+y.session().current.recvID, uint32(10))
	}
}

// TestMessageIDsDoNotWrap: if the rekey does not come about, it is tried again,
// and at the very end there is no exchange any more: an old message could be
// replayed.
func TestMessageIDsDoNotWrap(t *testing.T) {
	s := newScene(t, quiet).establish()
	s.A.session().current.sendID, s.B.session().current.recvID = lastID-2, lastID-2
	s.A.checkLiveness()
	s.flush()
	require.Len(t, s.A.sessions, 1)
	require.EqualValues(t, lastID-1, s.A.session().current.sendID)
	s.A.checkLiveness()
	s.flush()
	for _, a := range []*actor{s.A, s.B} {
		down := find[ike.SessionDown](a.happened)
		require.Len(t, down, 1)
		require.Equal(t, ike.DownExpired, down[0].Reason)
		require.ErrorIs(t, down[0].Err, errNoIDs)
	}
	s.pass(time.Minute)
	s.gone()
}

// TestPeerThatAsksIsAlive: a peer whose requests arrive is not given up, although
// ours, or the answers, get lost for a long time; but not waited for for ever.
func TestPeerThatAsksIsAlive(t *testing.T) {
	s := newScene(t, quiet).establish()
	lost := func() { s.B.out = nil }
	s.B.rekeyIKE()
	lost()
	begin := s.now
	for range 10 { // minutes
		for range 6 {
			s.tick(10 * time.Second)
			lost()
		}
		s.A.checkLiveness()
		s.A.sends("liveness")
		for len(s.B.out) > 0 {
			if tx := s.B.out[0]; s.B.kind(tx) == "liveness:ok" {
				s.B.sends("liveness:ok")
				break
			}
			s.B.out = s.B.out[1:]
		}
		require.Len(t, s.B.sessions, 1, "after %v", s.now.Sub(begin))
	}
	s.pass(time.Minute) // the way is free
	s.converged(1)
	require.Len(t, find[ike.SessionRekeyed](s.B.happened), 1)

	s.B.checkLiveness() // one that never answers
	lost()
	for i := 0; len(s.B.sessions) > 0; i++ {
		require.Less(t, i, 2*maxRevived)
		for range 6 {
			s.tick(10 * time.Second)
			lost()
		}
		if len(s.B.sessions) == 0 {
			break
		}
		s.A.checkLiveness()
		s.A.sends("liveness")
		if len(s.B.sessions) > 0 {
			s.B.sends("liveness:ok")
		}
		lost()
	}
	require.IsType(t, &TimeoutError{}, find[ike.SessionDown](s.B.happened)[0].Err)
}

// TestFirstReplyIsForgotten: the response to IKE_AUTH, large with certificates,
// is repeated as long as the peer may need it, and not kept for ever.
func TestFirstReplyIsForgotten(t *testing.T) {
	setup := func() *scene {
		s := newScene(t, quiet)
		s.initiate()
		s.A.sends("init")
		s.B.sends("init:ok")
		s.A.sends("auth")
		s.B.loses("auth:ok")
		require.NotNil(t, s.B.session().current.reply)
		return s
	}
	// Lost for as long as the peer asks.
	s := setup()
	for len(s.A.sessions) == 1 && len(find[ike.SessionUp](s.A.happened)) == 0 {
		s.tick(time.Second)
		if len(s.A.out) == 0 {
			continue
		}
		s.A.sends("auth")
		if s.now.Sub(time.Unix(1_700_000_000, 0)) < 15*time.Second {
			s.B.loses("auth:ok")
		} else {
			s.B.sends("auth:ok")
		}
	}
	s.pass(time.Second)
	s.converged(1)

	// Its own request replaces it.
	s.A.checkLiveness()
	s.flush()
	require.Less(t, size(s.B.session().current.reply), 100)

	// The peer answers: it has the response.
	s = setup()
	s.pass(10 * time.Second)
	s.converged(1)
	require.Greater(t, size(s.B.session().current.reply), 100)
	s.B.checkLiveness()
	s.flush()
	require.Nil(t, s.B.session().current.reply)

	// Nobody ever says anything.
	s = setup()
	s.pass(10 * time.Second)
	s.pass(keepReply - 11*time.Second)
	require.NotNil(t, s.B.session().current.reply)
	s.pass(2 * time.Second)
	require.Nil(t, s.B.session().current.reply)
	require.False(t, s.B.session().current.retransmit.Active())
	s.A.checkLiveness()
	s.flush()
	s.converged(1)
}

func size(packets [][]byte) (n int) {
	for _, p := range packets {
		n += len(p)
	}
	return n
}

// noAddresses is an assigner that must not be asked.
type noAddresses struct{}

func (a noAddresses) Assign(context.Context, ike.AddressRequest) (*ike.NetworkConfig, error) {
	return nil, fmt.Errorf("asked for an address")
}

func (a noAddresses) Release(context.Context, ike.AddressRequest, *ike.NetworkConfig) {}

// TestAddressRequired: a gateway that demands an address request refuses the
// Child SA without one, and says so; the IKE SA is up (RFC 7296 1.2, 2.19).
func TestAddressRequired(t *testing.T) {
	for name, request := range map[string]*ike.ConfigRequest{"no request": nil, "no address": {DNS: true, Domains: true}} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, quiet, func(a, b *Peer, _, _ *Config) {
				a.Request, b.Assign, b.RequireAddress = request, noAddresses{}, true
			}).initiate()
			s.flush()
			for _, a := range []*actor{s.A, s.B} {
				require.Len(t, find[ike.SessionUp](a.happened), 1)
				failed := find[ike.ChildFailed](a.happened)
				require.Len(t, failed, 1)
				require.ErrorContains(t, failed[0].Err, "FAILED_CP_REQUIRED")
				require.Zero(t, a.session().Children.Len())
			}
			s.pass(time.Second)
			s.converged(0)
		})
	}
}
