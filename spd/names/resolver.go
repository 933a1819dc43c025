package names

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// An Answer is an address of a name and for how long that holds.
type Answer struct {
	Addr netip.Addr
	TTL  time.Duration
}

// ErrNoName says that a name or the name of an address does not exist. Other
// errors say that nobody knows at the moment.
var ErrNoName = errors.New("names: no such name")

// A Resolver finds addresses and names. Names end in a dot.
type Resolver interface {
	LookupAddrs(ctx context.Context, name string) ([]Answer, error)
	// LookupNames returns what an address says its names are (PTR); nothing says
	// that the names agree.
	LookupNames(ctx context.Context, addr netip.Addr) ([]string, error)
}

// MaxName is the longest name in its canonical form, in octets (RFC 1035 2.3.4,
// with the last dot).
const MaxName = 254

// Canonical returns a name in the form that this package compares: lower case,
// with a last dot. It is empty if s is no domain name.
func Canonical(s string) string {
	s = strings.TrimSuffix(s, ".") + "."
	if len(s) > MaxName || s == "." {
		return ""
	}
	label := 0
	b := []byte(s)
	for i, c := range b {
		switch {
		case c == '.':
			if label == 0 || label > 63 {
				return ""
			}
			label = -1
		case c >= 'A' && c <= 'Z':
			b[i] = c + 'a' - 'A'
		case c <= ' ' || c >= 0x7f:
			return ""
		}
		label++
	}
	return string(b)
}

// SystemResolver asks the system. It does not tell for how long an answer holds,
// so that is TTL for all.
type SystemResolver struct {
	Resolver *net.Resolver // nil is net.DefaultResolver
	TTL      time.Duration // 0 is one minute
}

func (s SystemResolver) resolver() *net.Resolver {
	if s.Resolver == nil {
		return net.DefaultResolver
	}
	return s.Resolver
}

// LookupAddrs implements [Resolver].
func (s SystemResolver) LookupAddrs(ctx context.Context, name string) ([]Answer, error) {
	addrs, err := s.resolver().LookupNetIP(ctx, "ip", name)
	if host, dot := strings.CutSuffix(name, "."); err != nil && dot && !strings.Contains(host, ".") {
		// Go finds names without a dot in the file of hosts only as they are there.
		if again, e := s.resolver().LookupNetIP(ctx, "ip", host); e == nil {
			addrs, err = again, nil
		}
	}
	if err != nil {
		return nil, noName(err)
	}
	ttl := s.TTL
	if ttl == 0 {
		ttl = time.Minute
	}
	var r []Answer
	for _, a := range addrs {
		r = append(r, Answer{a.Unmap(), ttl})
	}
	return r, nil
}

// LookupNames implements [Resolver].
func (s SystemResolver) LookupNames(ctx context.Context, addr netip.Addr) ([]string, error) {
	list, err := s.resolver().LookupAddr(ctx, addr.String())
	return list, noName(err)
}

func noName(err error) error {
	if d, ok := errors.AsType[*net.DNSError](err); ok && d.IsNotFound {
		return errors.Join(ErrNoName, err)
	}
	return err
}

// Hosts are names with fixed addresses: a file of hosts, or what a configuration
// says.
type Hosts map[string][]netip.Addr

// Bounds of a file of hosts.
const (
	maxHostsLine  = 4096
	maxHostsNames = 100_000
)

// ParseHosts reads a file of hosts (hosts(5)). Lines that it does not
// understand are passed over, as everybody does.
func ParseHosts(r io.Reader) (Hosts, error) {
	h := Hosts{}
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 0, 512), maxHostsLine)
	for s.Scan() {
		line, _, _ := strings.Cut(s.Text(), "#")
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		a, err := netip.ParseAddr(f[0])
		if err != nil {
			continue
		}
		for _, name := range f[1:] {
			if len(h) >= maxHostsNames {
				return h, errors.New("names: too many names in a file of hosts")
			}
			h.Add(name, a.WithZone("").Unmap())
		}
	}
	return h, s.Err()
}

// Add adds an address of a name; what is no name is passed over.
func (h Hosts) Add(name string, a netip.Addr) {
	if name = Canonical(name); name != "" && !slices.Contains(h[name], a) {
		h[name] = append(h[name], a)
	}
}

// hostsTTL is for how long the answers of [Hosts] hold: what is read anew then
// is the same.
const hostsTTL = time.Hour

// LookupAddrs implements [Resolver].
func (h Hosts) LookupAddrs(_ context.Context, name string) ([]Answer, error) {
	var r []Answer
	for _, a := range h[Canonical(name)] {
		r = append(r, Answer{a, hostsTTL})
	}
	if r == nil {
		return nil, ErrNoName
	}
	return r, nil
}

// LookupNames implements [Resolver].
func (h Hosts) LookupNames(_ context.Context, addr netip.Addr) ([]string, error) {
	var r []string
	for name, addrs := range h {
		if slices.Contains(addrs, addr) {
			r = append(r, name)
		}
	}
	if r == nil {
		return nil, ErrNoName
	}
	slices.Sort(r)
	return r, nil
}

// First asks one resolver after the other and returns the first answer.
type First []Resolver

// LookupAddrs implements [Resolver].
func (f First) LookupAddrs(ctx context.Context, name string) ([]Answer, error) {
	return first(f, func(r Resolver) ([]Answer, error) { return r.LookupAddrs(ctx, name) })
}

// LookupNames implements [Resolver].
func (f First) LookupNames(ctx context.Context, addr netip.Addr) ([]string, error) {
	return first(f, func(r Resolver) ([]string, error) { return r.LookupNames(ctx, addr) })
}

// first prefers an error that somebody does not know to one that there is no
// such name, on which something would be removed.
func first[T any](f First, ask func(Resolver) ([]T, error)) ([]T, error) {
	err := ErrNoName
	for _, r := range f {
		list, e := ask(r)
		if e == nil && len(list) > 0 {
			return list, nil
		}
		if e != nil && !errors.Is(e, ErrNoName) {
			err = e
		}
	}
	return nil, err
}
