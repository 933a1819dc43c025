package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"strings"
	"time"

	"github.com/racoon3/racoon/internal/control"
)

func events(p *program, fs *flag.FlagSet) func([]string) error {
	follow := fs.Bool("f", false, "follow the events as they come")
	n := fs.Int("n", 100, "at most that `number` of past ones")
	return func(words []string) error {
		if err := none(words); err != nil {
			return err
		}
		if *n < 0 {
			return usage("-n %d is negative", *n)
		}
		return p.events(*n, *follow)
	}
}

func showEvent(p *program, _ *flag.FlagSet) func([]string) error {
	return func(words []string) error {
		if err := none(words); err != nil {
			return err
		}
		return p.events(100, true)
	}
}

// events prints events, as lines of JSON if JSON is wanted.
func (p *program) events(n int, follow bool) error {
	lines := json.NewEncoder(p.out)
	lines.SetEscapeHTML(false)
	err := p.client.Events(p.ctx, n, follow, func(e control.Event) error {
		if p.json {
			return lines.Encode(e)
		}
		_, err := fmt.Fprintln(p.out, clean(describe(&e)))
		return err
	})
	if errors.Is(err, context.Canceled) {
		return nil // interrupted by the user
	}
	return err
}

// describe says an event in a line.
func describe(e *control.Event) string {
	var b strings.Builder
	say := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, " %s=%s", name, value)
		}
	}
	fmt.Fprintf(&b, "%s %s", e.Time.Local().Format(time.DateTime), e.Type)
	say("peer", e.Peer)
	say("session", e.Session)
	if e.Local != "" || e.Remote != "" {
		fmt.Fprintf(&b, " %s -> %s", e.Local, e.Remote)
	}
	say("from", e.OldRemote)
	say("identity", e.RemoteID)
	say("user", e.User)
	say("algorithms", e.Proposal)
	say("child", e.Name)
	if c := e.Child; c != nil {
		say("child", c.Name)
		say("protocol", c.Protocol)
		say("spi-in", c.SPIIn)
		say("spi-out", c.SPIOut)
		say("traffic", strings.Join(c.LocalTS, ",")+"==="+strings.Join(c.RemoteTS, ","))
	}
	if e.Network != nil {
		say("addresses", strings.Join(e.Network.Addresses, ","))
	}
	say("reason", e.Reason)
	say("text", e.Text)
	if e.Count > 0 {
		fmt.Fprintf(&b, " count=%d", e.Count)
	}
	if e.Error != "" {
		fmt.Fprintf(&b, ": %s", e.Error)
	}
	return b.String()
}
