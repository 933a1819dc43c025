package pump_test

import (
	"context"
	"fmt"
	"log"
	"net/netip"

	"golang.zx2c4.com/wireguard/tun"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/esp"
	"github.com/racoon3/racoon/esp/pump"
	"github.com/racoon3/racoon/spd"
)

// A VPN program: what arrives at the device is protected, and sent through the
// sockets that the Manager shares between IKE and ESP.
func Example() {
	dev, err := tun.CreateTUN("tun0", 1400) // needs root
	if err != nil {
		log.Fatal(err)
	}
	engine := esp.New(esp.Config{})
	defer engine.Close()
	p, err := pump.New(pump.Config{Engine: engine, TUN: dev})
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close()
	m, err := racoon.NewManager(racoon.Config{DataPlane: engine, PacketHandler: p})
	if err != nil {
		log.Fatal(err)
	}
	p.SetWriter(m)
	log.Print(m.Serve(context.Background()))
}

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
