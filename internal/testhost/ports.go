package testhost

import (
	"math/rand/v2"
	"net"
	"testing"
)

// Systems choose ports from 32768 up when a program leaves them the choice. Those
// of [Ports] are below, so that between the choice and its use nobody takes them
// by chance.
const firstPort, lastPort = 12000, 32000

// Ports returns UDP ports of 127.0.0.1 that were free a moment ago.
func Ports(t testing.TB, n int) []int {
	t.Helper()
	ports := make([]int, 0, n)
	var err error
	for range 1000 {
		if len(ports) == n {
			return ports
		}
		var c *net.UDPConn
		c, err = net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: firstPort + rand.IntN(lastPort-firstPort)})
		if err != nil {
			continue
		}
		defer func() { _ = c.Close() }() // at the end: each port once
		ports = append(ports, c.LocalAddr().(*net.UDPAddr).Port)
	}
	t.Fatalf("no %d UDP ports are free: %v", n, err)
	return nil
}
