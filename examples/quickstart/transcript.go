package main

import (
	"context"
	"fmt"
	"io"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev2/message"
)

// transcript prints what happens, as it happens, line by line.
type transcript struct {
	mu      sync.Mutex
	out     io.Writer
	begin   time.Time
	verbose bool
	steps   int
	err     error // of writing

	seen    map[seenEvent]int
	changed chan struct{} // closed when seen changes
}

// seenEvent is a kind of event of one side.
type seenEvent struct {
	who  string
	kind reflect.Type
}

func newTranscript(out io.Writer, verbose bool) *transcript {
	return &transcript{out: out, begin: time.Now(), verbose: verbose, seen: make(map[seenEvent]int), changed: make(chan struct{})}
}

// step begins a section.
func (t *transcript) step(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.steps++
	t.print("\n%d. "+format+"\n", append([]any{t.steps}, args...)...)
}

// say prints an indented line.
func (t *transcript) say(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.print("   "+format+"\n", args...)
}

func (t *transcript) print(format string, args ...any) {
	if _, err := fmt.Fprintf(t.out, format, args...); err != nil && t.err == nil {
		t.err = err
	}
}

// message prints a message that the client sends or receives.
func (t *transcript) message(r ike.TraceRecord) {
	arrow := "client <-- gateway"
	if r.Outbound {
		arrow = "client --> gateway"
	}
	m, err := message.Parse(r.Message)
	if err != nil {
		t.say("%s  %v", arrow, err)
		return
	}
	kind := "request"
	if m.Header.IsResponse() {
		kind = "response"
	}
	t.say("%s  %v %s %d", arrow, m.Header.Exchange, kind, m.Header.MessageID)
	for _, line := range t.payloads(m) {
		t.say("%20s%s", "", line)
	}
}

// payloads lists what a message holds, with the signs of RFC 7296 section 1.2.
func (t *transcript) payloads(m *message.Message) (lines []string) {
	const width = 90
	line := ""
	for _, p := range m.Payloads {
		word := p.PayloadType().String()
		if n, ok := p.(*message.Notify); ok {
			word = fmt.Sprintf("N(%v)", n.Type)
		}
		if t.verbose {
			lines = append(lines, p.String())
			continue
		}
		if line != "" && len(line)+len(word) > width {
			lines, line = append(lines, line), ""
		}
		line = strings.TrimPrefix(line+" "+word, " ")
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}

// event prints a fact that a side's Manager reports, and remembers it.
func (t *transcript) event(who string, ev ike.Event) {
	t.describe(who, ev)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.seen[seenEvent{who, reflect.TypeOf(ev)}]++
	close(t.changed)
	t.changed = make(chan struct{})
}

// await waits until each of the sides has reported n events like ev.
func (t *transcript) await(ctx context.Context, ev ike.Event, n int, sides ...string) error {
	for _, who := range sides {
		for {
			t.mu.Lock()
			seen, changed := t.seen[seenEvent{who, reflect.TypeOf(ev)}], t.changed
			t.mu.Unlock()
			if seen >= n {
				break
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return fmt.Errorf("the %s has reported %d %T events instead of %d: %w", who, seen, ev, n, context.Cause(ctx))
			}
		}
	}
	return nil
}

func (t *transcript) describe(who string, ev ike.Event) {
	switch ev := ev.(type) {
	case ike.SessionUp:
		t.say("%-7s  session up: %v has proved itself; %v", who, ev.Info.RemoteID, ev.Info.Proposal)
	case ike.ChildUp:
		t.say("%-7s  Child SA up: %v", who, child(ev.Child))
	case ike.SessionRekeyed:
		t.say("%-7s  IKE SA rekeyed: SPIs %016x and %016x", who, ev.LocalSPI, ev.RemoteSPI)
	case ike.ChildRekeyed:
		t.say("%-7s  Child SA rekeyed: %v", who, child(ev.Child))
	case ike.ChildDown:
		t.say("%-7s  Child SA down: %v", who, reason(ev.Reason, ev.Err))
	case ike.SessionDown:
		t.say("%-7s  session down: %v", who, reason(ev.Reason, ev.Err))
	case ike.SessionFailed:
		t.say("%-7s  session failed: %v", who, ev.Err)
	case ike.ChildFailed:
		t.say("%-7s  Child SA failed: %v", who, ev.Err)
	case ike.Warning:
		t.say("%-7s  warning: %v", who, ev.Err)
	case racoon.EventsLost:
		t.say("%-7s  (%d events lost)", who, ev.Count)
	}
}

func child(c ike.ChildInfo) string {
	return fmt.Sprintf("%v <-> %v, SPIs %08x and %08x, %v", c.LocalTS[0], c.RemoteTS[0], uint32(c.In), uint32(c.Out), c.Proposal)
}

func reason(r ike.DownReason, err error) string {
	if err != nil {
		return fmt.Sprintf("%v (%v)", r, err)
	}
	return r.String()
}
