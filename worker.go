package racoon

import (
	"context"
	"sync/atomic"
	"time"
)

// drainEvery is how many datagrams a worker feeds to its core before it sends
// what came of them, so that the first of a burst is not answered last.
const drainEvery = 32

// A worker owns one core: it alone calls it. Everybody else leaves things in
// its mailbox. A worker never waits for anything but its mailbox, its timer
// and its sockets' buffers.
type worker struct {
	m      *Manager
	index  int
	core   core
	box    mailbox
	half   inbox
	orders orders
	sender sender

	timer *time.Timer
	armed time.Time // when timer fires; zero: not before long

	stats workerStats
}

// workerStats are counters that others may read at any time.
type workerStats struct {
	datagrams   atomic.Uint64 // fed to the core
	dropped     atomic.Uint64 // mailbox full
	transmitted atomic.Uint64
	submitted   atomic.Uint64 // jobs
	_           [32]byte      // keeps neighbours apart
}

func newWorker(m *Manager, index int, c core) *worker {
	return &worker{m: m, index: index, core: c, box: newMailbox()}
}

// run works until stop is closed. What came before is still handled.
func (w *worker) run(stop <-chan struct{}) {
	w.timer = time.NewTimer(time.Hour)
	defer w.timer.Stop()
	for {
		select {
		case <-w.box.wake:
		case <-w.timer.C:
			w.armed = time.Time{}
		case <-stop:
			w.turn()
			return
		}
		w.turn()
	}
}

// turn feeds the core with all that waits, and drains it.
func (w *worker) turn() {
	for w.box.swap(&w.half) {
		now := clock()
		h := &w.half
		for i := range h.results {
			w.core.HandleResult(now, h.results[i])
		}
		for _, ev := range h.plane {
			w.core.HandleDataPlane(now, ev)
		}
		for i, c := range h.commands {
			c(now, w.core)
			if i%drainEvery == drainEvery-1 {
				w.drain(now)
			}
		}
		for i := range h.datagrams {
			d := &h.datagrams[i]
			handle := w.core.HandleDatagram
			if d.kink {
				handle = w.core.HandleKINK
			}
			handle(now, d.path, h.octets[d.begin:d.end:d.end])
			if i%drainEvery == drainEvery-1 {
				w.drain(now)
				now = clock()
			}
		}
		w.stats.datagrams.Add(uint64(len(h.datagrams)))
		w.drain(now)
	}
	now := clock()
	if at, ok := w.core.PollTimeout(); ok && !at.After(now) {
		w.core.HandleTimeout(now)
		w.drain(now)
	}
	w.arm(now)
}

// arm sets the timer for the core's next deadline. A timer that fires too
// early costs less than setting it anew for each deadline that moves away.
func (w *worker) arm(now time.Time) {
	at, ok := w.core.PollTimeout()
	if !ok || (!w.armed.IsZero() && !at.Before(w.armed)) {
		return
	}
	w.armed = at
	w.timer.Reset(at.Sub(now))
}

// drain takes everything out of the core. Jobs are handed to the pools even
// if they are short: running them here was measured to be no faster, and it
// would make others wait.
func (w *worker) drain(now time.Time) {
	for j, ok := w.core.PollJob(); ok; j, ok = w.core.PollJob() {
		w.stats.submitted.Add(1)
		w.m.runner.submit(w, j)
	}
	// Events before datagrams: when the peer knows, the program can know.
	for ev, ok := w.core.PollEvent(); ok; ev, ok = w.core.PollEvent() {
		w.m.handleEvent(w, ev)
	}
	for t, ok := w.core.PollTransmit(); ok; t, ok = w.core.PollTransmit() {
		w.sender.add(w.m.sockets, t)
	}
	w.stats.transmitted.Add(uint64(w.sender.flush()))
}

// do runs f on the worker's goroutine and waits for it.
func (w *worker) do(ctx context.Context, f func(now time.Time, c core) error) error {
	done := make(chan error, 1)
	if !w.box.putCommand(func(now time.Time, c core) { done <- f(now, c) }) {
		return ErrBusy
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-w.m.stopped:
		return ErrClosed
	}
}

// ask runs f on a worker's goroutine and returns what it says. Unlike a variable
// that f sets, an answer that comes after ctx has ended disturbs nobody.
func ask[T any](ctx context.Context, w *worker, f func(c core) (T, error)) (v T, err error) {
	answer := make(chan T, 1)
	err = w.do(ctx, func(_ time.Time, c core) error {
		v, err := f(c)
		answer <- v
		return err
	})
	if err != nil {
		return v, err
	}
	return <-answer, nil
}

// post runs f on the worker's goroutine some time; its error is of interest
// to nobody. It is never refused: what is posted is bounded by the sessions and
// peers that it concerns, and would be missed.
func (w *worker) post(f func(now time.Time, c core) error) {
	w.box.postCommand(func(now time.Time, c core) { f(now, c) })
}
