package route_test

import (
	"fmt"
	"net/netip"

	"github.com/racoon3/racoon/internal/route"
)

// What is to be changed can be told, in the words of ip(8), before [Changes] does
// it as root.
func ExampleRoute() {
	for _, r := range []route.Route{
		{Dst: netip.MustParsePrefix("10.1.0.0/16"), Link: "tun0", Src: netip.MustParseAddr("10.99.0.7")},
		{Dst: netip.MustParsePrefix("198.51.100.9/32"), Gateway: netip.MustParseAddr("192.0.2.1"), Link: "eth0"},
		{Dst: netip.MustParsePrefix("::/0"), Unreachable: true, Table: route.TunnelTable},
	} {
		fmt.Println(r)
	}
	fmt.Println(route.Rule{Priority: route.TunnelPriority, Mark: route.TunnelMark, Table: route.TableMain})
	// Output:
	// 10.1.0.0/16 dev tun0 src 10.99.0.7
	// 198.51.100.9/32 via 192.0.2.1 dev eth0
	// unreachable ::/0 table 29283
	// rule 29283: fwmark 0x7263 lookup 254
}
