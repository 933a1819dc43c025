package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"

	"github.com/racoon3/racoon/internal/conf"
	"github.com/racoon3/racoon/internal/route"
	"github.com/racoon3/racoon/spd"
	"github.com/racoon3/racoon/xfrm"
)

// interfaces are the network interfaces for route-based operation.
type interfaces struct {
	plane   *xfrm.DataPlane
	changes *route.Changes
	made    []string
}

// makeInterfaces makes the interfaces of a configuration with their addresses
// and routes. One that is there already, such as a predecessor's, stays as it is.
func makeInterfaces(ctx context.Context, cfg *conf.Config, plane *xfrm.DataPlane, log *slog.Logger) (i *interfaces, err error) {
	if len(cfg.Interfaces) == 0 {
		return nil, nil
	}
	if plane == nil {
		return nil, errors.New("[interface.NAME] needs the data plane xfrm")
	}
	i = &interfaces{plane: plane}
	defer func() {
		if err != nil {
			err = errors.Join(err, i.remove(ctx))
		}
	}()
	if i.changes, err = route.New(); err != nil {
		return nil, err
	}
	for _, c := range cfg.Interfaces {
		if err := i.make(ctx, c, log); err != nil {
			return nil, fmt.Errorf("interface %s: %w", c.Name, err)
		}
		log.Info("interface", "name", c.Name, "kind", c.Kind)
	}
	return i, nil
}

func (i *interfaces) make(ctx context.Context, c *conf.Interface, log *slog.Logger) error {
	l := xfrm.Link{Name: c.Name, Kind: xfrm.LinkKind(c.Kind), Device: c.Device, MTU: c.MTU, InterfaceID: c.InterfaceID, External: c.External, InKey: c.InKey, OutKey: c.OutKey}
	if c.Kind != "xfrm" {
		var err error
		if l.Local, err = netip.ParseAddr(c.Local); err == nil {
			l.Remote, err = netip.ParseAddr(c.Remote)
		}
		if err != nil {
			return err
		}
	}
	switch _, err := i.plane.AddLink(ctx, l); {
	case err == nil:
		i.made = append(i.made, c.Name)
	case errors.Is(err, spd.ErrExists):
		log.Warn("the interface is there already; it is used as it is, and stays", "name", c.Name)
	default:
		return err
	}
	if err := i.changes.SetUp(c.Name, c.MTU); err != nil {
		return err
	}
	if err := addAddresses(i.changes, c.Name, c.Addresses); err != nil {
		return err
	}
	for _, r := range c.Routes {
		p, err := netip.ParsePrefix(r)
		if err == nil {
			err = i.changes.AddRoute(route.Route{Dst: p, Link: c.Name})
		}
		if err != nil && !errors.Is(err, os.ErrExist) {
			return fmt.Errorf("the route %s: %w", r, err)
		}
	}
	return nil
}

func (i *interfaces) remove(ctx context.Context) error {
	if i == nil {
		return nil
	}
	var errs []error
	if i.changes != nil {
		errs = append(errs, i.changes.Undo())
	}
	for _, name := range i.made {
		if err := i.plane.DeleteLink(ctx, name); !errors.Is(err, spd.ErrNotFound) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
