//go:build !race

package vpn_test

const raceEnabled = false
