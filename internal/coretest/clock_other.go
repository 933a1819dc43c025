//go:build !linux

package coretest

import "time"

var started = time.Now()

// threadTime is the time where the processor time of a thread is not to be had.
func threadTime() time.Duration { return time.Since(started) }
