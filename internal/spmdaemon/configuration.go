package spmdaemon

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/conf"
	"github.com/racoon3/racoon/spd"
	"github.com/racoon3/racoon/spd/names"
	"github.com/racoon3/racoon/spd/spmif"
	"github.com/racoon3/racoon/spd/statefile"
)

// policiesOf is what a configuration declares.
func policiesOf(cfg *conf.Config) Policies {
	return Policies{
		Names: cfg.PolicyNames(),
		Rules: func(lookup func(string) []netip.Addr) (rules []spd.Rule, waiting []string) {
			rules = cfg.Rules(lookup)
			have := make(map[string]bool, len(rules))
			for i := range rules {
				have[rules[i].Name] = true
			}
			for _, p := range cfg.Policies {
				if p.Install && !have[p.Name] {
					waiting = append(waiting, p.Name)
				}
			}
			return rules, waiting
		},
		Rule: func(name string) (spd.Rule, bool) {
			p := cfg.Policy(name)
			if p == nil {
				return spd.Rule{}, false
			}
			return cfg.Rule(p, nil), true
		},
	}
}

// daemonOptions opens what the daemon needs besides the data plane.
func daemonOptions(cfg *conf.Config, o arguments, log *slog.Logger) (opt Options, release func(), err error) {
	var closers []func() error
	release = func() {
		for _, c := range closers {
			_ = c() // the daemon closes sockets itself; what is left is of a failed start
		}
	}
	defer func() {
		if err != nil {
			release()
		}
	}()
	s := &cfg.Spmd
	opt = Options{Policies: policiesOf(cfg), Keep: o.keep, MaxClients: s.MaxClients, MaxPolicies: s.MaxPolicies, Grace: o.grace, Logger: log}
	if s.LostClient == "remove" {
		opt.Lost = LostRemove
	}
	for _, file := range []string{o.state, s.Socket} {
		if file != "" { // such as below /run, which is empty after a boot
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				return opt, release, err
			}
		}
	}
	if o.state != "" && cfg.DataPlane.AtStart == "adopt" {
		f, err := statefile.Open(o.state)
		if err != nil {
			return opt, release, err
		}
		opt.Store = f
		closers = append(closers, f.Close)
	}
	opt.Names = names.CacheConfig{MinTTL: s.Names.MinTTL.D(), MaxTTL: s.Names.MaxTTL.D(), MaxNames: s.Names.MaxEntries}
	var resolvers names.First
	static := names.Hosts{}
	for name, addrs := range s.Names.Static {
		for _, a := range addrs {
			if ip, err := netip.ParseAddr(a); err == nil { // checked
				static.Add(name, ip.Unmap())
			}
		}
	}
	resolvers = append(resolvers, static)
	if s.Names.HostsFile != "" {
		hosts, err := readHosts(s.Names.HostsFile)
		if err != nil {
			return opt, release, err
		}
		resolvers = append(resolvers, hosts)
	}
	if len(s.DNS.Listen) > 0 {
		f := &names.ForwarderConfig{Timeout: s.DNS.Timeout.D(), Logger: log}
		for _, u := range s.DNS.Upstream {
			at, err := addrPort(u)
			if err != nil {
				return opt, release, err
			}
			f.NameServers = append(f.NameServers, at)
		}
		opt.Forwarder = f
		for _, l := range s.DNS.Listen {
			at, err := addrPort(l)
			if err != nil {
				return opt, release, err
			}
			p, err := net.ListenPacket("udp", at.String())
			if err != nil {
				return opt, release, err
			}
			opt.Packets = append(opt.Packets, p)
			closers = append(closers, p.Close)
			t, err := net.Listen("tcp", at.String())
			if err != nil {
				return opt, release, err
			}
			opt.Streams = append(opt.Streams, t)
			closers = append(closers, t.Close)
		}
	}
	switch {
	case !s.Names.Resolve:
	case opt.Forwarder != nil:
		opt.AskForwarder = true
	default:
		resolvers = append(resolvers, names.SystemResolver{})
	}
	opt.Resolver = resolvers
	if s.PasswordFile != "" {
		c, err := ike.LoadKeyFile(s.PasswordFile)
		if err != nil {
			return opt, release, err
		}
		opt.Password = c.PSK
	}
	if s.Socket != "" {
		l, err := spmif.Listen(spmif.ListenConfig{Path: s.Socket, Owner: s.Owner, Group: s.Group, Mode: s.FileMode()})
		if err != nil {
			return opt, release, err
		}
		opt.Listener = l
		closers = append(closers, l.Close)
	}
	return opt, release, nil
}

// readHosts reads a file of hosts; that there is none is no error.
func readHosts(file string) (names.Hosts, error) {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	h, err := names.ParseHosts(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return h, nil
}

// addrPort reads an address with an optional port, of DNS.
func addrPort(s string) (netip.AddrPort, error) {
	const dns = 53
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.AddrPortFrom(a, dns), nil
	}
	return netip.ParseAddrPort(s)
}
