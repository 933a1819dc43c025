// Vpngateway is an IKEv2 or IKEv1 gateway for many clients, or for the gateways
// of other networks, behind a TUN device. It needs Linux and root.
//
//	vpngateway -id vpn.example.org -psk-file psk -pool 10.99.0.0/24 -local-subnet 10.1.0.0/16
//	vpngateway -cert gw.pem -key gw.key -ca ca.pem -pool 10.99.0.0/24,2001:db8:99::/112 -dns 10.1.0.53
//	vpngateway -id a.example.org -remote-id b.example.org -psk-file psk -local-subnet 10.1.0.0/16 -remote-subnet 10.2.0.0/16
//
//	vpngateway -ike 1 -mode main,aggressive -id vpn.example.org -remote-id keyid:staff -psk-file group -users users -pool 10.99.0.0/24 -local-subnet 10.1.0.0/16
//	vpngateway -ike 1 -hybrid -cert gw.pem -key gw.key -users users -pool 10.99.0.0/24 -local-subnet 10.1.0.0/16
//
// The first two give addresses to clients: of any system that speaks IKEv2 with
// a pre-shared key or certificates, such as vpnclient. The third joins a
// network with another. The last two are for road warriors with IKEv1, such as
// Cisco's clients, vpnc and vpnclient, whose users log in: with a key of their
// group, and with a certificate of the gateway alone. Cisco's clients and vpnc
// need -proposals aes256-sha1-modp2048 -esp aes256-sha1. Where clients may reach
// the internet through the gateway, translating their addresses is the
// firewall's affair. When it ends, by an interrupt or an error, everything is
// as it was before.
package main

import (
	"context"
	"io"
	"log/slog"
	"os"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/examples/internal/vpn"
	"github.com/racoon3/racoon/internal/route"
)

func main() { os.Exit(vpn.Main("vpngateway", run)) }

func run(ctx context.Context, args []string, logTo io.Writer) error {
	o, err := parse(args, logTo)
	if err != nil {
		return err
	}
	logger := o.Logger(logTo)
	t, err := vpn.Start(racoon.Config{Peers: []racoon.Peer{o.peer}, Listen: o.listen, Logger: logger}, o.Device, vpn.MTU(o.MTU, 0))
	if err != nil {
		return err
	}
	return t.Run(ctx, func() error { return serve(ctx, t, o, logger) })
}

// serve makes the clients, or the networks behind the peers, reachable, until
// ctx ends.
func serve(ctx context.Context, t *vpn.Tunnel, o *options, logger *slog.Logger) error {
	if err := vpn.Forward(t.Changes, o.local.List); err != nil {
		return err
	}
	own := o.local.OwnAddresses()
	for _, p := range append(o.pool.List, o.remote.List...) {
		r := route.Route{Dst: p, Link: t.Device}
		for _, a := range own {
			if a.Is4() == p.Addr().Is4() {
				r.Src = a
			}
		}
		if err := t.Changes.AddRoute(r); err != nil {
			return err
		}
	}
	logger.Info("gateway is ready", "device", t.Device, "local", o.local.String(), "pool", o.pool.String(), "remote", o.remote.String())
	return t.Wait(ctx)
}
