//go:build linux || darwin

package racoon

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Linux and macOS tell and take an in_pktinfo: interface, local address,
// destination address.
const (
	recvInfo4     = unix.IP_PKTINFO
	recvInfo4Type = unix.IP_PKTINFO
	sendInfo4Type = unix.IP_PKTINFO
	sendInfo4Size = 12
)

func parseInfo4(data []byte) (netip.Addr, uint32, bool) {
	if len(data) < 12 {
		return netip.Addr{}, 0, false
	}
	// The local address rather than the header's destination: they differ for
	// a broadcast.
	return netip.AddrFrom4([4]byte(data[4:8])), binary.NativeEndian.Uint32(data), true
}

func putInfo4(data []byte, src netip.Addr, ifindex uint32) {
	a := src.As4()
	binary.NativeEndian.PutUint32(data, ifindex)
	copy(data[4:8], a[:])
}
