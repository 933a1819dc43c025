//go:build linux

package interop

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/lab"
)

func none(sas []lab.StrongSwanSA) bool { return len(sas) == 0 }

// Either side deletes the session; nothing is left on the other.
func TestStrongSwanDelete(t *testing.T) {
	t.Parallel()
	forRoles(t, func(t *testing.T, r role) {
		for _, deleter := range []string{"we", "they"} {
			t.Run(deleter+" delete", func(t *testing.T) {
				s := newSwan(t)
				session := s.up(r)
				s.traffic()
				reason := ike.DownLocal
				if deleter == "we" {
					require.NoError(t, session.Delete(s.within()))
				} else {
					reason = ike.DownRemote
					s.peer.TerminateIKE("lab")
				}
				ev := waitEvent[ike.SessionDown](s.host, 1)
				require.Equal(t, reason, ev.Reason)
				down := waitEvent[ike.ChildDown](s.host, 1)
				require.Equal(t, reason, down.Reason)
				require.Equal(t, uint64(6), down.In.Packets)
				require.Equal(t, uint64(6), down.Out.Packets)
				s.peer.WaitSAs(patience, "none", none)
				s.until("no SA", func() bool { return len(s.plane.installed()) == 0 })
				n, _ := s.a.Ping(s.a.Inner, s.b.Inner, 1, 56)
				require.Zero(t, n)
			})
		}
	})
}

// Shutdown deletes what is there; strongSwan is told.
func TestStrongSwanShutdown(t *testing.T) {
	t.Parallel()
	s := newSwan(t)
	s.up(theyInitiate)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.NoError(t, s.Shutdown(ctx))
	s.peer.WaitSAs(patience, "none", none)
	require.Empty(t, s.plane.installed())
}

// A peer that is gone without a word: liveness finds out, and a peer that must
// be up is called again until it is back.
func TestStrongSwanKilled(t *testing.T) {
	t.Parallel()
	s := newSwan(t)
	s.Peer.Start = racoon.StartAlways
	s.Peer.Backoff, s.Peer.BackoffMax = 100*time.Millisecond, 500*time.Millisecond
	s.Peer.Timing = ike.Timing{Liveness: time.Second, RetransmitBase: 100 * time.Millisecond, RetransmitTries: 3, RetransmitMax: 200 * time.Millisecond}
	s.start()
	s.session()
	s.traffic()
	s.peer.Kill()
	ev := waitEvent[ike.SessionDown](s.host, 1)
	require.Equal(t, ike.DownDead, ev.Reason)
	waitEvent[ike.SessionFailed](s.host, 1)
	s.peer = lab.StartStrongSwan(t, s.b.Namespace, s.Swan)
	waitEvent[ike.SessionUp](s.host, 2)
	s.agree()
	s.traffic()
}

// We are gone without a word, and strongSwan finds out; and as long as both are
// there, each answers the other's liveness checks.
func TestStrongSwanLiveness(t *testing.T) {
	t.Parallel()
	s := newSwan(t)
	s.Peer.Timing = ike.Timing{Liveness: time.Second, RetransmitBase: 200 * time.Millisecond, RetransmitTries: 3, RetransmitMax: 200 * time.Millisecond}
	s.Swan.Conns[0].DPDDelay = time.Second
	s.Swan.Charon += "\nretransmit_tries = 1\nretransmit_timeout = 0.5"
	session := s.up(weInitiate)
	time.Sleep(2500 * time.Millisecond)
	require.NoError(t, session.Err())
	s.agree()
	st, err := session.Stats(t.Context())
	require.NoError(t, err)
	require.WithinDuration(t, time.Now(), st.LastAlive, 1500*time.Millisecond)
	s.a.IP("link set out0 down")
	s.peer.WaitSAs(patience, "none", none)
	ev := waitEvent[ike.SessionDown](s.host, 1)
	require.Equal(t, ike.DownDead, ev.Reason)
	require.Empty(t, eventsOf[ike.SessionFailed](s.host))
}

// A peer that was restarted calls us: INITIAL_CONTACT replaces what we had.
func TestStrongSwanRestarted(t *testing.T) {
	t.Parallel()
	s := newSwan(t)
	s.up(theyInitiate)
	s.peer.Kill()
	s.peer = lab.StartStrongSwan(t, s.b.Namespace, s.Swan)
	require.NoError(t, s.peer.Initiate("net"))
	ev := waitEvent[ike.SessionDown](s.host, 1)
	require.Equal(t, ike.DownReplaced, ev.Reason)
	s.agree()
	s.traffic()
	s.peer.TerminateIKE("lab") // the new daemon ends before our side does
	waitEvent[ike.SessionDown](s.host, 2)
}

// A packet that needs it brings the session up, on either side.
func TestStrongSwanAcquire(t *testing.T) {
	t.Parallel()
	t.Run("our packet", func(t *testing.T) {
		s := newSwan(t)
		s.Peer.Start = racoon.StartTrap
		s.start()
		s.reach(s.a, s.a.Inner, s.b, s.b.Inner) // the first packets wait for the SA
		s.agree()
	})
	t.Run("our packet, again after their delete", func(t *testing.T) {
		s := newSwan(t)
		s.Peer.Start = racoon.StartTrap
		s.start()
		s.reach(s.a, s.a.Inner, s.b, s.b.Inner)
		s.peer.TerminateIKE("lab")
		waitEvent[ike.SessionDown](s.host, 1)
		s.until("no SA", func() bool { return len(s.plane.installed()) == 0 })
		s.reach(s.a, s.a.Inner, s.b, s.b.Inner)
		s.agree()
	})
}
