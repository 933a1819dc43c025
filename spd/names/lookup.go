package names

import (
	"context"
	"net/netip"
	"slices"
)

// LookupNetIP is [Directory.Addrs] in the form of [net.Resolver.LookupNetIP]: so a
// Directory can be asked instead. network is "ip", "ip4" or "ip6"; host may be an
// address too.
func (d Directory) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	all, err := []netip.Addr(nil), error(nil)
	if a, bad := netip.ParseAddr(host); bad == nil {
		all = []netip.Addr{a.Unmap()}
	} else if all, err = d.Addrs(ctx, host); err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(a netip.Addr) bool { return network == "ip4" && !a.Is4() || network == "ip6" && a.Is4() })
	if len(all) == 0 {
		return nil, ErrNoName
	}
	return all, nil
}

// LookupAddr is [Directory.Names] in the form of [net.Resolver.LookupAddr]. Other
// than there the names have been found to have the address.
func (d Directory) LookupAddr(ctx context.Context, addr string) ([]string, error) {
	a, err := netip.ParseAddr(addr)
	if err != nil {
		return nil, err
	}
	return d.Names(ctx, a)
}
