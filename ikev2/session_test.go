package ikev2

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/spd"
)

// steps counts the steps of a kind, after a mark.
func (s *scene) count(step string, from int) (n int) {
	for _, x := range s.steps[from:] {
		if x == step {
			n++
		}
	}
	return n
}

// Liveness checks are for idle peers: packets that arrive are proof enough.
func TestLivenessSuppressedByTraffic(t *testing.T) {
	s := newScene(t).establish()
	mark := len(s.steps)
	for range 60 {
		s.pass(5 * time.Second)
		s.flow()
	}
	require.Zero(t, s.count("A --liveness--> B", mark))
	require.Zero(t, s.count("B --liveness--> A", mark))
	mark = len(s.steps)
	s.pass(5 * time.Minute)
	n := s.count("A --liveness--> B", mark) + s.count("B --liveness--> A", mark)
	require.GreaterOrEqual(t, n, 8)
	require.LessOrEqual(t, n, 22)

	// Traffic in one direction proves the sender to the receiver only.
	s = newScene(t).establish()
	mark = len(s.steps)
	for range 60 {
		s.pass(5 * time.Second)
		s.A.plane.Send(s.B.plane, testFlow, 100)
	}
	require.NotZero(t, s.count("A --liveness--> B", mark))
	require.Zero(t, s.count("B --liveness--> A", mark))
}

func TestLivenessOff(t *testing.T) {
	s := newScene(t, func(a, b *Peer, _, _ *Config) { a.Timing.Liveness, b.Timing.Liveness = -1, -1 }).establish()
	mark := len(s.steps)
	s.pass(20 * time.Minute)
	require.Len(t, s.steps, mark)
}

// Break before make: the session ends and says why; who drives the core begins
// the next.
func TestReauthenticationBreakBeforeMake(t *testing.T) {
	s := newScene(t, func(a, _ *Peer, _, _ *Config) { a.Timing.Reauth = time.Hour }).establish()
	s.pass(50 * time.Minute)
	require.Len(t, s.A.sessions, 1)
	s.pass(11 * time.Minute)
	down := find[ike.SessionDown](s.A.happened)
	require.Len(t, down, 1)
	require.Equal(t, ike.DownReauth, down[0].Reason)
	require.Equal(t, ike.DownRemote, find[ike.SessionDown](s.B.happened)[0].Reason)
	s.pass(2 * time.Minute)
	s.gone()
}

// Make before break: a second session stands before the first one goes.
func TestReauthenticationMakeBeforeBreak(t *testing.T) {
	s := newScene(t, func(a, _ *Peer, _, _ *Config) { a.Timing.Reauth, a.MakeBeforeBreak = time.Hour, true }).establish()
	old := s.A.session().ID
	s.traffic = true
	s.pass(61 * time.Minute)
	need := find[ike.ReauthNeeded](s.A.happened)
	require.NotEmpty(t, need)
	require.Equal(t, old, need[0].Session)
	require.Len(t, s.A.sessions, 1)
	id, err := s.A.Initiate(s.now, Initiation{Peer: s.A.peer, Path: pathAB(), Replaces: old})
	require.NoError(t, err)
	s.pass(10 * time.Second)
	down := find[ike.SessionDown](s.A.happened)
	require.Len(t, down, 1)
	require.Equal(t, old, down[0].Session)
	require.Equal(t, ike.DownReauth, down[0].Reason)
	require.Equal(t, id, down[0].Successor)
	require.Equal(t, id, s.A.session().ID)
	s.pass(2 * time.Minute)
	require.Len(t, s.B.sessions, 1)
	require.Empty(t, spd.CompareMemory(s.A.plane, s.B.plane))
	s.flow()
}

// Rekeys happen by themselves, before the lifetimes end, and at times that
// jitter spreads.
func TestLifetimes(t *testing.T) {
	at := map[time.Duration]bool{}
	for range 10 {
		s := newScene(t, func(a, b *Peer, _, _ *Config) {
			a.Timing.Rekey, b.Timing.Rekey = 2*time.Hour, -1
			a.Children[0].Rekey, b.Children[0].Rekey = 30*time.Minute, -1
			a.Children[0].Jitter, a.Timing.Jitter = 0.2, 0.2
			b.Timing.Liveness, a.Timing.Liveness = -1, -1
		}).establish()
		begin := s.now
		s.traffic = true
		s.pass(31 * time.Minute)
		r := find[ike.ChildRekeyed](s.A.happened)
		require.NotEmpty(t, r)
		first := r[0].Time.Sub(begin)
		require.LessOrEqual(t, first, 30*time.Minute)
		require.GreaterOrEqual(t, first, 24*time.Minute)
		at[first] = true
		s.pass(90 * time.Minute)
		ikes := find[ike.SessionRekeyed](s.A.happened)
		require.Len(t, ikes, 1)
		require.GreaterOrEqual(t, ikes[0].Time.Sub(begin), 96*time.Minute)
		require.Empty(t, find[ike.ChildDown](s.A.happened))
		s.pass(time.Minute)
		s.converged(1)
	}
	require.Greater(t, len(at), 7)
}

// A hard lifetime without a rekey ends the Child SA, and the IKE SA.
func TestHardLifetimes(t *testing.T) {
	s := newScene(t, func(a, b *Peer, _, _ *Config) {
		for _, p := range []*Peer{a, b} {
			p.Timing.Rekey, p.Timing.Liveness = -1, -1
			p.Children[0].Rekey = -1
		}
		a.Children[0].Lifetime, a.Timing.Lifetime = time.Hour, 2*time.Hour
	}).establish()
	s.pass(61 * time.Minute)
	require.Equal(t, ike.DownExpired, find[ike.ChildDown](s.A.happened)[0].Reason)
	require.Equal(t, ike.DownRemote, find[ike.ChildDown](s.B.happened)[0].Reason)
	s.converged(0)
	s.pass(time.Hour)
	require.Equal(t, ike.DownExpired, find[ike.SessionDown](s.A.happened)[0].Reason)
	s.pass(2 * time.Minute)
	s.gone()
}

// Volume: the data plane's soft limit begins a rekey.
func TestVolumeLifetime(t *testing.T) {
	s := newScene(t, func(a, _ *Peer, _, _ *Config) {
		a.Children[0].Volume = spd.Lifetime{SoftBytes: 10_000, HardBytes: 100_000}
	}).establish()
	for range 300 {
		s.flow()
		s.work()
		s.flush()
	}
	s.pass(10 * time.Second)
	require.GreaterOrEqual(t, len(find[ike.ChildRekeyed](s.A.happened)), 2)
	s.converged(1)
}

// On demand: an acquire begins a session or a Child SA, and is answered when
// that is up or has failed.
func TestAcquire(t *testing.T) {
	trap := func(a *actor) spd.AcquireEvent {
		c := a.peer.Children[0]
		require.NoError(a.s.t, a.plane.SetPolicies(t.Context(), 1, []spd.Policy{{Direction: spd.Out, Action: spd.ActionTrap, Protocol: spd.ProtoESP,
			Selector: spd.Selector{Local: c.Local[0], Remote: c.Remote[0]}, Priority: 1 << 20}}))
		d := a.plane.Send(a.other.plane, testFlow, 100)
		require.Equal(a.s.t, spd.Held, d.Outcome)
		for _, ev := range a.plane.PollEvents() {
			if acq, ok := ev.(spd.AcquireEvent); ok {
				return acq
			}
		}
		require.FailNow(a.s.t, "no acquire")
		return spd.AcquireEvent{}
	}
	begin := func(s *scene) {
		acq := trap(s.A)
		_, err := s.A.Initiate(s.now, Initiation{Peer: s.A.peer, Path: pathAB(), Acquire: acq.ID, Packet: &acq.Packet})
		require.NoError(t, err)
		require.Equal(t, 1, s.A.plane.PendingAcquires())
	}
	t.Run("up", func(t *testing.T) {
		s := newScene(t)
		begin(s)
		s.flush()
		require.Zero(t, s.A.plane.PendingAcquires())
		require.NotEmpty(t, find[ike.ChildUp](s.A.happened))
		s.flow()
	})
	t.Run("session fails", func(t *testing.T) {
		s := newScene(t, func(_, b *Peer, _, _ *Config) { b.Remote.Credential = ike.SharedKeys() })
		begin(s)
		s.flush()
		require.Empty(t, s.A.sessions)
		require.Zero(t, s.A.plane.PendingAcquires())
	})
	t.Run("nobody answers", func(t *testing.T) {
		s := newScene(t)
		begin(s)
		for range 60 {
			s.A.out = nil
			s.tick(10 * time.Second)
		}
		require.Empty(t, s.A.sessions)
		require.Zero(t, s.A.plane.PendingAcquires())
	})
	t.Run("child refused", func(t *testing.T) {
		s := newScene(t, func(_, b *Peer, _, _ *Config) { b.Children[0].Local = selectorSet("10.99.0.0/16") })
		begin(s)
		s.flush()
		require.Zero(t, s.A.plane.PendingAcquires())
		require.Len(t, s.A.sessions, 1)
	})
	t.Run("in a session", func(t *testing.T) {
		s := newScene(t, func(a, b *Peer, _, _ *Config) { a.Childless, b.Childless = true, true })
		_, err := s.A.Initiate(s.now, Initiation{Peer: s.A.peer, Path: pathAB(), Children: []string{}})
		require.NoError(t, err)
		s.flush()
		acq := trap(s.A)
		require.NoError(t, s.A.CreateChild(s.now, s.A.session().ID, "net", acq.ID, &acq.Packet))
		s.flush()
		require.Zero(t, s.A.plane.PendingAcquires())
		s.flow()
	})
	t.Run("session dies meanwhile", func(t *testing.T) {
		s := newScene(t, func(a, b *Peer, _, _ *Config) { a.Childless, b.Childless = true, true })
		_, err := s.A.Initiate(s.now, Initiation{Peer: s.A.peer, Path: pathAB(), Children: []string{}})
		require.NoError(t, err)
		s.flush()
		acq := trap(s.A)
		require.NoError(t, s.A.CreateChild(s.now, s.A.session().ID, "net", acq.ID, &acq.Packet))
		s.work()
		s.A.out = nil
		s.B.deleteIKE()
		s.B.sends("delete-ike")
		s.tick(time.Minute)
		require.Zero(t, s.A.plane.PendingAcquires())
		require.Empty(t, s.A.sessions)
	})
	t.Run("put off, then the session dies", func(t *testing.T) {
		s := newScene(t, func(a, b *Peer, _, _ *Config) { a.Childless, b.Childless = true, true })
		_, err := s.A.Initiate(s.now, Initiation{Peer: s.A.peer, Path: pathAB(), Children: []string{}})
		require.NoError(t, err)
		s.flush()
		acq := trap(s.A)
		s.B.rekeyIKE()
		require.NoError(t, s.A.CreateChild(s.now, s.A.session().ID, "net", acq.ID, &acq.Packet))
		s.work()
		s.A.sends("create-child")
		s.B.sends("create-child:TEMPORARY_FAILURE")
		require.Equal(t, 1, s.A.plane.PendingAcquires())
		s.A.deleteIKE()
		s.pass(time.Minute)
		require.Zero(t, s.A.plane.PendingAcquires())
	})
}

// The first traffic selectors of an offer are the packet's (RFC 7296 2.9), so
// that a responder that has to choose takes the right ones.
func TestAcquireOffersPacket(t *testing.T) {
	s := newScene(t)
	packet := testFlow.Selector(spd.Out)
	_, err := s.A.Initiate(s.now, Initiation{Peer: s.A.peer, Path: pathAB(), Packet: &packet})
	require.NoError(t, err)
	s.A.sends() // nothing
	s.work()
	s.A.sends("init")
	s.B.sends("init:ok")
	x := s.A.anySA().hs.child
	require.Equal(t, packet.Local, x.local[0])
	require.Equal(t, packet.Remote, x.remote[0])
	s.flush()
	s.converged(1)
	require.Equal(t, selectorSet("10.1.0.0/16"), s.A.child().LocalTS)
}

// A session can be deleted at any moment, by either side or both.
func TestDeleteAtAnyMoment(t *testing.T) {
	for steps := range 8 {
		for _, who := range []string{"A", "B", "both"} {
			s := newScene(t).initiate()
			for i := range steps {
				a := s.A
				if i%2 == 1 {
					a = s.B
				}
				if len(a.out) > 0 {
					tx := a.out[0]
					a.out = a.out[1:]
					a.hand(tx, a.kind(tx))
				}
			}
			for _, a := range []*actor{s.A, s.B} {
				if who == a.name || who == "both" {
					for id := range a.sessions {
						require.NoError(t, a.Delete(s.now, id, ike.DownLocal))
					}
				}
			}
			s.work()
			s.pass(10 * time.Minute)
			if who != "both" && steps < 4 && len(s.B.sessions) == 1 && who == "A" {
				t.Fatalf("B keeps a session after %d steps", steps)
			}
			for _, a := range []*actor{s.A, s.B} {
				for id := range a.sessions {
					require.NoError(t, a.Delete(s.now, id, ike.DownShutdown))
				}
			}
			s.pass(10 * time.Minute)
			s.gone()
		}
	}
}

// TestSessionDownComesLast: what a session's Child SAs have counted is told
// before its end, on both sides.
func TestSessionDownComesLast(t *testing.T) {
	s := newScene(t).establish()
	for id := range s.A.sessions {
		require.NoError(t, s.A.Delete(s.now, id, ike.DownLocal))
	}
	s.flush()
	for _, a := range []*actor{s.A, s.B} {
		n := len(a.happened)
		down, ok := a.happened[n-2].(ike.ChildDown)
		require.True(t, ok, "%T", a.happened[n-2])
		require.True(t, down.SessionEnds)
		require.IsType(t, ike.SessionDown{}, a.happened[n-1])
	}
}

// TestPoliciesShareMarks: policies find SAs only if marks and interface are the
// same (route-based operation).
func TestPoliciesShareMarks(t *testing.T) {
	p := pskPair(t)
	o := &p.a.peers.index.All()[0].Children[0].Options
	o.InterfaceID, o.MarkIn, o.MarkOut = 7, spd.Mark{Value: 1, Mask: 0xff}, spd.Mark{Value: 2, Mask: 0xff}
	p.initiate()
	marks := map[spd.Direction]spd.Mark{spd.In: o.MarkIn, spd.Out: o.MarkOut}
	policies := p.pa.Policies()
	require.Len(t, policies, 2)
	for _, q := range policies {
		require.Equal(t, uint32(7), q.InterfaceID)
		require.Equal(t, marks[q.Direction], q.Mark)
	}
}
