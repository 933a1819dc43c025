package daemon

import "golang.org/x/sys/unix"

// monotonic is the system's monotonic clock in microseconds, as systemd wants
// it with RELOADING=1.
func monotonic() int64 {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) != nil {
		return 0
	}
	return t.Nano() / 1000
}
