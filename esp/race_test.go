//go:build race

package esp

// raceEnabled: the race detector makes sync.Pool forget at random, so that
// allocation counts mean nothing.
const raceEnabled = true
