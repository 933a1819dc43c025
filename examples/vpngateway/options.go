package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/examples/internal/vpn"
	"github.com/racoon3/racoon/ike"
)

// options are the flags, checked.
type options struct {
	*vpn.Flags
	peer                racoon.Peer
	listen              []racoon.Listen
	local, remote, pool vpn.Prefixes
	users, banner       string
	ciscoUDP            uint
}

func parse(args []string, out io.Writer) (*options, error) {
	o := &options{
		Flags: vpn.NewFlags("vpngateway", "*", "what peers must be called, such as *@example.org; * is anybody who proves a name"),
		local: vpn.Prefixes{List: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}},
	}
	o.peer = racoon.Peer{Name: "peers"}
	listen := o.String("listen", "", "`address` to serve on (default: all), with UDP ports 500 and 4500")
	o.Var(&o.local, "local-subnet", "`networks` that peers reach through this gateway, with commas between")
	o.Var(&o.pool, "pool", "`networks` to give clients addresses from")
	dns := o.String("dns", "", "name servers to tell clients, with commas between")
	o.StringVar(&o.users, "users", "", "IKEv1: `file` of users and hashes of their passwords, as htpasswd -B makes it; clients have to log in (XAuth)")
	o.UintVar(&o.ciscoUDP, "cisco-udp", 0, "IKEv1: `port` to take ESP on from clients that know UDP encapsulation as Cisco had it before NAT traversal, such as 10000")
	o.StringVar(&o.banner, "banner", "", "IKEv1: `text` to show to clients")
	o.Var(&o.remote, "remote-subnet", "`networks` behind the peers, instead of -pool")
	return o, o.Parse(args, out, func() error { return o.check(*listen, *dns) })
}

// check finishes the options. Errors name the flag and the fix.
func (o *options) check(listen, dns string) error {
	switch {
	case len(o.pool.List) == 0 && len(o.remote.List) == 0:
		return errors.New("-pool: is missing; say where clients' addresses come from, such as -pool 10.99.0.0/24, or what is behind the peers with -remote-subnet")
	case len(o.pool.List) > 0 && len(o.remote.List) > 0:
		return errors.New("-remote-subnet: cannot be combined with -pool, as then any client could claim to be that network; run two gateways on two addresses, see -listen")
	case len(o.local.List) == 0:
		return errors.New("-local-subnet: is empty; leave it out to let peers reach everything")
	case dns != "" && len(o.pool.List) == 0:
		return errors.New("-dns: is for clients that get an address; give -pool too")
	case o.banner != "" && len(o.pool.List) == 0:
		return errors.New("-banner: is told to clients that get an address; give -pool too")
	}
	for _, n := range o.remote.List {
		if n.Bits() == 0 {
			return fmt.Errorf("-remote-subnet: %v would lead everything into the tunnel; name the networks behind the peers", n)
		}
	}
	if err := o.sockets(listen); err != nil {
		return err
	}
	if err := o.Apply(&o.peer); err != nil {
		return err
	}
	if err := o.addUsers(); err != nil {
		return err
	}
	old := slices.Contains(o.peer.Versions, racoon.IKEv1)
	switch {
	case o.banner != "" && !old:
		return errors.New("-banner: is shown by clients with IKEv1 only; say -ike 1")
	case o.ciscoUDP > 0 && !old:
		return errors.New("-cisco-udp: is for clients with IKEv1 only; say -ike 1")
	case o.peer.IKEv1.Hybrid && o.users == "":
		return errors.New("-hybrid: clients prove nothing but their user; give -users")
	}
	o.peer.Children = []racoon.Child{{Name: "net", Local: o.local.Strings(), Remote: o.remote.Strings(), Proposals: o.ESP()}}
	if len(o.pool.List) > 0 {
		if err := o.addPool(dns); err != nil {
			return err
		}
	}
	return vpn.CheckPeer(o.peer)
}

// addPool gives addresses to clients, but not this host's own.
func (o *options) addPool(dns string) error {
	cfg := racoon.PoolConfig{Addresses: o.pool.Strings(), Options: ike.NetworkConfig{Banner: o.banner, UDPPort: uint16(o.ciscoUDP)}}
	for _, s := range strings.FieldsFunc(dns, func(r rune) bool { return r == ',' }) {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return fmt.Errorf("-dns: %q is not an IP address", s)
		}
		cfg.DNS = append(cfg.DNS, a)
	}
	for _, n := range o.local.List {
		if n.Bits() > 0 {
			cfg.Subnets = append(cfg.Subnets, n)
		}
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return err
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok {
			cfg.Exclude = append(cfg.Exclude, n.IP.String())
		}
	}
	pool, err := racoon.NewPool(cfg)
	if err != nil {
		return fmt.Errorf("-pool: %w", err)
	}
	o.peer.Assign, o.peer.RequireAddress = pool, true // others would have no way back
	return nil
}

// addUsers has clients log in.
func (o *options) addUsers() error {
	if o.users == "" {
		return nil
	}
	if !slices.Contains(o.peer.Versions, racoon.IKEv1) {
		return errors.New("-users: users log in with IKEv1 only; say -ike 1")
	}
	users, err := ike.LoadUserFile(o.users)
	if err != nil {
		return fmt.Errorf("-users: %w", err)
	}
	o.peer.Users = ike.ThrottleLogins(users, ike.ThrottleConfig{})
	return nil
}

// sockets says where to listen: ports 500 and 4500, and what -cisco-udp asks
// for.
func (o *options) sockets(address string) error {
	if address != "" {
		if _, err := netip.ParseAddr(address); err != nil {
			return fmt.Errorf("-listen: %q is not an IP address; leave it out to serve on all", address)
		}
	}
	ports := []uint{500, 4500}
	switch {
	case o.ciscoUDP > 65535 || o.ciscoUDP == 500 || o.ciscoUDP == 4500:
		return fmt.Errorf("-cisco-udp: %d is no port for it; use 10000 as Cisco did", o.ciscoUDP)
	case o.ciscoUDP > 0 && len(o.pool.List) == 0:
		return errors.New("-cisco-udp: is told to clients that get an address; give -pool too")
	case o.ciscoUDP > 0:
		ports = append(ports, o.ciscoUDP)
	case address == "":
		return nil // the default
	}
	for _, p := range ports {
		o.listen = append(o.listen, racoon.Listen{Address: net.JoinHostPort(address, fmt.Sprint(p)), NATT: p != 500})
	}
	return nil
}
