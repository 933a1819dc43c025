// Vpnclient connects this host, or the network behind it, with an IKEv2 or
// IKEv1 gateway, through a TUN device. It needs Linux and root.
//
//	vpnclient -server vpn.example.org -id alice@example.org -psk-file psk
//	vpnclient -server vpn.example.org -cert alice.pem -key alice.key -ca ca.pem -remote-subnet 10.1.0.0/16
//	vpnclient -server gw.example.org -id b.example.org -psk-file psk -local-subnet 10.2.0.0/16 -remote-subnet 10.1.0.0/16
//
//	vpnclient -ike 1 -mode aggressive -server cisco.example.org -id keyid:staff -psk-file group -user carol -password-file carol
//	vpnclient -ike 1 -hybrid -server vpn.example.org -id carol@example.org -ca ca.pem -user carol -password-file carol
//
// The first sends everything through the tunnel, the second what is for the
// gateway's network, with an address that the gateway gives; the third joins
// two networks. The last two are road warriors with a gateway that knows IKEv1
// only: with a key of their group, and with a certificate of the gateway alone.
// When it ends, by an interrupt or an error, everything is as it was before.
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/examples/internal/vpn"
	"github.com/racoon3/racoon/ike"
)

func main() { os.Exit(vpn.Main("vpnclient", run)) }

func run(ctx context.Context, args []string, logTo io.Writer) error {
	o, err := parse(args, logTo)
	if err != nil {
		return err
	}
	logger := o.Logger(logTo)
	sockets, err := vpn.MarkedSockets()
	if err != nil {
		return fmt.Errorf("opening the sockets: %w", err)
	}
	t, err := vpn.Start(racoon.Config{
		Peers: []racoon.Peer{o.peer}, Listen: sockets, Resolver: vpn.MarkedResolver(), Logger: logger,
	}, o.Device, vpn.MTU(o.MTU, 0))
	if err != nil {
		vpn.CloseSockets(sockets)
		return err
	}
	return t.Run(ctx, func() error { return follow(ctx, t, o, logger) })
}

// follow keeps this host's network as the session needs it, until ctx ends.
func follow(ctx context.Context, t *vpn.Tunnel, o *options, logger *slog.Logger) error {
	n := &network{tunnel: t, options: o, log: logger}
	events := t.Subscribe(context.WithoutCancel(ctx))
	s, err := t.Initiate(ctx, o.peer.Name)
	if err == nil {
		err = n.configure(s)
	}
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.Failed():
			return t.Wait(ctx)
		case ev, ok := <-events:
			if !ok {
				return t.Wait(ctx)
			}
			if _, up := ev.(ike.ChildUp); !up {
				continue
			}
			// The session may be another one, with another address.
			if s := t.Session(ev.Header().Session); s != nil {
				if err := n.configure(s); err != nil {
					return err
				}
			}
		}
	}
}
