package testhost

import (
	"net"
	"testing"
)

// Ports returns UDP ports of 127.0.0.1 that were free a moment ago.
func Ports(t testing.TB, n int) []int {
	t.Helper()
	ports := make([]int, n)
	for i := range ports {
		c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }() // at the end: each port once
		ports[i] = c.LocalAddr().(*net.UDPAddr).Port
	}
	return ports
}
