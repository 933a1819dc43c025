package vpn

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// Prefixes are a flag: networks, separated by commas, or in several flags.
type Prefixes struct {
	List []netip.Prefix
	set  bool
}

func (p *Prefixes) String() string { return strings.Join(p.Strings(), ",") }

// Set implements flag.Value. The first use replaces the default.
func (p *Prefixes) Set(s string) error {
	if !p.set {
		p.List, p.set = nil, true
	}
	for _, word := range strings.Split(s, ",") {
		n, err := netip.ParsePrefix(word)
		if a, aerr := netip.ParseAddr(word); aerr == nil && a.Zone() == "" {
			n, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		switch {
		case err != nil:
			return fmt.Errorf("%q is not a network; write it like 10.1.0.0/24 or 2001:db8:1::/48, several with commas between", word)
		case n != n.Masked():
			return fmt.Errorf("%q has bits after the prefix length; write %v for the network", word, n.Masked())
		case slices.Contains(p.List, n):
			return fmt.Errorf("%v is there twice", n)
		}
		p.List = append(p.List, n)
	}
	return nil
}

// Given reports whether the flag was there, so that List is no default.
func (p *Prefixes) Given() bool { return p.set }

// Strings are the networks as the configuration takes them.
func (p *Prefixes) Strings() []string {
	var list []string
	for _, n := range p.List {
		list = append(list, n.String())
	}
	return list
}

// OwnAddresses returns this host's addresses in the networks, one of each
// family: what it sends from when it speaks for them. Where the networks are
// all addresses, any will do, and the choice is the system's.
func (p *Prefixes) OwnAddresses() (list []netip.Addr) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	for _, a := range addrs {
		n, ok := a.(*net.IPNet)
		if !ok {
			continue
		}
		own, _ := netip.AddrFromSlice(n.IP)
		own = own.Unmap()
		known := slices.ContainsFunc(list, func(a netip.Addr) bool { return a.Is4() == own.Is4() })
		in := slices.ContainsFunc(p.List, func(n netip.Prefix) bool { return n.Bits() > 0 && n.Contains(own) })
		if in && !known && own.IsGlobalUnicast() {
			list = append(list, own)
		}
	}
	return list
}
