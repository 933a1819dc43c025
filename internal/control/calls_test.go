package control_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/internal/control"
	"github.com/racoon3/racoon/internal/control/controltest"
)

// TestGiveUp: orders to establish a session that are under way end with an order
// to delete it, whoever waits for them, and nothing of the attempt is left.
func TestGiveUp(t *testing.T) {
	p := controltest.New(t, controltest.Silent(t))
	c, ctx := p.Client.Control, testContext(t)
	calls := func(n int) {
		t.Helper()
		require.Eventually(t, func() bool {
			s, err := c.Status(ctx)
			return err == nil && s.Calls == n
		}, patience, time.Millisecond)
	}
	for name, giveUp := range map[string]func() (control.Done, error){
		"by name":    func() (control.Done, error) { return c.Delete(ctx, control.Select{Peer: "gw"}) },
		"by address": func() (control.Done, error) { return c.Delete(ctx, control.Select{Remote: "127.0.0.1"}) },
		"flush":      func() (control.Done, error) { return c.Flush(ctx, "isakmp") },
	} {
		// One order that is waited for and one that is not, which join one call.
		ended := make(chan error, 1)
		go func() {
			_, err := c.Establish(ctx, control.EstablishRequest{Peer: "gw", Wait: true})
			ended <- err
		}()
		calls(1)
		_, err := c.Establish(ctx, control.EstablishRequest{Peer: "gw", Child: "net"})
		require.NoError(t, err, name)

		// What means something else does not disturb it.
		for _, q := range []control.Select{{Peer: "other"}, {Remote: "192.0.2.1"}, {User: "alice"}, {Child: "net"}, {Session: "7"}, {Peer: "gw", SPI: "1"}} {
			_, err := c.Delete(ctx, q)
			require.Equal(t, control.CodeNotFound, err.(*control.Error).Code, "%s %v", name, q)
		}
		require.Empty(t, ended)

		done, err := giveUp()
		require.NoError(t, err, name)
		require.Equal(t, control.Done{Calls: 2}, done, name)
		require.ErrorContains(t, <-ended, "the call was given up, as ordered", name)
		calls(0)
		s, err := c.Status(ctx)
		require.NoError(t, err)
		require.Zero(t, s.HalfOpen)
		_, err = giveUp()
		if name == "flush" {
			require.NoError(t, err)
		} else {
			require.Equal(t, control.CodeNotFound, err.(*control.Error).Code, name)
		}
	}
}
