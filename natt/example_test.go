package natt_test

import (
	"crypto/md5"
	"fmt"
	"net/netip"

	"github.com/racoon3/racoon/natt"
)

// A gateway receives the first message of a client that is behind a NAT.
func ExampleDetector() {
	const spiI, spiR = 0x0123456789abcdef, 0 // the responder has none yet

	// What the client sent: it believes to be 10.0.0.2.
	source := natt.AppendHash(nil, natt.SHA1, spiI, spiR, netip.MustParseAddrPort("10.0.0.2:500"))
	destination := natt.AppendHash(nil, natt.SHA1, spiI, spiR, netip.MustParseAddrPort("203.0.113.1:500"))

	// Where its packet came from and arrived.
	remote := netip.MustParseAddrPort("198.51.100.7:61000")
	local := netip.MustParseAddrPort("203.0.113.1:500")

	d := natt.NewDetector(natt.SHA1, spiI, spiR, local, remote)
	d.Source(source)
	d.Destination(destination)
	fmt.Println(d.Result())
	// Output: peer behind NAT
}

// What shares UDP port 4500.
func ExampleClassify() {
	ike := append(natt.AppendMarker(nil), make([]byte, 28)...)
	esp := []byte{0xc0, 0x01, 0xd0, 0x0d, 0, 0, 0, 1, 0xaa, 0xbb}
	for _, datagram := range [][]byte{ike, esp, natt.AppendKeepalive(nil), {1, 2, 3}} {
		kind, payload := natt.Classify(datagram)
		fmt.Println(kind, len(payload))
	}
	// Output:
	// IKE 28
	// ESP 10
	// keepalive 0
	// invalid 0
}

// An initiator that has found a NAT goes on from port 4500 to port 4500.
func ExampleFloat() {
	local, remote := natt.Float(netip.MustParseAddrPort("10.0.0.2:500"), netip.MustParseAddrPort("203.0.113.1:500"))
	fmt.Println(local, remote)
	// Output: 10.0.0.2:4500 203.0.113.1:4500
}

// The best revision of NAT traversal among the vendor IDs of an IKEv1 peer.
func ExampleVariantOf() {
	draft := md5.Sum([]byte("draft-ietf-ipsec-nat-t-ike-03"))
	rfc := md5.Sum([]byte("RFC 3947"))
	other := md5.Sum([]byte("something else"))

	best := natt.NoVariant
	for _, id := range [][]byte{draft[:], rfc[:], other[:]} {
		if v, ok := natt.VariantOf(id); ok {
			best = max(best, v)
		}
	}
	fmt.Println(best, "NAT-D", best.NATD(), "mode", uint16(natt.Tunnel.UDP(best)))
	// Output: RFC 3947 NAT-D 20 mode 3
}
