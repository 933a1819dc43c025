package setkey

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"

	"github.com/racoon3/racoon/pfkey"
)

// A Resolver looks up names; a *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
	LookupPort(ctx context.Context, network, service string) (int, error)
}

// maxPairs is how many SAs or policies one statement can be for.
const maxPairs = 256

func (l Lookup) addresses(ctx context.Context, r Resolver, name string) ([]netip.Addr, error) {
	if a, ok := isNumeric(name); ok {
		return []netip.Addr{a}, nil
	}
	network := "ip"
	switch {
	case l.IPv4:
		network = "ip4"
	case l.IPv6:
		network = "ip6"
	}
	all, err := r.LookupNetIP(ctx, network, name)
	if err != nil {
		return nil, err
	}
	for i := range all {
		all[i] = all[i].Unmap()
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s has no address", name)
	}
	return all, nil
}

// pairs returns all pairs of addresses of one family.
func (l Lookup) pairs(ctx context.Context, r Resolver, src, dst string) (pairs [][2]netip.Addr, err error) {
	from, err := l.addresses(ctx, r, src)
	if err != nil {
		return nil, err
	}
	to, err := l.addresses(ctx, r, dst)
	if err != nil {
		return nil, err
	}
	for _, s := range from {
		for _, d := range to {
			if s.Is4() == d.Is4() {
				pairs = append(pairs, [2]netip.Addr{s, d})
			}
			if len(pairs) > maxPairs {
				return nil, fmt.Errorf("%s and %s have more than %d pairs of addresses", src, dst, maxPairs)
			}
		}
	}
	if len(pairs) == 0 {
		return nil, fmt.Errorf("%s and %s have no addresses of one family", src, dst)
	}
	return pairs, nil
}

// port returns a port by number or name, as udp has it: setkey asks for no other.
func port(ctx context.Context, r Resolver, name string) (uint16, error) {
	if name == "" {
		return 0, nil
	}
	if n, err := strconv.ParseUint(name, 10, 16); err == nil {
		return uint16(n), nil
	}
	n, err := r.LookupPort(ctx, "udp", name)
	if err == nil && (n < 0 || n > 65535) {
		err = errors.New("no port")
	}
	return uint16(n), err
}

func (c *Context) clone() *Context {
	if c == nil {
		return nil
	}
	x := *c
	return &x
}

// nattPort is the port of UDP encapsulation for an end without one (RFC 3948).
const nattPort = 4500

// SAs returns the SAs that a statement is about. Their keys are the statement's.
func (s *SAStatement) SAs(ctx context.Context, r Resolver) ([]*SA, error) {
	pairs, err := s.Lookup.pairs(ctx, r, s.Src.Name, s.Dst.Name)
	if err != nil {
		return nil, err
	}
	var ports [2]uint16
	for i, name := range [...]string{s.Src.Port, s.Dst.Port} {
		if ports[i], err = port(ctx, r, name); err != nil {
			return nil, err
		}
		if ports[i] == 0 && s.Proto == ProtoESPUDP {
			ports[i] = nattPort
		}
	}
	if s.Proto != ProtoESPUDP {
		ports = [2]uint16{} // SAs have none
	}
	var original netip.Addr
	if s.Original != "" {
		all, err := s.Lookup.addresses(ctx, r, s.Original)
		if err != nil {
			return nil, err
		}
		original = all[0]
	}
	sas := make([]*SA, len(pairs))
	for i, p := range pairs {
		sas[i] = &SA{
			Proto: s.Proto, Src: p[0], Dst: p[1], SPI: s.SPI, Mode: s.Mode, ReqID: s.ReqID, Replay: s.Replay, Padding: s.Padding, NoCyclic: s.NoCyclic,
			Encrypt: s.Encrypt, Auth: s.Auth, Compress: s.Compress, RawCPI: s.RawCPI, Context: s.Context.clone(),
			Hard: Lifetime{AddTime: s.Hard.Seconds, Bytes: s.Hard.Bytes}, Soft: Lifetime{AddTime: s.Soft.Seconds, Bytes: s.Soft.Bytes},
			SrcPort: ports[0], DstPort: ports[1], Original: original, State: pfkey.StateMature,
		}
	}
	return sas, nil
}

func (r Range) prefix(a netip.Addr) (netip.Prefix, error) {
	bits := r.Bits
	if bits < 0 {
		bits = a.BitLen()
	}
	if bits > a.BitLen() {
		return netip.Prefix{}, fmt.Errorf("%s has addresses of %d bits, not %d", r.Name, a.BitLen(), bits)
	}
	return netip.PrefixFrom(a.WithZone(""), bits), nil
}

// Policies returns the policies that a statement is about.
func (s *PolicyStatement) Policies(ctx context.Context, r Resolver) ([]*Policy, error) {
	if s.Tag != "" {
		return []*Policy{{Tag: s.Tag, Policy: s.Policy}}, nil
	}
	pairs, err := s.Lookup.pairs(ctx, r, s.Src.Name, s.Dst.Name)
	if err != nil {
		return nil, err
	}
	all := make([]*Policy, len(pairs))
	for i, pair := range pairs {
		p := &Policy{Proto: s.Proto, Context: s.Context.clone(), Policy: s.Policy}
		if p.Src, err = s.Src.prefix(pair[0]); err != nil {
			return nil, err
		}
		if p.Dst, err = s.Dst.prefix(pair[1]); err != nil {
			return nil, err
		}
		if p.SrcPort, err = port(ctx, r, s.Src.Port); err != nil {
			return nil, err
		}
		if p.DstPort, err = port(ctx, r, s.Dst.Port); err != nil {
			return nil, err
		}
		if s.Detail != nil {
			p.SrcPort, p.DstPort = s.Detail.Type, s.Detail.Code
		}
		all[i] = p
	}
	return all, nil
}
