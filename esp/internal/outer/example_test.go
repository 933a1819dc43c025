package outer_test

import (
	"fmt"
	"net/netip"

	"github.com/racoon3/racoon/esp"
	"github.com/racoon3/racoon/esp/internal/outer"
)

// printer is a socket that says what it is given.
type printer struct{}

func (printer) WriteESP(local, remote netip.AddrPort, tos byte, packets [][]byte) (int, error) {
	fmt.Println("UDP", local, ">", remote, len(packets), "packets")
	return len(packets), nil
}

func (printer) WriteRawESP(local, remote netip.Addr, tos byte, df bool, packets [][]byte) (int, error) {
	fmt.Println("ESP", local, ">", remote, len(packets), "packets")
	return len(packets), nil
}

// Packets that share a way leave together.
func ExampleSender() {
	here := netip.MustParseAddrPort("192.0.2.1:4500")
	alice, bob := netip.MustParseAddrPort("198.51.100.7:4500"), netip.MustParseAddrPort("203.0.113.9:4500")
	to := func(remote netip.AddrPort, encap bool) esp.Datagram {
		return esp.Datagram{Local: here, Remote: remote, UDPEncap: encap}
	}
	s := outer.Sender{UDP: printer{}, Raw: printer{}}
	sent, err := s.Send([]esp.Datagram{to(alice, true), to(alice, true), to(bob, false), to(alice, true)})
	fmt.Println(sent, err)
	// Output:
	// UDP 192.0.2.1:4500 > 198.51.100.7:4500 2 packets
	// ESP 192.0.2.1 > 203.0.113.9 1 packets
	// UDP 192.0.2.1:4500 > 198.51.100.7:4500 1 packets
	// 4 <nil>
}
