package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"strings"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/examples/internal/vpn"
)

var errUsage = errors.New("wrong use (-h lists the flags)")

// options are the flags, checked.
type options struct {
	peer          racoon.Peer
	local, remote vpn.Prefixes
	device        string
	mtu           int
	escape        string
	level         slog.Level
}

func parse(args []string, out io.Writer) (*options, error) {
	o := &options{remote: vpn.Prefixes{List: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}}}
	o.peer = racoon.Peer{Name: "gateway", Start: racoon.StartAlways, ForceEncap: true}
	fs := flag.NewFlagSet("vpnclient", flag.ContinueOnError)
	fs.SetOutput(io.Discard) // errors are main's to print
	var creds vpn.Credentials
	verbose := false
	fs.StringVar(&o.peer.Remote, "server", "", "the gateway: `host` name or address, with a port if it is not 500")
	natt := fs.Uint("natt-port", 0, "the gateway's `port` for IKE and ESP in UDP (default 4500)")
	creds.Define(fs, "", "what the gateway must be called (default: the host of -server)")
	fs.Var(&o.remote, "remote-subnet", "`networks` to reach through the tunnel, with commas between")
	fs.Var(&o.local, "local-subnet", "`networks` behind this host to join with -remote-subnet; without it, the gateway gives this host an address")
	vpn.DefineDevice(fs, &o.device, &o.mtu)
	fs.StringVar(&o.escape, "escape", "auto", "what keeps the gateway reachable if it is in -remote-subnet: mark (SO_MARK and ip rules), host (a host route), or auto")
	fs.BoolVar(&verbose, "v", false, "log more")
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fs.SetOutput(out)
			fmt.Fprintf(out, "Usage of %s:\n", fs.Name())
			fs.PrintDefaults()
			return nil, err
		}
		return nil, fmt.Errorf("%w: %w", errUsage, err)
	}
	if verbose {
		o.level = slog.LevelDebug
	}
	if err := o.check(fs, uint64(*natt), &creds); err != nil {
		return nil, fmt.Errorf("%w: %w", errUsage, err)
	}
	return o, nil
}

// check finishes the options. Errors name the flag and the fix.
func (o *options) check(fs *flag.FlagSet, natt uint64, creds *vpn.Credentials) error {
	switch {
	case fs.NArg() > 0:
		return fmt.Errorf("unexpected %q; everything is said with flags", strings.Join(fs.Args(), " "))
	case o.peer.Remote == "":
		return errors.New("-server: is missing; say where the gateway is, such as -server vpn.example.org")
	case natt > 65535:
		return fmt.Errorf("-natt-port: %d is not a port; use 1 to 65535", natt)
	case len(o.remote.List) == 0:
		return errors.New("-remote-subnet: is empty; leave it out to send everything through the tunnel")
	case o.escape != "auto" && o.escape != "mark" && o.escape != "host":
		return fmt.Errorf("-escape: %q is unknown; use auto, mark or host", o.escape)
	}
	if err := vpn.CheckDevice(o.device, o.mtu); err != nil {
		return err
	}
	if err := creds.Apply(&o.peer); err != nil {
		return err
	}
	o.peer.RemoteNATT = uint16(natt)
	for _, l := range o.local.List {
		for _, r := range o.remote.List {
			if l == r {
				return fmt.Errorf("-local-subnet: %v is in -remote-subnet too; the networks of both sides must differ", l)
			}
		}
	}
	o.peer.Children = []racoon.Child{{Name: "net", Local: o.local.Strings(), Remote: o.remote.Strings()}}
	o.peer.RequestAddress = len(o.local.List) == 0
	return vpn.CheckPeer(o.peer)
}
