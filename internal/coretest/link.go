package coretest

import (
	"context"
	"errors"
	"time"

	"github.com/racoon3/racoon/ike"
)

// A Link is a perfect network between two endpoints. Jobs run at once. The
// functions may be nil.
type Link[E Core] struct {
	Ends [2]E
	// Filter decides about each datagram; false drops it.
	Filter func(from E, tx ike.Transmit) bool
	// Hold takes jobs that are not to run at once.
	Hold func(of E, j ike.Job) bool
	// Event gets the events.
	Event func(of E, ev ike.Event)
}

// ErrRestless means that two endpoints always have something more to say.
var ErrRestless = errors.New("coretest: the endpoints do not come to rest")

// Run delivers and works until both sides are quiet. The time may be changed
// meanwhile, by a filter.
func (l *Link[E]) Run(now *time.Time) error {
	for range 10_000 {
		busy := false
		for i, e := range l.Ends {
			if l.serve(now, e, l.Ends[1-i]) {
				busy = true
			}
		}
		if !busy {
			return nil
		}
	}
	return ErrRestless
}

// serve does what there is to do for one endpoint.
func (l *Link[E]) serve(now *time.Time, e, other E) (busy bool) {
	for j, ok := e.PollJob(); ok; j, ok = e.PollJob() {
		busy = true
		if l.Hold == nil || !l.Hold(e, j) {
			e.HandleResult(*now, j.Do(context.Background()))
		}
	}
	for tx, ok := e.PollTransmit(); ok; tx, ok = e.PollTransmit() {
		busy = true
		if !tx.Keepalive && (l.Filter == nil || l.Filter(e, tx)) {
			other.HandleDatagram(*now, Reverse(tx.Path), tx.Packet)
		}
	}
	for ev, ok := e.PollEvent(); ok; ev, ok = e.PollEvent() {
		busy = true
		if l.Event != nil {
			l.Event(e, ev)
		}
	}
	return busy
}

// Advance lets time pass, timer by timer.
func (l *Link[E]) Advance(now *time.Time, d time.Duration) error {
	end := now.Add(d)
	for {
		if err := l.Run(now); err != nil {
			return err
		}
		next, found := end, false
		for _, e := range l.Ends {
			if t, ok := e.PollTimeout(); ok && !t.After(next) {
				next, found = t, true
			}
		}
		if next.After(*now) {
			*now = next
		}
		if !found {
			return nil
		}
		for _, e := range l.Ends {
			e.HandleTimeout(*now)
		}
	}
}
