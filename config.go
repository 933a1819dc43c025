package racoon

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"slices"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/kink/message"
	"github.com/racoon3/racoon/natt"
	"github.com/racoon3/racoon/spd"
)

// Config is what a [Manager] is made of. DataPlane is the only field without
// a default. NewManager clones it; what it points to (credentials, trust, the
// data plane) is shared and must not be changed.
type Config struct {
	// DataPlane enforces what is negotiated: userspace ESP (package esp), a
	// kernel (packages xfrm and pfkey), or spd.Memory for tests. It stays the
	// program's: it is closed by whoever made it, after the Manager.
	DataPlane spd.DataPlane

	// Peers are the remotes to talk to. They can be changed later, see
	// [Manager.Reload].
	Peers []Peer

	// Listen are the sockets; nil means UDP ports 500 and 4500, and 910
	// with KINK.Kerberos, on all addresses, IPv4 and IPv6.
	Listen []Listen

	// PacketHandler gets the ESP packets that arrive in UDP. It is for data
	// planes in this process; kernels take their packets themselves.
	PacketHandler PacketHandler

	// Logger gets what an operator wants to know; nil discards it.
	Logger *slog.Logger

	// Authorize decides about peers that have proved a configured identity;
	// nil admits them all. Narrow decides about the selectors of Child SAs
	// that peers ask for; nil leaves it to the configuration.
	Authorize ike.Authorize
	Narrow    ike.Narrow

	// Resolver finds the addresses of Peer.Remote, anew for each attempt; nil
	// means net.DefaultResolver. With an [AddrResolver] packets find peers that are
	// known by name sooner; names.Directory has a cache that is kept up to date.
	Resolver Resolver

	// Rand is the source of all randomness; nil means crypto/rand.Reader. It
	// is read by several goroutines.
	Rand io.Reader

	// Limits bound what peers can make the Manager hold, over all workers.
	Limits ike.Limits

	// Workers is how many goroutines run the protocol, 1 to 64; 0 means one
	// for each processor.
	Workers int

	// EventBuffer is how many events may wait for one subscriber before
	// further ones are lost; 0 means 1024.
	EventBuffer int

	// VendorIDs are sent in the first message of each handshake.
	VendorIDs [][]byte

	// KINK is for peers that speak KINK.
	KINK KINKConfig

	// Trace, if set, is called with each decrypted message, by several
	// goroutines. It must return quickly and keep nothing.
	Trace func(t ike.TraceRecord)
}

// Listen is one socket, or with a wildcard or empty address one for each
// address family.
type Listen struct {
	// Address is what to bind a UDP socket to: ":500", "192.0.2.1:4500",
	// "[2001:db8::1]:500". Port 0 means any free one.
	Address string

	// NATT says that IKE on this socket has the non-ESP marker and shares the
	// port with ESP in UDP (RFC 3948), as on port 4500. It is assumed for
	// port 4500.
	NATT bool

	// KINK says that it is for KINK and not for IKE. It is assumed for port 910.
	KINK bool

	// Conn is a connection to use instead of Address; the Manager closes it.
	// It must be a *net.UDPConn, be bound to one address, or be a [PathConn].
	Conn net.PacketConn
}

// A Resolver looks up host names; *net.Resolver is one.
type Resolver interface {
	// LookupNetIP returns the addresses of a host, in order of preference.
	// network is "ip".
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// ErrConfig is what every error about a configuration wraps.
var ErrConfig = errors.New("invalid configuration")

// A ConfigError says which field is wrong, and what to do about it.
type ConfigError struct {
	Field string // such as `Peers[2] "office": Children[0]: Local[1]`
	Err   error
}

func (e *ConfigError) Error() string { return "racoon: " + e.Field + ": " + e.Err.Error() }

// Unwrap returns the reason.
func (e *ConfigError) Unwrap() error { return e.Err }

// Is makes errors.Is(err, ErrConfig) true.
func (e *ConfigError) Is(target error) bool { return target == ErrConfig }

func configError(field, format string, args ...any) error {
	return &ConfigError{Field: field, Err: fmt.Errorf(format, args...)}
}

// inField puts the name of an outer field before that of an error.
func inField(field string, err error) error {
	if ce, ok := errors.AsType[*ConfigError](err); ok {
		return &ConfigError{Field: field + ": " + ce.Field, Err: ce.Err}
	}
	return &ConfigError{Field: field, Err: err}
}

// Limits of the configuration.
const (
	maxWorkers         = 64 // an SPI's first octet tells the worker, and the protocol
	defaultEventBuffer = 1024
)

// fill returns a copy of c with its defaults, or an error.
func (c *Config) fill() (*Config, error) {
	f := *c
	f.Peers = slices.Clone(c.Peers)
	for i := range f.Peers {
		f.Peers[i] = f.Peers[i].clone()
	}
	f = f.copied()
	if f.DataPlane == nil {
		return nil, configError("DataPlane", "is nil; use one of packages esp, xfrm and pfkey, or spd.NewMemory for tests")
	}
	if f.Logger == nil {
		f.Logger = slog.New(slog.DiscardHandler)
	}
	if f.Rand == nil {
		f.Rand = rand.Reader
	}
	if f.Resolver == nil {
		f.Resolver = net.DefaultResolver
	}
	switch {
	case f.Workers < 0 || f.Workers > maxWorkers:
		return nil, configError("Workers", "%d is out of range; use 1 to %d, or 0 for one for each processor", f.Workers, maxWorkers)
	case f.Workers == 0:
		f.Workers = min(runtime.GOMAXPROCS(0), maxWorkers)
	}
	switch {
	case f.EventBuffer < 0:
		return nil, configError("EventBuffer", "%d is negative; use 0 for the default of %d", f.EventBuffer, defaultEventBuffer)
	case f.EventBuffer == 0:
		f.EventBuffer = defaultEventBuffer
	}
	if err := f.limits(); err != nil {
		return nil, err
	}
	if err := f.fillListen(); err != nil {
		return nil, err
	}
	return &f, nil
}

// copied returns c with lists that the program does not have in its hands.
func (c Config) copied() Config {
	c.Listen = slices.Clone(c.Listen)
	c.VendorIDs = slices.Clone(c.VendorIDs)
	for i, v := range c.VendorIDs {
		c.VendorIDs[i] = slices.Clone(v)
	}
	return c
}

func (c *Config) fillListen() error {
	if c.Listen == nil {
		c.Listen = []Listen{{Address: fmt.Sprintf(":%d", natt.PortIKE)}, {Address: fmt.Sprintf(":%d", natt.PortNATT), NATT: true}}
		if c.KINK.Kerberos != nil {
			c.Listen = append(c.Listen, Listen{Address: fmt.Sprintf(":%d", message.Port), KINK: true})
		}
	}
	if len(c.Listen) == 0 {
		return configError("Listen", "is empty; leave it nil for ports 500 and 4500, or name at least one socket")
	}
	seen := make(map[string]int)
	for i := range c.Listen {
		l, field := &c.Listen[i], fmt.Sprintf("Listen[%d]", i)
		if l.KINK && (l.NATT || c.KINK.Kerberos == nil) {
			return configError(field, "is for KINK, which has no NAT traversal and needs Config.KINK.Kerberos")
		}
		if l.Conn != nil {
			if l.Address != "" {
				return configError(field, "has both Conn and Address %q; use one of them", l.Address)
			}
			continue
		}
		_, port, err := splitListen(l.Address)
		if err != nil {
			return configError(field+": Address", "%w", err)
		}
		switch port {
		case natt.PortNATT:
			l.NATT = true
		case message.Port:
			l.KINK = true
		}
		if j, twice := seen[l.Address]; twice && port != 0 {
			return configError(field+": Address", "%q is that of Listen[%d] too; remove one of them", l.Address, j)
		}
		seen[l.Address] = i
	}
	return nil
}

// splitListen parses a listen address; the address is invalid for the
// wildcard of both families.
func splitListen(s string) (netip.Addr, uint16, error) {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return netip.Addr{}, 0, fmt.Errorf("%q is not an address and a port, such as \":500\" or \"192.0.2.1:4500\"", s)
	}
	p, err := parsePort(port)
	if err != nil {
		return netip.Addr{}, 0, fmt.Errorf("%q: %w", s, err)
	}
	if host == "" || host == "*" {
		return netip.Addr{}, p, nil
	}
	a, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Addr{}, 0, fmt.Errorf("%q: %q is not an IP address; names are not looked up here", s, host)
	}
	return a.Unmap(), p, nil
}
