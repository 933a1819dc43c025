//go:build !linux

package ikev2

import "time"

var benchStart = time.Now()

// benchClock is the time where the processor time of a thread is not to be had.
func benchClock() time.Duration { return time.Since(benchStart) }
