package pump

import (
	"fmt"
	"net/netip"

	"github.com/racoon3/racoon/internal/suite"
	"github.com/racoon3/racoon/spd"
)

// InnerMTU returns the largest packet, in octets from its IP header on, whose
// ESP packet in UDP or as protocol 50 (udp) fits in outerMTU octets on the way
// to the peer at remote: what to set for a TUN device. Of sa, the mode and the
// algorithms count; keys are not needed. In transport mode the packet's own
// header is the outer one, without options.
//
// For the usual algorithms over a way of 1500 octets this is 1438 with AES-GCM
// in UDP over IPv4, 1446 without UDP, and 20 octets less over IPv6.
func InnerMTU(outerMTU int, sa *spd.SA, remote netip.Addr, udp bool) (int, error) {
	e, ok := suite.ENCRByID(sa.Encryption.ID)
	if !ok {
		return 0, fmt.Errorf("pump: %w: %v", spd.ErrUnsupported, sa.Encryption)
	}
	icv := e.ICVSize
	if !e.Combined() {
		i, ok := suite.INTEGByID(sa.Integrity.ID)
		if !ok {
			return 0, fmt.Errorf("pump: %w: %v without integrity", spd.ErrUnsupported, sa.Encryption)
		}
		icv = i.ICVSize
	}
	if !remote.IsValid() {
		return 0, fmt.Errorf("pump: the peer's address is not valid")
	}
	const (
		espHeader  = 8 // SPI and sequence number (RFC 4303 section 2)
		espTrailer = 2 // pad length and next header
		udpHeader  = 8
	)
	header := 40
	if remote.Unmap().Is4() {
		header = 20
	}
	room := outerMTU - header
	if udp {
		room -= udpHeader
	}
	room -= espHeader + e.IVSize + icv
	align := max(4, e.BlockSize)
	mtu := room/align*align - espTrailer
	if sa.Mode == spd.ModeTransport {
		mtu += header
	}
	if mtu < header {
		return 0, fmt.Errorf("pump: a way of %d octets has no room for ESP", outerMTU)
	}
	return mtu, nil
}
