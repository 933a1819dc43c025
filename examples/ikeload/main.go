// Ikeload puts an IKEv2 or IKEv1 responder under load and prints how it took it.
//
// Handshakes, with rate, latency percentiles and failures by kind:
//
//	ikeload -target 192.0.2.1:500 -psk secret -id 'user%d@example.org' -n 10000 -concurrency 64
//	ikeload -target 192.0.2.1:500 -cert c.pem -key c.key -ca ca.pem -ike-rekeys 1 -child-rekeys 2 -json
//
// A flood of half-open attempts from many addresses:
//
//	ikeload -flood -target 127.0.0.1:500 -sources 127.0.0.0/8 -n 100000
//
// A gateway of our own to be measured, on one processor:
//
//	taskset -c 1 ikeload -responder -listen 127.0.0.1:4500 -psk secret -id gw.example.org
//
// Certificates for both:
//
//	ikeload -make-pki dir -key-type rsa2048
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/load"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	switch err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintf(os.Stderr, "ikeload: %v\n", err)
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	makePKI, keyType string
	json             bool

	target, listen           string
	marker                   bool
	psk, cert, key, ca       string
	id, remoteID             string
	proposals, esp           string
	localTS, remoteTS        string
	localNet                 string
	n, concurrency, workers  int
	rate                     float64
	sources                  string
	ports                    int
	cookies                  bool
	ikeRekeys, childRekeys   int
	time, timeout, hold      time.Duration
	churn, leave, childless  bool
	ikev1, aggressive        bool
	plane                    string
	halfOpen, cookieMin, per int
}

// flagOf names the flag that a field of package load is set by.
var flagOf = map[string]string{
	"Target": "target", "Sources": "sources", "Handshakes": "n", "Attempts": "n", "Rate": "rate", "Concurrency": "concurrency",
	"Workers": "workers", "Ports": "ports", "IKERekeys": "ike-rekeys", "ChildRekeys": "child-rekeys", "Time": "time",
	"Timeout": "timeout", "Hold": "hold", "Churn": "churn", "Leave": "leave", "PSK": "psk", "Credential": "cert", "Trust": "ca",
	"LocalID": "id", "RemoteID": "remote-id", "Proposals": "proposals", "ESP": "esp", "LocalTS": "local-ts", "LocalNet": "local-net", "RemoteTS": "remote-ts",
	"Plane": "plane", "Aggressive": "aggressive", "Childless": "childless", "Listen[0]: Address": "listen",
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var o options
	f := flag.NewFlagSet("ikeload", flag.ContinueOnError)
	f.SetOutput(io.Discard) // errors are main's to print
	f.Bool("responder", false, "be a gateway to be measured, until interrupted or for -time")
	f.Bool("flood", false, "send half-open attempts from all of -sources instead of handshakes")
	f.StringVar(&o.makePKI, "make-pki", "", "write an authority and certificates for both sides into this new `folder`, and end")
	f.StringVar(&o.keyType, "key-type", "p256", "keys for -make-pki: rsa2048, rsa3072, p256, p384 or ed25519")
	f.BoolVar(&o.json, "json", false, "print the report as JSON")

	f.StringVar(&o.target, "target", "", "`address:port` of the responder")
	f.StringVar(&o.listen, "listen", "127.0.0.1:4500", "`address:port` of -responder")
	f.BoolVar(&o.marker, "marker", false, "the port carries IKE behind the non-ESP marker, as 4500 always does")

	f.StringVar(&o.psk, "psk", "", "pre-shared key; without it -cert and -ca are needed")
	f.StringVar(&o.cert, "cert", "", "`file` of the own certificate, with its intermediates")
	f.StringVar(&o.key, "key", "", "`file` of its private key, if it is not in -cert")
	f.StringVar(&o.ca, "ca", "", "`file` or folder of the authorities that vouch for the other side")
	f.StringVar(&o.id, "id", "", "own `identity`; %d in it is the number of the handshake (default the certificate's)")
	f.StringVar(&o.remoteID, "remote-id", "", "the other side's `identity` (default any)")
	f.StringVar(&o.proposals, "proposals", "", "IKE `proposals`, separated by commas, such as aes256gcm16-prfsha256-x25519")
	f.StringVar(&o.esp, "esp", "", "ESP `proposals`, such as aes128gcm16")
	f.BoolVar(&o.ikev1, "ikev1", false, "IKEv1 instead of IKEv2: phase 1 and Quick Mode")
	f.BoolVar(&o.aggressive, "aggressive", false, "with -ikev1: Aggressive Mode instead of Main Mode")
	f.BoolVar(&o.childless, "childless", false, "IKE SAs without a Child SA")
	f.StringVar(&o.localTS, "local-ts", "", "own traffic `selectors`, separated by commas (default the own address)")
	f.StringVar(&o.localNet, "local-net", "", "`prefix` of which each handshake has one address as its traffic selector")
	f.StringVar(&o.remoteTS, "remote-ts", "", "the other side's traffic `selectors` (default its address)")

	f.IntVar(&o.n, "n", 1000, "`number` of handshakes or attempts")
	f.IntVar(&o.concurrency, "concurrency", 16, "handshakes under way at a time")
	f.IntVar(&o.workers, "workers", 0, "initiators, each with a socket (default 1); with -responder goroutines (default one for each processor)")
	f.Float64Var(&o.rate, "rate", 0, "handshakes or attempts per second (default as many as possible)")
	f.StringVar(&o.sources, "sources", "", "`prefix` of own addresses to come from, one for each worker, or all in a flood, such as 127.0.0.0/8")
	f.IntVar(&o.ports, "ports", 1, "source ports for each address of a flood")
	f.BoolVar(&o.cookies, "cookies", false, "let the flood answer COOKIE notifies")
	f.IntVar(&o.ikeRekeys, "ike-rekeys", 0, "rekeys of each IKE SA")
	f.IntVar(&o.childRekeys, "child-rekeys", 0, "rekeys of each Child SA")
	f.DurationVar(&o.time, "time", 0, "begin nothing later than this (default 1m); with -responder end then (default never)")
	f.DurationVar(&o.timeout, "timeout", 10*time.Second, "of one exchange with its retransmissions")
	f.DurationVar(&o.hold, "hold", 0, "keep all sessions for this long before they are deleted")
	f.BoolVar(&o.churn, "churn", false, "delete each session at once when it is up")
	f.BoolVar(&o.leave, "leave", false, "delete no session")

	f.StringVar(&o.plane, "plane", "null", "data plane of -responder: "+strings.Join(load.Planes, ", "))
	f.IntVar(&o.halfOpen, "half-open", 0, "half-open SAs that -responder holds (default 10000)")
	f.IntVar(&o.cookieMin, "cookie-threshold", 0, "half-open SAs from which on -responder demands a cookie; negative: always (default never)")
	f.IntVar(&o.per, "half-open-per-ip", 0, "half-open SAs for each address (default unlimited)")
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(stderr, "Usage of ikeload:")
			f.SetOutput(stderr)
			f.PrintDefaults()
			return err
		}
		return fmt.Errorf("%w (-h lists the flags)", err)
	}
	if f.NArg() > 0 {
		return fmt.Errorf("%q is not a flag; flags begin with a dash, and there are no other arguments", f.Arg(0))
	}
	mode, err := modeOf(f)
	if err != nil {
		return err
	}
	switch mode {
	case "make-pki":
		err = makePKI(o.makePKI, o.keyType, stdout)
	case "responder":
		err = o.serve(ctx, stdout, stderr)
	case "flood":
		err = o.runFlood(ctx, stdout)
	default:
		err = o.runHandshakes(ctx, stdout)
	}
	return nameFlag(err)
}

// nameFlag says which flag is wrong, where a field is.
func nameFlag(err error) error {
	if fe, ok := errors.AsType[*load.FieldError](err); ok {
		if name := flagOf[fe.Field]; name != "" {
			return fmt.Errorf("-%s: %w", name, fe.Err)
		}
	}
	if ce, ok := errors.AsType[*racoon.ConfigError](err); ok {
		words := strings.Split(ce.Field, ": ") // Peers[0] "load": LocalID
		for _, field := range []string{ce.Field, words[len(words)-1]} {
			if name := flagOf[field]; name != "" {
				return fmt.Errorf("-%s: %w", name, ce.Err)
			}
		}
	}
	return err
}

func list(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}

func (o *options) identity() (id load.Identity, err error) {
	id = load.Identity{LocalID: o.id, RemoteID: o.remoteID, Proposals: list(o.proposals), ESP: list(o.esp), LocalTS: list(o.localTS), RemoteTS: list(o.remoteTS),
		Childless: o.childless, IKEv1: o.ikev1, Aggressive: o.aggressive}
	switch {
	case o.psk != "" && o.cert != "":
		return id, errors.New("-psk and -cert exclude each other; use one of them")
	case o.psk != "" && o.ca != "":
		return id, errors.New("-psk and -ca exclude each other; use one of them")
	case o.key != "" && o.cert == "":
		return id, errors.New("-cert is missing; -key is the key of a certificate")
	case o.psk != "":
		if o.id == "" {
			return id, errors.New("-id is missing; say who this side is, such as 'user%d@example.org'")
		}
		id.PSK = ike.Secret(o.psk)
		return id, nil
	case o.cert == "":
		return id, errors.New("-psk is missing, or -cert and -ca: say how this side proves who it is")
	case o.ca == "":
		return id, errors.New("-ca is missing; name the file of the authority that vouches for the other side")
	}
	if id.Credential, err = ike.LoadCredential(o.cert, o.key); err != nil {
		return id, fmt.Errorf("-cert, -key: %w", err)
	}
	if id.Trust, err = ike.LoadTrust(o.ca); err != nil {
		return id, fmt.Errorf("-ca: %w", err)
	}
	return id, nil
}

func (o *options) endpoints() (target netip.AddrPort, sources netip.Prefix, err error) {
	if o.target == "" {
		return target, sources, errors.New("-target is missing; name the responder, such as 192.0.2.1:500")
	}
	if target, err = netip.ParseAddrPort(o.target); err != nil {
		return target, sources, fmt.Errorf("-target: %q is not an IP address and a port, such as 192.0.2.1:500", o.target)
	}
	if o.sources != "" {
		if sources, err = netip.ParsePrefix(o.sources); err != nil {
			return target, sources, fmt.Errorf("-sources: %q is not a prefix, such as 127.0.0.0/8", o.sources)
		}
	}
	return target, sources, nil
}

func (o *options) runHandshakes(ctx context.Context, stdout io.Writer) error {
	if o.concurrency == 0 { // which the library takes for its default
		return fmt.Errorf("-concurrency: 0 is out of range; use 1 to %d", load.MaxConcurrency)
	}
	cfg := load.Config{Marker: o.marker, Handshakes: o.n, Rate: o.rate, Concurrency: o.concurrency, Workers: o.workers,
		IKERekeys: o.ikeRekeys, ChildRekeys: o.childRekeys, Time: o.time, Timeout: o.timeout, Hold: o.hold, Churn: o.churn, Leave: o.leave}
	var err error
	if cfg.Target, cfg.Sources, err = o.endpoints(); err != nil {
		return err
	}
	if cfg.Identity, err = o.identity(); err != nil {
		return err
	}
	if o.localNet != "" {
		if cfg.LocalNet, err = netip.ParsePrefix(o.localNet); err != nil {
			return fmt.Errorf("-local-net: %q is not a prefix, such as 10.0.0.0/8", o.localNet)
		}
	}
	r, err := load.Run(ctx, cfg)
	if err != nil {
		return err
	}
	if o.json {
		err = load.WriteJSON(stdout, r)
	} else {
		err = r.WriteText(stdout)
	}
	if err == nil && r.Failed > 0 && r.Established == 0 {
		err = errNoHandshake
	}
	return err
}

// errNoHandshake makes the exit status tell scripts what the report tells
// readers.
var errNoHandshake = errors.New("no handshake has succeeded")

func (o *options) runFlood(ctx context.Context, stdout io.Writer) error {
	cfg := load.FloodConfig{Marker: o.marker, Ports: o.ports, Attempts: o.n, Rate: o.rate, Time: o.time, Cookies: o.cookies, Proposals: list(o.proposals)}
	var err error
	if cfg.Target, cfg.Sources, err = o.endpoints(); err != nil {
		return err
	}
	if o.sources == "" {
		cfg.Sources = netip.PrefixFrom(netip.AddrFrom4([4]byte{127}), 8)
	}
	r, err := load.RunFlood(ctx, cfg)
	if err != nil {
		return err
	}
	if o.json {
		return load.WriteJSON(stdout, r)
	}
	return r.WriteText(stdout)
}
