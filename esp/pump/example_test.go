package pump_test

import (
	"fmt"
	"log"
	"net/netip"

	"github.com/racoon3/racoon/esp/pump"
	"github.com/racoon3/racoon/spd"
)

// ESP as IP protocol 50, where no NAT is in the way, beside the Manager's
// sockets or alone.
func ExampleListenRaw() {
	var p *pump.Pump // as above
	raw, err := pump.ListenRaw(netip.MustParseAddr("192.0.2.1"))
	if err != nil {
		log.Fatal(err)
	}
	defer raw.Close()
	p.SetRawWriter(raw)
	log.Print(raw.Serve(p))
}

func ExampleInnerMTU() {
	sa := &spd.SA{Encryption: spd.Transform{Type: spd.TransformENCR, ID: spd.EncrAESGCM16, KeyLen: 256}}
	peer := netip.MustParseAddr("198.51.100.7")
	for _, udp := range []bool{true, false} {
		mtu, err := pump.InnerMTU(1500, sa, peer, udp)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(udp, mtu)
	}
	// Output:
	// true 1438
	// false 1446
}
