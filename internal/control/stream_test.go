package control_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/internal/control"
	"github.com/racoon3/racoon/internal/control/controltest"
	"github.com/racoon3/racoon/internal/testhost"
)

// Whoever follows the events sees an orderly end when the daemon ends, also if
// there were none for longer than a response may take.
func TestEventsEndAfterSilence(t *testing.T) {
	p := controltest.New(t)
	ctx := testContext(t)
	// Within half of it a request has to arrive, also on a machine that stalls.
	const limit = 5 * time.Second
	d := &control.Daemon{Manager: p.Client.Manager, Limits: control.Limits{Request: limit}}
	path := filepath.Join(testhost.Dir(t), "ctl")
	l, err := control.Listen(control.ListenConfig{Path: path})
	require.NoError(t, err)
	running, end := context.WithCancel(ctx)
	defer end()
	served := make(chan error, 1)
	go func() { served <- d.Serve(running, l) }()

	c := control.NewClient(path)
	defer c.Close()
	events := make(chan control.Event, 64)
	following := make(chan error, 1)
	go func() {
		following <- c.Events(ctx, 0, true, func(e control.Event) error { events <- e; return nil })
	}()
	up := make(chan error, 1)
	go func() {
		// Again and again, since the first ones may be before anybody follows.
		for {
			if _, err := p.Client.Manager.Initiate(ctx, "gw"); err != nil {
				up <- err
				return
			}
			select {
			case e := <-events:
				events <- e
				up <- nil
				return
			case <-time.After(100 * time.Millisecond):
			}
			for s := range p.Client.Manager.Sessions() {
				_ = s.Delete(ctx)
			}
		}
	}()
	require.NoError(t, <-up)
	for quiet := false; !quiet; {
		select {
		case <-events:
		case <-time.After(limit + limit/10):
			quiet = true
		}
	}
	end()
	require.NoError(t, <-served)
	require.NoError(t, <-following)
}
