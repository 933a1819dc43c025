//go:build !linux

package daemon

// monotonic is for systemd, which is elsewhere.
func monotonic() int64 { return 0 }
