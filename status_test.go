package racoon

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
)

func TestStatesTellDeadlines(t *testing.T) {
	for _, v := range []Version{IKEv2, IKEv1} {
		t.Run(v.String(), func(t *testing.T) {
			client, _, _, _ := pairOfManagers(t, "127.0.0.1", func(c, g *Config) {
				versions(c, v)
				versions(g, v)
				for _, p := range []*Peer{&c.Peers[0], &g.Peers[0]} {
					p.Timing = ike.Timing{Rekey: time.Hour, Lifetime: 2 * time.Hour, Jitter: 0.001}
					p.Children[0].Rekey, p.Children[0].Lifetime = 10*time.Minute, 20*time.Minute
				}
			})
			ctx := testContext(t)
			s, err := client.Initiate(ctx, "gw")
			require.NoError(t, err)
			require.Equal(t, v, s.Version())
			child := s.ChildSAs()[0]
			states, err := client.States(ctx)
			require.NoError(t, err)
			require.Len(t, states, 1)
			require.Equal(t, s.ID(), states[0].ID)
			one, err := s.State(ctx)
			require.NoError(t, err)
			require.Equal(t, states[0].State, one.State)

			due := func(what ike.DeadlineKind, id ike.ChildID) time.Duration {
				for _, d := range one.Deadlines {
					if d.What == what && d.Child == id {
						return time.Until(d.At)
					}
				}
				t.Fatalf("no deadline to %v %d in %v", what, id, one.Deadlines)
				return 0
			}
			near := func(want time.Duration, what ike.DeadlineKind, id ike.ChildID) {
				require.InDelta(t, want.Seconds(), due(what, id).Seconds(), 60, "%v %d", what, id)
			}
			near(time.Hour, ike.DeadlineRekey, 0)
			near(2*time.Hour, ike.DeadlineExpire, 0)
			near(20*time.Minute, ike.DeadlineExpire, child.ID)
			require.LessOrEqual(t, due(ike.DeadlineRekey, child.ID), 10*time.Minute)

			require.NoError(t, s.Delete(ctx))
			_, err = s.State(ctx)
			require.ErrorIs(t, err, ErrSessionEnded)
		})
	}
}

func TestPeerStatus(t *testing.T) {
	client, gateway, _, _ := pairOfManagers(t, "127.0.0.1", func(c, _ *Config) { c.Peers[0].Start = StartAlways })
	ctx := testContext(t)
	_, err := client.Initiate(ctx, "gw")
	require.NoError(t, err)
	peers, err := client.PeerStatus(ctx)
	require.NoError(t, err)
	require.Len(t, peers, 1)
	p := peers[0]
	require.Equal(t, "gw", p.Name)
	require.True(t, p.Wanted)
	require.Equal(t, "127.0.0.1", p.Remote)
	require.Equal(t, []Version{IKEv2}, p.Versions)
	require.Len(t, p.Children, 1)
	require.Equal(t, "10.1.0.0/24", p.Children[0].Local[0].String())
	require.Equal(t, StartAlways, p.Children[0].Start)

	peers, err = gateway.PeerStatus(ctx)
	require.NoError(t, err)
	require.Empty(t, peers[0].Remote)
	require.False(t, peers[0].Wanted)
}

func TestInitiateChild(t *testing.T) {
	client, _, _, _ := pairOfManagers(t, "127.0.0.1", func(c, g *Config) {
		for _, cfg := range []*Config{c, g} {
			more := cfg.Peers[0].Children[0]
			more.Name = "more"
			if cfg == c {
				more.Remote = []string{"10.3.0.0/16"}
			} else {
				more.Local = []string{"10.3.0.0/16"}
			}
			cfg.Peers[0].Children = append(cfg.Peers[0].Children, more)
		}
	})
	ctx := testContext(t)
	_, err := client.InitiateChild(ctx, "gw", "none")
	require.ErrorIs(t, err, ErrNoChild)
	_, err = client.InitiateChild(ctx, "none", "net")
	require.ErrorIs(t, err, ErrNoPeer)

	s, err := client.InitiateChild(ctx, "gw", "more")
	require.NoError(t, err)
	require.Equal(t, "more", only(t, func(yield func(string) bool) {
		for _, c := range s.ChildSAs() {
			yield(c.Name)
		}
	}))
	same, err := client.InitiateChild(ctx, "gw", "net")
	require.NoError(t, err)
	require.Same(t, s, same)
	require.Len(t, s.ChildSAs(), 2)
	_, err = client.InitiateChild(ctx, "gw", "net")
	require.NoError(t, err)
	require.Len(t, s.ChildSAs(), 2, "it is there already")
}
