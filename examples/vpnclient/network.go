package main

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"slices"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/examples/internal/vpn"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/route"
	"github.com/racoon3/racoon/spd"
)

// network is what the session has made of this host's network.
type network struct {
	tunnel    *vpn.Tunnel
	options   *options
	log       *slog.Logger
	addresses []netip.Prefix
	subnets   []netip.Prefix // that the routes are for
	refused   []netip.Prefix // that were warned of
	server    netip.Addr
	session   ike.SessionID // the last one that was logged
}

// configure gives the device the session's addresses and routes. What has not
// changed since the last session is left alone: while there is no session, the
// routes keep packets from passing beside the tunnel.
func (n *network) configure(s *racoon.Session) error {
	own, err := ownNetworks(n.tunnel.Device)
	if err != nil {
		return err
	}
	var addresses []netip.Prefix
	server := s.Path().Remote.Addr()
	if cfg := s.Info().Config; cfg != nil && n.options.peer.RequestAddress {
		for _, a := range cfg.Addresses {
			if err := checkAddress(a.Addr(), server, own); err != nil {
				return err
			}
			addresses = append(addresses, netip.PrefixFrom(a.Addr(), a.Addr().BitLen()))
		}
		if n.session != s.ID() {
			n.log.Info("the gateway gives", "addresses", cfg.Addresses, "dns", cfg.DNS, "domains", cfg.Domains)
			if cfg.Banner != "" {
				n.log.Info("the gateway says", "banner", cfg.Banner)
			}
			n.session = s.ID()
		}
	}
	var selectors []spd.TrafficSelector
	for _, c := range s.ChildSAs() {
		selectors = append(selectors, c.RemoteTS...)
	}
	if cfg := s.Info().Config; cfg != nil && s.Version() == racoon.IKEv1 && !n.options.remote.Given() {
		selectors = splitInclude(selectors, cfg.Subnets)
	}
	subnets, refused, err := routesFor(selectors, n.options.remote.List, own)
	if err != nil {
		return err
	}
	if len(refused) > 0 && !slices.Equal(refused, n.refused) {
		n.log.Warn("the gateway's networks that this host is on itself stay where they are; name them with -remote-subnet to change that", "networks", refused)
		n.refused = refused
	}
	if n.options.peer.RequestAddress && len(addresses) == 0 {
		return errors.New("the gateway has given no address; with -local-subnet none is needed")
	}
	if len(subnets) == 0 {
		return nil // a session whose Child SA is still to come
	}
	changes := n.tunnel.Changes
	for _, a := range addresses {
		if err := changes.AddAddress(n.tunnel.Device, a); err != nil {
			return err
		}
	}
	for _, a := range n.addresses {
		if !slices.Contains(addresses, a) {
			if err := changes.RemoveAddress(n.tunnel.Device, a); err != nil {
				return err
			}
		}
	}
	n.addresses = addresses
	if slices.Equal(subnets, n.subnets) && server == n.server {
		return nil
	}
	before := n.subnets
	n.subnets, n.server = subnets, server
	return n.tunnel.SetRoutes(before, n.route)
}

// route sends the subnets into the tunnel.
func (n *network) route(changes *route.Changes) error {
	way, err := changes.Lookup(n.server)
	if err != nil {
		return err
	}
	if link, err := net.InterfaceByName(way.Link); err == nil {
		n.tunnel.Engine.SetPathMTU(n.server, min(link.MTU, 65535))
		if err := changes.SetUp(n.tunnel.Device, vpn.MTU(n.options.MTU, link.MTU)); err != nil {
			return err
		}
	}
	if len(n.options.local.List) > 0 {
		if err := vpn.Forward(changes, n.options.local.List); err != nil {
			return err
		}
	}
	t := route.Tunnel{
		Link: n.tunnel.Device, Prefixes: n.subnets, Src: n.options.local.OwnAddresses(), Outer: n.server,
		Marked: n.options.escape == "mark" || n.options.escape == "auto" && !route.StrictReversePath(way.Link),
	}
	for _, a := range n.addresses {
		t.Addresses = append(t.Addresses, a.Addr())
	}
	if err := changes.AddTunnel(t); err != nil {
		return err
	}
	n.log.Info("tunnel is ready", "device", n.tunnel.Device, "subnets", n.subnets, "server", n.server, "marked", t.Marked)
	return nil
}
