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

// A linkMaker makes network interfaces; [xfrm.DataPlane] is one.
type linkMaker interface {
	AddLink(ctx context.Context, l xfrm.Link) (index int, err error)
	FindLink(ctx context.Context, name string) (xfrm.Link, error)
	DeleteLink(ctx context.Context, name string) error
}

// interfaces are the network interfaces for route-based operation.
type interfaces struct {
	links   linkMaker
	alias   string // of what this program makes: by it the next one knows it again
	log     *slog.Logger
	changes *route.Changes
	made    []string
}

// makeInterfaces makes the interfaces of a configuration with their addresses
// and routes, and takes over those that a predecessor of that program's name
// left behind. One that somebody else has made is used if it is what the
// configuration says, and stays.
func makeInterfaces(ctx context.Context, cfg *conf.Config, plane *xfrm.DataPlane, name string, log *slog.Logger) (*interfaces, error) {
	if len(cfg.Interfaces) == 0 {
		return nil, nil
	}
	if plane == nil {
		return nil, errors.New("[interface.NAME] needs the data plane xfrm")
	}
	i := &interfaces{links: plane, alias: "made by " + name, log: log}
	return i, i.makeAll(ctx, cfg.Interfaces)
}

// makeAll makes all, or after an error none.
func (i *interfaces) makeAll(ctx context.Context, list []*conf.Interface) (err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, i.remove(ctx))
		}
	}()
	if i.changes, err = route.New(); err != nil {
		return err
	}
	for _, c := range list {
		if err := i.make(ctx, c); err != nil {
			return fmt.Errorf("interface %s: %w", c.Name, err)
		}
		i.log.Info("interface", "name", c.Name, "kind", c.Kind)
	}
	return nil
}

func (i *interfaces) make(ctx context.Context, c *conf.Interface) error {
	l := xfrm.Link{Name: c.Name, Kind: xfrm.LinkKind(c.Kind), Device: c.Device, MTU: c.MTU, InterfaceID: c.InterfaceID, External: c.External, InKey: c.InKey, OutKey: c.OutKey, Alias: i.alias}
	if l.Kind != xfrm.LinkXFRM {
		var err error
		if l.Local, err = netip.ParseAddr(c.Local); err == nil {
			l.Remote, err = netip.ParseAddr(c.Remote)
		}
		if err != nil {
			return err
		}
	}
	ours, err := i.link(ctx, l)
	if err != nil {
		return err
	}
	mtu := c.MTU
	if !ours {
		mtu = 0
	}
	if err := i.changes.SetUp(c.Name, mtu); err != nil {
		return err
	}
	if err := addAddresses(i.changes, c.Name, c.Addresses); err != nil {
		return err
	}
	var routes []netip.Prefix
	for _, r := range c.Routes {
		p, err := netip.ParsePrefix(r)
		routes = append(routes, p)
		if err == nil {
			err = i.changes.AddRoute(route.Route{Dst: p, Link: c.Name})
		}
		switch {
		case errors.Is(err, os.ErrExist) && !ours:
			i.log.Warn("there is a route already, which is left alone", "interface", c.Name, "route", r)
		case err != nil && !errors.Is(err, os.ErrExist):
			return fmt.Errorf("the route %s: %w", r, err)
		}
	}
	if !ours {
		return nil
	}
	var addresses []netip.Prefix
	for _, a := range c.Addresses {
		addresses = append(addresses, netip.MustParsePrefix(a)) // added above
	}
	return i.changes.RemoveLeftovers(c.Name, addresses, routes)
}

// link makes an interface, or takes the one that is there. It is ours if it is
// to be removed at the end.
func (i *interfaces) link(ctx context.Context, l xfrm.Link) (ours bool, err error) {
	_, err = i.links.AddLink(ctx, l)
	if errors.Is(err, spd.ErrExists) {
		is, findErr := i.links.FindLink(ctx, l.Name)
		switch {
		case errors.Is(findErr, spd.ErrNotFound) && l.Kind == xfrm.LinkXFRM:
			return false, fmt.Errorf("%w: an interface of another name has interface-id %d; use another number", err, l.InterfaceID)
		case errors.Is(findErr, spd.ErrNotFound):
			return false, fmt.Errorf("%w: an interface of another name is between %v and %v with in-key %d", err, l.Local, l.Remote, l.InKey)
		case findErr != nil:
			return false, errors.Join(err, findErr)
		case is.Alias != l.Alias && sameLink(is, l):
			i.log.Warn("the interface is there already; it is used as it is, and stays", "name", l.Name)
			return false, nil
		case is.Alias != l.Alias:
			return false, fmt.Errorf("%w: that one is %s, not %s; remove it, or use another name", err, describeLink(is), describeLink(l))
		case sameLink(is, l):
			i.log.Info("the interface of the last daemon is taken over", "name", l.Name)
			err = nil
		default: // the configuration is another since
			i.log.Info("the interface of the last daemon is replaced", "name", l.Name, "was", describeLink(is))
			if err = i.links.DeleteLink(ctx, l.Name); err == nil {
				_, err = i.links.AddLink(ctx, l)
			}
		}
	}
	if err == nil {
		i.made = append(i.made, l.Name)
	}
	return err == nil, err
}

// sameLink reports whether two interfaces serve the same SAs and policies.
func sameLink(a, b xfrm.Link) bool {
	return a.Kind == b.Kind && a.InterfaceID == b.InterfaceID && a.External == b.External &&
		a.Local == b.Local && a.Remote == b.Remote && a.InKey == b.InKey && a.OutKey == b.OutKey
}

func describeLink(l xfrm.Link) string {
	switch {
	case l.Kind == xfrm.LinkXFRM && l.External:
		return "of kind xfrm and external"
	case l.Kind == xfrm.LinkXFRM:
		return fmt.Sprintf("of kind xfrm with interface-id %d", l.InterfaceID)
	case l.Kind == xfrm.LinkVTI, l.Kind == xfrm.LinkVTI6:
		return fmt.Sprintf("of kind %s between %v and %v with in-key %d and out-key %d", l.Kind, l.Local, l.Remote, l.InKey, l.OutKey)
	case l.Kind == "":
		return "a device"
	}
	return "of kind " + string(l.Kind)
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
		if err := i.links.DeleteLink(ctx, name); !errors.Is(err, spd.ErrNotFound) {
			errs = append(errs, err)
		}
	}
	i.made = nil
	return errors.Join(errs...)
}
