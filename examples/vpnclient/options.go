package main

import (
	"errors"
	"fmt"
	"io"
	"net/netip"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/examples/internal/vpn"
)

// options are the flags, checked.
type options struct {
	*vpn.Flags
	peer          racoon.Peer
	local, remote vpn.Prefixes
	escape        string
	user          vpn.User
}

func parse(args []string, out io.Writer) (*options, error) {
	o := &options{
		Flags:  vpn.NewFlags("vpnclient", "", "what the gateway must be called (default: the host of -server)"),
		remote: vpn.Prefixes{List: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}},
	}
	o.peer = racoon.Peer{Name: "gateway", Start: racoon.StartAlways}
	o.StringVar(&o.peer.Remote, "server", "", "the gateway: `host` name or address, with a port if it is not 500")
	natt := o.Uint("natt-port", 0, "the gateway's `port` for IKE and ESP in UDP (default 4500)")
	o.user.Define(o.FlagSet)
	o.Var(&o.remote, "remote-subnet", "`networks` to reach through the tunnel, with commas between; without it, with IKEv1, only those that the gateway names, if it does")
	o.Var(&o.local, "local-subnet", "`networks` behind this host to join with -remote-subnet; without it, the gateway gives this host an address")
	o.StringVar(&o.escape, "escape", "auto", "what keeps the gateway reachable if it is in -remote-subnet: mark (SO_MARK and ip rules), host (a host route), or auto")
	return o, o.Parse(args, out, func() error { return o.check(*natt) })
}

// check finishes the options. Errors name the flag and the fix.
func (o *options) check(natt uint) error {
	switch {
	case o.peer.Remote == "":
		return errors.New("-server: is missing; say where the gateway is, such as -server vpn.example.org")
	case natt > 65535:
		return fmt.Errorf("-natt-port: %d is not a port; use 1 to 65535", natt)
	case len(o.remote.List) == 0:
		return errors.New("-remote-subnet: is empty; leave it out to send everything through the tunnel")
	case o.escape != "auto" && o.escape != "mark" && o.escape != "host":
		return fmt.Errorf("-escape: %q is unknown; use auto, mark or host", o.escape)
	}
	if err := o.Apply(&o.peer); err != nil {
		return err
	}
	if err := o.user.Apply(&o.peer); err != nil {
		return err
	}
	if o.peer.IKEv1.Hybrid && o.peer.UserPrompt == nil {
		return errors.New("-hybrid: this side proves nothing but its user; give -user and -password-file")
	}
	o.peer.RemoteNATT = uint16(natt)
	for _, l := range o.local.List {
		for _, r := range o.remote.List {
			if l == r {
				return fmt.Errorf("-local-subnet: %v is in -remote-subnet too; the networks of both sides must differ", l)
			}
		}
	}
	o.peer.Children = []racoon.Child{{Name: "net", Local: o.local.Strings(), Remote: o.remote.Strings(), Proposals: o.ESP()}}
	o.peer.RequestAddress = len(o.local.List) == 0
	return vpn.CheckPeer(o.peer)
}
