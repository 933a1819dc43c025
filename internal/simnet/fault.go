package simnet

import (
	"fmt"
	"strings"
	"time"

	"github.com/racoon3/racoon/ike"
)

// Fault is a way in which the world is not perfect.
type Fault uint8

// Faults.
const (
	Lost         Fault = iota // a datagram did not arrive
	Duplicated                // it arrived more than once
	Reordered                 // it arrived before one that was sent earlier
	Delayed                   // it took longer than the jitter
	Flipped                   // one of its bits did
	Truncated                 // its end is missing
	Replayed                  // an old one arrived again
	Injected                  // one arrived that nobody had sent
	Partitioned               // it met a cut
	Unroutable                // it went to an address that is no longer anybody's
	Rebound                   // a NAT forgot its mappings
	ClockForward              // a clock was set forward
	ClockBack                 // or back
	JobSlow                   // a job took longer than usual
	JobFailed                 // a job failed
	Restarted                 // a node lost its memory
	numFaults
)

var faultNames = [numFaults]string{"lost", "duplicated", "reordered", "delayed", "flipped", "truncated", "replayed", "injected",
	"partitioned", "unroutable", "rebound", "clock forward", "clock back", "job slow", "job failed", "restarted"}

func (f Fault) String() string {
	if f < numFaults {
		return faultNames[f]
	}
	return "unknown"
}

// Counts counts faults that have fired.
type Counts [numFaults]int

// Total returns the sum.
func (c Counts) Total() (n int) {
	for _, v := range c {
		n += v
	}
	return n
}

// Add adds another count to this one.
func (c *Counts) Add(o Counts) {
	for i, v := range o {
		c[i] += v
	}
}

func (c Counts) String() string {
	var parts []string
	for i, v := range c {
		if v > 0 {
			parts = append(parts, fmt.Sprintf("%v %d", Fault(i), v))
		}
	}
	return strings.Join(parts, ", ")
}

// Faults says what goes wrong by itself. Probabilities are from 0 to 1 and
// count for each datagram or job.
type Faults struct {
	// Latency is what a datagram takes, Jitter what it may take in addition:
	// with jitter they overtake each other.
	Latency, Jitter time.Duration

	Loss      float64
	Duplicate float64
	Late      float64 // takes up to LateBy longer
	LateBy    time.Duration
	Flip      float64 // a damaged copy arrives instead
	Truncate  float64
	Replay    float64 // a recorded datagram arrives, too
	Inject    float64 // a forged one arrives, too
	// Forge makes datagrams for Inject out of recorded ones; nil damages their
	// headers, sources and lengths at random.
	Forge func(past []byte) []byte

	JobDelay  time.Duration // what a job may take
	JobSlow   float64       // takes up to JobSlowBy longer
	JobSlowBy time.Duration
	// JobFail decides with which probability a job fails without being run;
	// nil: never. Jobs that give something back must not fail.
	JobFail func(k ike.JobKind) float64
}

// ErrInjected is what injected failures fail with.
var ErrInjected = fmt.Errorf("simnet: injected failure")

// Force makes the next datagrams suffer these faults, one after the other: Lost,
// Duplicated, Delayed, Flipped, Truncated, Replayed or Injected.
func (w *World) Force(f ...Fault) { w.forced = append(w.forced, f...) }

// strikes decides whether a fault hits the datagram at hand. A fault that was
// asked for by Force hits alone.
func (w *World) strikes(f Fault, p float64) bool {
	if len(w.forced) > 0 {
		return w.forced[0] == f
	}
	return w.Chance(p)
}

func (w *World) fired(f Fault, format string, args ...any) {
	w.Fired[f]++
	w.note(format, args...)
}
