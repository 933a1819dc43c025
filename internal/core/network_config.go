package core

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/racoon3/racoon/ike"
)

// Bounds of what a client takes from its gateway.
const (
	maxAddresses = 16
	maxServers   = 16 // of one kind
	maxNetworks  = 64
)

// Screen leaves out of what a gateway has told a client what could only harm:
// an authenticated gateway may still be a hostile one, and programs give these
// addresses to devices and routing tables. What is left out is told in a
// Warning.
//
// Addresses and servers have to be those of hosts: not unspecified, multicast,
// loopback, broadcast or IPv4 mapped into IPv6. Addresses have to be of a
// family that was asked for; one that claims everything to be its network (a
// netmask of zero) counts as one without netmask.
func (s *Session) Screen(now time.Time, c *ike.NetworkConfig) {
	var out refusals
	asked := s.Asked
	c.Addresses = screen(&out, "address", c.Addresses, maxAddresses, func(p *netip.Prefix) bool {
		if p.Bits() <= 0 {
			*p = netip.PrefixFrom(p.Addr(), p.Addr().BitLen())
		}
		a := p.Addr()
		return isHost(a) && (asked == nil || a.Is4() && asked.IPv4 || a.Is6() && asked.IPv6)
	})
	server := func(a *netip.Addr) bool { return isHost(*a) }
	c.DNS = screen(&out, "DNS server", c.DNS, maxServers, server)
	c.NBNS = screen(&out, "NBNS server", c.NBNS, maxServers, server)
	c.DHCP = screen(&out, "DHCP server", c.DHCP, maxServers, server)
	network := func(p *netip.Prefix) bool {
		*p = p.Masked()
		a := p.Addr()
		return p.IsValid() && !a.Is4In6() && (p.Bits() == 0 || !a.IsMulticast() && !a.IsLoopback())
	}
	c.Subnets = screen(&out, "network", c.Subnets, maxNetworks, network)
	c.LocalLANExclude = screen(&out, "local network", c.LocalLANExclude, maxNetworks, network)
	if len(out) > 0 {
		s.Warn(now, fmt.Errorf("of what the gateway says is left out: %s", out.text()))
	}
}

// isHost reports whether an address can be that of one host inside.
func isHost(a netip.Addr) bool {
	return a.IsValid() && !a.Is4In6() && !a.IsUnspecified() && !a.IsMulticast() && !a.IsLoopback() && a != broadcast
}

var broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// refusals are what was left out.
type refusals []string

func (r refusals) text() string {
	const most = 8
	if len(r) <= most {
		return strings.Join(r, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(r[:most], ", "), len(r)-most)
}

// screen keeps what is good, once, and no more than most of it. good may mend
// what it is asked about.
func screen[T comparable](out *refusals, kind string, all []T, most int, good func(v *T) bool) []T {
	kept := all[:0]
	for _, v := range all {
		said := v
		switch {
		case !good(&v):
			*out = append(*out, fmt.Sprintf("%s %v", kind, said))
		case slices.Contains(kept, v):
		case len(kept) == most:
			*out = append(*out, fmt.Sprintf("%s %v beyond %d", kind, said, most))
		default:
			kept = append(kept, v)
		}
	}
	if len(kept) == 0 {
		return nil
	}
	return kept
}
