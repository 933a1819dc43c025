package esp

import (
	"github.com/racoon3/racoon/spd"
)

// tunnelPayload returns the next header of an IP packet inside a tunnel, and
// the octets of traffic flow confidentiality padding that it gets (RFC 4303
// section 2.7).
func tunnelPayload(p Packet, tfc, mtu int) (next uint8, extra int) {
	if mtu > 0 {
		tfc = min(tfc, mtu)
	}
	if tfc > p.Len() {
		extra = tfc - p.Len()
	}
	if p.Buf[p.Start]>>4 == 4 {
		return protoIPv4, extra
	}
	return protoIPv6, extra
}

// outerDF returns the DF bit of the outer header for an inner packet (RFC 4301
// section 8.1). A packet of IPv6 counts as one with DF.
func outerDF(header []byte, mode spd.DFMode) bool {
	switch mode {
	case spd.DFSet:
		return true
	case spd.DFClear:
		return false
	}
	return dontFragment(header)
}

// fromTunnel returns the IP packet that an opened ESP packet of a tunnel holds
// at p, without padding behind it, and its flow. It reports false for what is
// not a whole IP packet of the version that the next header announced.
func fromTunnel(p Packet, next uint8) (Packet, flow, bool) {
	n, ok := ipLength(p.Bytes())
	if !ok {
		return p, flow{}, false
	}
	p.End = p.Start + n
	want := uint8(protoIPv4)
	if p.Buf[p.Start]>>4 == 6 {
		want = protoIPv6
	}
	if next != want {
		return p, flow{}, false
	}
	f, ok := parseFlow(p.Bytes())
	return p, f, ok
}
