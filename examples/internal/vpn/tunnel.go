package vpn

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/esp"
	"github.com/racoon3/racoon/esp/pump"
	"github.com/racoon3/racoon/internal/route"
)

// A Tunnel is a TUN device, userspace ESP and key management, put together,
// and the changes to this host's network.
type Tunnel struct {
	*racoon.Manager
	Engine  *esp.Engine
	Device  string // the system's name for it
	Changes *route.Changes

	routes *route.Changes
	log    *slog.Logger
	pump   *pump.Pump
	served chan error
}

// Start makes the device and serves the peers of cfg, whose DataPlane and
// PacketHandler it fills in. device is the name wanted. If anything fails,
// nothing is left.
func Start(cfg racoon.Config, device string, mtu int) (t *Tunnel, err error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	t = &Tunnel{Engine: esp.New(esp.Config{}), log: cfg.Logger}
	defer func() {
		if err != nil {
			err = errors.Join(err, t.Close())
			t = nil
		}
	}()
	cfg.DataPlane = t.Engine
	if t.Changes, err = route.New(); err != nil {
		return t, err
	}
	dev, err := createTUN(device, mtu)
	if err != nil {
		return t, fmt.Errorf("-tun: making the TUN device %s: %w", device, err)
	}
	if t.Device, err = dev.Name(); err == nil {
		t.pump, err = pump.New(pump.Config{Engine: t.Engine, TUN: dev})
	}
	if err != nil {
		return t, errors.Join(err, dev.Close())
	}
	if err = t.Changes.SetUp(t.Device, mtu); err != nil {
		return t, err
	}
	cfg.PacketHandler = t.pump
	m, err := racoon.NewManager(cfg)
	if err != nil {
		return t, err
	}
	t.Manager, t.served = m, make(chan error, 1)
	t.pump.SetWriter(m)
	// Not under a context: Close ends it, in order.
	go func() { t.served <- m.Serve(context.Background()) }()
	select {
	case <-m.Ready():
		return t, nil
	case err = <-t.served:
		t.served <- err
		return t, err
	}
}

// Run calls what uses the tunnel, and closes it when that is over.
func (t *Tunnel) Run(ctx context.Context, use func() error) error {
	err := use()
	if ctx.Err() != nil {
		t.log.Info("closing")
	}
	return errors.Join(err, t.Close())
}

// SetRoutes makes the routes of the tunnel, which Close takes back. Those of the
// call before are taken back first; what they led into the tunnel is
// unreachable until the new ones are there, and never goes beside it.
func (t *Tunnel) SetRoutes(before []netip.Prefix, set func(c *route.Changes) error) error {
	guard, err := route.New()
	if err != nil {
		return err
	}
	defer func() { t.unguard(guard) }()
	if t.routes != nil {
		if err := guard.Block(before); err != nil {
			return err
		}
		if err := t.routes.Undo(); err != nil {
			return err
		}
	}
	if t.routes, err = route.New(); err != nil {
		return err
	}
	return set(t.routes)
}

func (t *Tunnel) unguard(guard *route.Changes) {
	if err := guard.Undo(); err != nil {
		t.log.Warn("a guard of the routes is left", "err", err)
	}
}

// Wait waits until ctx ends, which is no error, or the tunnel fails.
func (t *Tunnel) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-t.pump.Done():
		return fmt.Errorf("the TUN device has failed: %w", t.pump.Err())
	case err := <-t.served:
		t.served <- err
		return fmt.Errorf("key management has ended: %w", err)
	}
}

// Failed returns a channel that is closed when the device fails.
func (t *Tunnel) Failed() <-chan struct{} { return t.pump.Done() }

// Close tells the peers, takes back all changes and removes the device. The
// routes go last, so that nothing passes beside the tunnel before.
func (t *Tunnel) Close() error {
	var errs []error
	if t.Manager != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := t.Shutdown(ctx); err != nil {
			t.log.Warn("not all peers could be told", "err", err)
		}
		<-t.served
	}
	for _, c := range []*route.Changes{t.routes, t.Changes} {
		if c != nil {
			errs = append(errs, c.Undo())
		}
	}
	if t.pump != nil {
		errs = append(errs, t.pump.Close())
	}
	return errors.Join(append(errs, t.Engine.Close())...)
}
