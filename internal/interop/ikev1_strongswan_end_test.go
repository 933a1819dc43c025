//go:build linux

package interop

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/lab"
)

// Either side deletes the session, or the Child SA alone.
func TestIKEv1StrongSwanDelete(t *testing.T) {
	t.Parallel()
	for _, deleter := range []string{"we", "they"} {
		t.Run(deleter+" delete", func(t *testing.T) {
			s := newSwanV1(t)
			session := s.upV1(weInitiate)
			s.traffic()
			reason := ike.DownLocal
			if deleter == "we" {
				require.NoError(t, session.Delete(s.within()))
			} else {
				reason = ike.DownRemote
				s.peer.TerminateIKE("lab")
			}
			require.Equal(t, reason, waitEvent[ike.SessionDown](s.host, 1).Reason)
			down := waitEvent[ike.ChildDown](s.host, 1)
			require.Equal(t, uint64(6), down.In.Packets)
			s.peer.WaitSAs(patience, "none", none)
			s.until("no SA", func() bool { return len(s.plane.installed()) == 0 })
		})
		t.Run(deleter+" delete the Child SA", func(t *testing.T) {
			s := newSwanV1(t)
			session := s.upV1(theyInitiate)
			s.traffic()
			if deleter == "we" {
				require.NoError(t, session.DeleteChild(s.within(), session.ChildSAs()[0].ID))
			} else {
				s.peer.TerminateChild("net")
			}
			waitEvent[ike.ChildDown](s.host, 1)
			s.until("no SA", func() bool { return len(s.plane.installed()) == 0 })
			require.Empty(t, s.agree().Children)
			require.NoError(t, session.Err())
			require.NoError(t, session.CreateChild(s.within(), "net"))
			s.agree()
			s.traffic()
		})
	}
}

// DPD: a peer that is gone without a word is found out, on either side, and one
// that answers is not.
func TestIKEv1StrongSwanDPD(t *testing.T) {
	t.Parallel()
	// Of strongSwan's log, whoever has asked.
	const answeredTwice = `(?s)N\(DPD\).*N\(DPD_ACK\).*N\(DPD\).*N\(DPD_ACK\)`
	t.Run("they are killed", func(t *testing.T) {
		s := newSwanV1(t)
		s.Peer.Start = racoon.StartAlways
		s.Peer.Backoff, s.Peer.BackoffMax = 100*time.Millisecond, 500*time.Millisecond
		s.Peer.Timing = mortal
		s.start()
		s.session()
		s.agree()
		s.traffic()
		s.peer.WaitLog(answeredTwice, patience)
		require.Empty(t, eventsOf[ike.SessionDown](s.host), "it answered")
		s.peer.Kill()
		require.Equal(t, ike.DownDead, waitEvent[ike.SessionDown](s.host, 1).Reason)
		s.peer = lab.StartStrongSwan(t, s.b.Namespace, s.Swan)
		waitEvent[ike.SessionUp](s.host, 2)
		s.agree()
		s.traffic()
	})
	t.Run("we are gone", func(t *testing.T) {
		s := newSwanV1(t)
		s.Peer.Timing = ike.Timing{Liveness: -1}
		s.Swan.Conns[0].DPDDelay, s.Swan.Conns[0].DPDTimeout = time.Second, 8*time.Second
		session := s.upV1(theyInitiate)
		s.peer.WaitLog(answeredTwice, patience)
		require.NoError(t, session.Err())
		s.agree()
		s.a.IP("link set out0 down")
		s.peer.WaitSAs(patience, "none", none)
	})
}

// A peer that was restarted calls us: INITIAL-CONTACT replaces what we had.
func TestIKEv1StrongSwanRestarted(t *testing.T) {
	t.Parallel()
	s := newSwanV1(t)
	s.upV1(theyInitiate)
	s.peer.Kill()
	s.peer = lab.StartStrongSwan(t, s.b.Namespace, s.Swan)
	require.NoError(t, s.peer.Initiate("net"))
	require.Equal(t, ike.DownReplaced, waitEvent[ike.SessionDown](s.host, 1).Reason)
	s.agree()
	s.traffic()
	s.peer.TerminateIKE("lab")
	waitEvent[ike.SessionDown](s.host, 2)
}

// Our packet brings the session up; and again after a delete.
func TestIKEv1StrongSwanAcquire(t *testing.T) {
	t.Parallel()
	s := newSwanV1(t)
	s.Peer.Start = racoon.StartTrap
	s.start()
	for i := range 2 {
		// The packets wait for the SA, and may come before strongSwan has it.
		_, _ = s.a.Ping(s.a.Inner, s.b.Inner, 1, 56)
		waitEvent[ike.SessionUp](s.host, i+1)
		s.agree()
		s.traffic()
		s.peer.TerminateIKE("lab")
		waitEvent[ike.SessionDown](s.host, i+1)
		s.until("no SA", func() bool { return len(s.plane.installed()) == 0 })
	}
}
