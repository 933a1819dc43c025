package netstack

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
)

// SetDNS sets the name servers, which may be those that the gateway has
// assigned. They are asked through the inner network, in turn.
func (s *Stack) SetDNS(servers []netip.Addr) error {
	list := make([]netip.Addr, len(servers))
	for i, a := range servers {
		if !a.IsValid() || a.IsUnspecified() {
			return fmt.Errorf("netstack: name server %v is not the address of a host", a)
		}
		list[i] = a.Unmap().WithZone("")
	}
	s.dns.Store(&list)
	return nil
}

// Resolver returns a resolver that asks the name servers of the inner network,
// or fails if there are none. Search domains and /etc/hosts are the system's.
func (s *Stack) Resolver() *net.Resolver {
	return &net.Resolver{
		PreferGo: true,
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			servers := *s.dns.Load()
			if len(servers) == 0 {
				return nil, opError("dial", network, errNoDNS)
			}
			// The resolver calls again when one does not answer.
			a := servers[int(s.turn.Add(1)-1)%len(servers)]
			n, err := parseNetwork(network)
			if err != nil {
				return nil, err
			}
			return s.dialOne(ctx, n, netip.AddrPortFrom(a, 53), 1)
		},
	}
}

var errNoDNS = fmt.Errorf("netstack: no name servers; use an IP address, or set Config.DNS or call SetDNS")

// lookup returns the addresses of a host that are of the network's family and
// of one that the stack has.
func (s *Stack) lookup(ctx context.Context, n network, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		if a = a.Unmap(); !n.takes(a) {
			return nil, &net.AddrError{Err: "address is not of the network's family", Addr: host}
		}
		return []netip.Addr{a}, nil
	}
	if len(*s.dns.Load()) == 0 {
		return nil, &net.DNSError{Err: errNoDNS.Error(), Name: host, IsNotFound: true}
	}
	family := "ip"
	if n.family != 0 {
		family = n.String()[3:]
		family = "ip" + family
	}
	addrs, err := s.Resolver().LookupNetIP(ctx, family, host)
	if err != nil {
		return nil, err
	}
	for i := range addrs {
		addrs[i] = addrs[i].Unmap()
	}
	usable := slices.DeleteFunc(slices.Clone(addrs), func(a netip.Addr) bool { return !s.hasFamily(a) })
	if len(usable) > 0 {
		addrs = usable
	}
	if len(addrs) == 0 {
		return nil, &net.DNSError{Err: "no addresses", Name: host, IsNotFound: true}
	}
	return addrs, nil
}
