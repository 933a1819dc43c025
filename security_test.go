package racoon

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/internal/testhost"
)

// TestC23_ManyInterruptedCalls: ten thousand calls of the API from many
// goroutines, some under contexts that end at once, with a subscriber that does
// not read and concurrent deletes. Every call returns, and the Manager works
// afterwards.
func TestC23_ManyInterruptedCalls(t *testing.T) {
	client, gateway, cp, gp := pairOfManagers(t, "127.0.0.1", func(c, g *Config) { c.EventBuffer, g.EventBuffer = 4, 4 })
	ctx, cancel := context.WithTimeout(t.Context(), 10*testhost.Patience)
	defer cancel()
	_ = client.Subscribe(ctx) // never read
	_ = gateway.Subscribe(ctx)
	const goroutines, calls = 16, 625
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			for i := range calls {
				c, stop := ctx, context.CancelFunc(func() {})
				if i%3 == 0 {
					c, stop = context.WithTimeout(ctx, time.Duration(i%7)*time.Millisecond)
				}
				switch s, err := client.Initiate(c, "gw"); {
				case (g+i)%25 == 0 && err == nil:
					_ = s.Delete(c)
				case err == nil:
					_, _ = s.Stats(c)
					for range s.ChildSAs() {
					}
				}
				for s := range gateway.Sessions() {
					_ = s.Info()
				}
				_ = gateway.Stats(c)
				stop()
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	select {
	case <-done:
	case <-ctx.Done():
		t.Fatal("calls hang")
	}
	s, err := client.Initiate(ctx, "gw")
	require.NoError(t, err)
	require.True(t, s.Up())
	require.Eventually(t, func() bool { return !cp.Send(gp, flow, 100).Outcome.Gap() }, testhost.Patience, 10*time.Millisecond)
}
