package simnet

import (
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"github.com/racoon3/racoon/internal/schedule"
)

// Config describes a World.
type Config struct {
	Seed   uint64
	Start  time.Time // zero: the beginning of 2026
	Faults Faults
	// Trace, if set, gets a line for everything that happens.
	Trace func(line string)
}

// A World is a network of nodes with one clock. It is used by one goroutine.
type World struct {
	Faults Faults // may be changed at any time
	Fired  Counts // what has gone wrong so far

	rand  *rand.Rand
	seed  [32]byte
	drawn byte // readers handed out
	start time.Time
	now   time.Time
	queue schedule.Queue[func()]
	nodes []*Node
	cuts  map[[2]*Node]time.Time
	trace func(string)

	past   []carried // ring of datagrams that a man in the middle has recorded
	next   int
	forced []Fault
	flying int

	steps  int
	digest uint64
}

// New returns an empty world.
func New(cfg Config) *World {
	w := &World{Faults: cfg.Faults, start: cfg.Start, trace: cfg.Trace, cuts: map[[2]*Node]time.Time{}}
	if w.start.IsZero() {
		w.start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	w.now = w.start
	for i := range 8 {
		w.seed[i] = byte(cfg.Seed >> (8 * i))
	}
	w.rand = rand.New(w.NewReader().(rand.Source))
	return w
}

// NewReader returns a stream of random octets that follows from the seed, a
// different one each time. It is a cryptographic generator with a known seed:
// good for cores in a simulation, and for nothing else.
func (w *World) NewReader() io.Reader {
	s := w.seed
	s[31] = w.drawn
	w.drawn++
	return rand.NewChaCha8(s)
}

// Rand is the world's own randomness, for the test's choices.
func (w *World) Rand() *rand.Rand { return w.rand }

// Chance reports true with probability p.
func (w *World) Chance(p float64) bool { return p > 0 && w.rand.Float64() < p }

// Between returns a random duration from lo to hi.
func (w *World) Between(lo, hi time.Duration) time.Duration {
	if hi <= lo {
		return lo
	}
	return lo + time.Duration(w.rand.Int64N(int64(hi-lo)))
}

// Now returns the world's time; nodes may have another.
func (w *World) Now() time.Time { return w.now }

// Elapsed returns how much virtual time has passed.
func (w *World) Elapsed() time.Duration { return w.now.Sub(w.start) }

// Steps returns how many things have happened.
func (w *World) Steps() int { return w.steps }

// Flying returns the number of datagrams on their way.
func (w *World) Flying() int { return w.flying }

// Digest is a fingerprint of everything that has happened: two runs with the
// same seed have the same.
func (w *World) Digest() uint64 { return w.digest }

// After runs f when d has passed.
func (w *World) After(d time.Duration, f func()) {
	w.queue.Set(&schedule.Timer[func()]{Owner: f}, w.now.Add(d))
}

// Step lets the next thing happen, if it is due before end, and reports
// whether there was one.
func (w *World) Step(end time.Time) bool {
	w.settle()
	at, ok := w.queue.Next()
	if !ok || at.After(end) {
		return false
	}
	if at.After(w.now) {
		w.now = at
	}
	t, ok := w.queue.Pop(w.now)
	if !ok {
		return false
	}
	w.steps++
	t.Owner()
	w.settle()
	return true
}

// Run lets d of virtual time pass.
func (w *World) Run(d time.Duration) {
	end := w.now.Add(d)
	for w.Step(end) {
	}
	w.now = end
}

// settle takes everything out of the cores.
func (w *World) settle() {
	for range 10_000 {
		busy := false
		for _, n := range w.nodes {
			busy = n.drain() || busy
		}
		if !busy {
			for _, n := range w.nodes {
				n.arm()
			}
			return
		}
	}
	panic("simnet: the cores do not come to rest")
}

// fnv is one step of the FNV-1a hash.
func fnv(h uint64, s string) uint64 {
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}

// note adds to the digest and the trace.
func (w *World) note(format string, args ...any) {
	w.digest = fnv(w.digest^uint64(w.now.Sub(w.start)), format)
	if w.trace != nil {
		w.Tracef(format, args...)
	}
}

// mix adds the octets of a datagram to the digest.
func (w *World) mix(b []byte) {
	for _, o := range b {
		w.digest = (w.digest ^ uint64(o)) * 1099511628211
	}
}

// Tracef writes a line to the trace, if there is one.
func (w *World) Tracef(format string, args ...any) {
	if w.trace != nil {
		w.trace(fmt.Sprintf("%12.6f ", w.Elapsed().Seconds()) + fmt.Sprintf(format, args...))
	}
}
