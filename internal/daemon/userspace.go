package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"

	"golang.zx2c4.com/wireguard/tun"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/esp"
	"github.com/racoon3/racoon/esp/pump"
	"github.com/racoon3/racoon/internal/conf"
	"github.com/racoon3/racoon/internal/route"
)

// espOverhead is what ESP in UDP adds to a packet at most, with every algorithm
// and over IPv6.
const espOverhead = 110

// A userspace is ESP in this process, behind a TUN device.
type userspace struct {
	log    *slog.Logger
	cfg    conf.Userspace
	engine *esp.Engine
	pump   *pump.Pump
	device string
	raw    []*pump.RawConn
	marked []racoon.Listen // sockets with a mark that the Manager has not taken
	mark   uint32

	routes *tunnelRoutes // nil: this system's cannot be changed from here
}

// openUserspace makes the device.
func openUserspace(cfg *conf.Config, log *slog.Logger) (p *plane, err error) {
	u := &userspace{log: log, cfg: cfg.DataPlane.Userspace}
	d := &cfg.DataPlane
	hold := 0
	if !d.HoldPackets {
		hold = -1
	}
	u.engine = esp.New(esp.Config{
		RawESP: u.cfg.RawESP, PathMTU: u.cfg.PathMTU, Events: d.Events, HoldPackets: hold, AcquireTimeout: d.AcquireTimeout.D(),
	})
	defer func() {
		if err != nil {
			err = errors.Join(err, u.close(), u.engine.Close())
		}
	}()
	mtu := u.cfg.MTU
	if mtu == 0 {
		mtu = max(u.cfg.PathMTU-espOverhead, 576)
	}
	var dev tun.Device
	if dev, err = createTUN(u.cfg.TUN, mtu); err != nil {
		return nil, fmt.Errorf("making the TUN device %s: %w", u.cfg.TUN, err)
	}
	if u.device, err = dev.Name(); err == nil {
		u.pump, err = pump.New(pump.Config{Engine: u.engine, TUN: dev})
	}
	if err != nil {
		return nil, errors.Join(err, dev.Close())
	}
	if u.cfg.RawESP {
		if err = u.listenRaw(); err != nil {
			return nil, err
		}
	}
	if err = u.configure(cfg, mtu); err != nil {
		return nil, err
	}
	u.mark = u.cfg.Mark
	if u.mark == 0 && u.routes != nil && u.cfg.Routes && coversAll(cfg) {
		u.mark = route.TunnelMark
	}
	log.Info("TUN device", "device", u.device, "mtu", mtu)
	return &plane{DataPlane: u.engine, user: u}, nil
}

// configure gives the device its addresses.
func (u *userspace) configure(cfg *conf.Config, mtu int) error {
	changes, err := route.New()
	if errors.Is(err, errors.ErrUnsupported) {
		u.log.Warn("addresses and routes of the TUN device are left to hooks on this system", "device", u.device)
		return nil
	}
	if err != nil {
		return err
	}
	u.routes = &tunnelRoutes{log: u.log, device: u.device, changes: changes, marked: u.cfg.Mark == 0, enabled: u.cfg.Routes}
	if err := changes.SetUp(u.device, mtu); err != nil {
		return err
	}
	return addAddresses(changes, u.device, u.cfg.Addresses)
}

func addAddresses(changes *route.Changes, device string, addresses []string) error {
	for _, a := range addresses {
		prefix, err := netip.ParsePrefix(a)
		if err == nil {
			err = changes.AddAddress(device, prefix)
		}
		if err != nil {
			return fmt.Errorf("the address %s of %s: %w", a, device, err)
		}
	}
	return nil
}

// rawWriter sends by the socket of the family.
type rawWriter map[bool]*pump.RawConn

func (w rawWriter) WriteRawESP(local, remote netip.Addr, tos byte, df bool, packets [][]byte) (int, error) {
	if c := w[remote.Unmap().Is4()]; c != nil {
		return c.WriteRawESP(local, remote, tos, df, packets)
	}
	return 0, errors.New("no socket for ESP of that family")
}

func (u *userspace) listenRaw() error {
	w := make(rawWriter)
	for _, a := range []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
		c, err := pump.ListenRaw(a)
		if err != nil && a.Is6() {
			u.log.Warn("no ESP as IP protocol 50 over IPv6", "err", err)
			continue
		}
		if err != nil {
			return err
		}
		w[a.Is4()] = c
		u.raw = append(u.raw, c)
		go func() { _ = c.Serve(u.pump) }() // until it is closed
	}
	u.pump.SetRawWriter(w)
	return nil
}

// prepare completes the Manager's configuration: packets come to the pump, and
// sockets and questions to name servers have the mark.
func (u *userspace) prepare(cfg *racoon.Config) error {
	cfg.PacketHandler = u.pump
	if u.mark == 0 {
		return nil
	}
	lc := net.ListenConfig{Control: markSocket(u.mark)}
	cfg.Resolver = &net.Resolver{PreferGo: true, Dial: (&net.Dialer{Control: markSocket(u.mark)}).DialContext}
	var list []racoon.Listen
	for _, l := range cfg.Listen {
		networks := []string{"udp4", "udp6"}
		host, _, err := net.SplitHostPort(l.Address)
		if err != nil {
			return err
		}
		if a, err := netip.ParseAddr(host); err == nil {
			networks = []string{"udp6"}
			if a.Unmap().Is4() {
				networks = []string{"udp4"}
			}
		}
		for _, network := range networks {
			c, err := lc.ListenPacket(context.Background(), network, l.Address)
			if err != nil {
				if network == "udp6" && len(networks) == 2 {
					u.log.Warn("nobody is heard over IPv6", "err", err)
					continue
				}
				closeSockets(list)
				return err
			}
			list = append(list, racoon.Listen{Conn: c, NATT: l.NATT, KINK: l.KINK})
		}
	}
	cfg.Listen, u.marked = list, list
	return nil
}

func closeSockets(list []racoon.Listen) {
	for _, l := range list {
		_ = l.Conn.Close()
	}
}

// start lets packets flow once the Manager is there.
func (u *userspace) start(m *racoon.Manager) {
	u.marked = nil // the Manager's now
	u.pump.SetWriter(m)
}

// close takes everything back but the engine. The routes go first: while
// they are there, nothing passes beside the tunnel, but there is none any more.
func (u *userspace) close() error {
	var errs []error
	closeSockets(u.marked)
	u.marked = nil
	if u.routes != nil {
		errs = append(errs, u.routes.close())
	}
	for _, c := range u.raw {
		errs = append(errs, c.Close())
	}
	if u.pump != nil {
		errs = append(errs, u.pump.Close())
	}
	return errors.Join(errs...)
}

// coversAll reports whether a Child SA leads everywhere.
func coversAll(cfg *conf.Config) bool {
	for _, p := range cfg.Peers {
		for _, c := range p.Children {
			for _, r := range c.Remote {
				if strings.HasPrefix(r, "0.0.0.0/0") || strings.HasPrefix(r, "::/0") {
					return true
				}
			}
		}
	}
	return false
}
