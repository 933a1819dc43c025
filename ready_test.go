package racoon_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/spd"
)

// heldPolicies is a data plane that takes its time for policies.
type heldPolicies struct {
	*spd.Memory
	asked, release chan struct{}
}

func (p *heldPolicies) SetPolicies(ctx context.Context, owner spd.Owner, policies []spd.Policy) error {
	p.asked <- struct{}{}
	<-p.release
	return p.Memory.SetPolicies(ctx, owner, policies)
}

// TestReadyMeansGuarded: whoever waits for Ready, such as services that start
// after a daemon, sends nothing in clear that a trap is for.
func TestReadyMeansGuarded(t *testing.T) {
	plane := &heldPolicies{Memory: spd.NewMemory(spd.MemoryConfig{}), asked: make(chan struct{}, 8), release: make(chan struct{})}
	m, err := racoon.NewManager(racoon.Config{DataPlane: plane, Listen: []racoon.Listen{{Address: "127.0.0.1:0"}}, Peers: []racoon.Peer{{
		Name: "branch", Remote: "127.0.0.1:9", LocalID: "hq.example", RemoteID: "branch.example", PSK: ike.Secret("secret"), Start: racoon.StartTrap,
		Children: []racoon.Child{{Name: "net", Local: []string{"10.1.0.0/16"}, Remote: []string{"10.2.0.0/16"}}},
	}}})
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- m.Serve(context.Background()) }()
	<-plane.asked
	select {
	case <-m.Ready():
		require.Fail(t, "ready before the policies")
	default:
	}
	close(plane.release)
	<-m.Ready()
	require.NotEmpty(t, plane.Policies())
	require.NoError(t, m.Shutdown(t.Context()))
	require.NoError(t, <-served)
}
