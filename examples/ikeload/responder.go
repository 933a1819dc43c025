package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/load"
)

// errOver ends a responder whose time is over.
var errOver = errors.New("time is over")

// serve is a gateway until ctx ends. Then it reports.
func (o *options) serve(ctx context.Context, stdout, stderr io.Writer) error {
	if os.Getenv("GOGC") == "" {
		// A gateway's memory is its sessions, which stay: collecting four times as
		// often as Go does by default costs little and saves a third of it.
		debug.SetGCPercent(25)
	}
	id, err := o.identity()
	if err != nil {
		return err
	}
	if o.time < 0 {
		return fmt.Errorf("-time: %v is negative; leave it out to serve until interrupted", o.time)
	}
	r, err := load.NewResponder(load.ResponderConfig{Identity: id, Listen: o.listen, Marker: o.marker, Plane: o.plane, Workers: o.workers,
		Limits: ike.Limits{HalfOpen: o.halfOpen, CookieThreshold: o.cookieMin, HalfOpenPerIP: o.per}})
	if err != nil {
		return err
	}
	// The Manager gets a context that lives on for the report.
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	if o.time > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, o.time, errOver)
		defer cancel()
	}
	served := make(chan error, 1)
	go func() { served <- r.Manager.Serve(serving) }()
	select {
	case <-r.Manager.Ready():
	case err := <-served:
		return fmt.Errorf("-listen: %w", err)
	}
	fmt.Fprintf(stderr, "listening on %v, data plane %s\n", r.Addr(), r.Plane.Capabilities().Name)
	select {
	case <-ctx.Done():
	case err := <-served:
		return err
	}
	asking, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	report := r.Report(asking)
	if o.json {
		err = load.WriteJSON(stdout, report)
	} else {
		_, err = fmt.Fprintln(stdout, report)
	}
	stop()
	<-served
	return err
}
