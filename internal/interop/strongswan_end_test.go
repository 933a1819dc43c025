//go:build linux

package interop

import (
	"context"
	"net/netip"
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

// mortal is for a peer that will be gone: that is found out after 8 seconds. One
// that is slow has answered by then.
var mortal = ike.Timing{Liveness: time.Second, RetransmitBase: 500 * time.Millisecond, RetransmitTries: 7, RetransmitMax: time.Second}

// A peer that is gone without a word: liveness finds out, and a peer that must
// be up is called again until it is back.
func TestStrongSwanKilled(t *testing.T) {
	t.Parallel()
	s := newSwan(t)
	s.Peer.Start = racoon.StartAlways
	s.Peer.Backoff, s.Peer.BackoffMax = 100*time.Millisecond, 500*time.Millisecond
	s.Peer.Timing = mortal
	s.start()
	s.session()
	s.agree()
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
	s.Peer.Timing = mortal
	s.Swan.Conns[0].DPDDelay = time.Second
	s.Swan.Charon += "\nretransmit_tries = 5" // 6 seconds in all
	session := s.up(weInitiate)
	s.agree()
	alive := func() time.Time {
		st, err := session.Stats(t.Context())
		require.NoError(t, err)
		return st.LastAlive
	}
	for range 3 { // while nothing else is said
		before := alive()
		s.until("another sign of life", func() bool { return alive().After(before) })
	}
	s.peer.WaitLog(`(?s)parsed INFORMATIONAL re(quest|sponse) \d+ \[ \].*parsed INFORMATIONAL re(quest|sponse) \d+ \[ \]`, patience)
	require.NoError(t, session.Err())
	s.agree()
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
		s.reachFirst(s.a, s.a.Inner, s.b, netip.AddrPortFrom(s.b.Inner, 0)) // the first packets wait for the SA
		s.agree()
	})
	t.Run("our packet, again after their delete", func(t *testing.T) {
		s := newSwan(t)
		s.Peer.Start = racoon.StartTrap
		s.start()
		s.reachFirst(s.a, s.a.Inner, s.b, netip.AddrPortFrom(s.b.Inner, 0))
		s.peer.TerminateIKE("lab")
		waitEvent[ike.SessionDown](s.host, 1)
		s.until("no SA", func() bool { return len(s.plane.installed()) == 0 })
		s.reachFirst(s.a, s.a.Inner, s.b, netip.AddrPortFrom(s.b.Inner, 0))
		s.agree()
	})
}
