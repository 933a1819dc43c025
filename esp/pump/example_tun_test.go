//go:build !netbsd

package pump_test

import (
	"context"
	"log"

	"golang.zx2c4.com/wireguard/tun"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/esp"
	"github.com/racoon3/racoon/esp/pump"
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
