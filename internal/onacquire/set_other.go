//go:build !linux

package onacquire

// Set does nothing: other systems do not have the settings.
func (Settings) Set() error { return nil }
