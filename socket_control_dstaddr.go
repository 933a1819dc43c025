//go:build freebsd || netbsd || openbsd

package racoon

import (
	"net/netip"

	"golang.org/x/sys/unix"
)

// The BSDs tell the destination address alone, and take the source address by
// a message of the same number (IP_SENDSRCADDR).
const (
	recvInfo4     = unix.IP_RECVDSTADDR
	recvInfo4Type = unix.IP_RECVDSTADDR
	sendInfo4Type = unix.IP_RECVDSTADDR
	sendInfo4Size = 4
)

func parseInfo4(data []byte) (netip.Addr, uint32, bool) {
	if len(data) < 4 {
		return netip.Addr{}, 0, false
	}
	return netip.AddrFrom4([4]byte(data[:4])), 0, true
}

func putInfo4(data []byte, src netip.Addr, _ uint32) {
	a := src.As4()
	copy(data, a[:])
}
