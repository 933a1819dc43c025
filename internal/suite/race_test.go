//go:build race

package suite

// raceEnabled: the race detector makes sync.Pool forget at random, so that
// allocation counts mean nothing.
const raceEnabled = true
