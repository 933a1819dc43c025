package route

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
)

// Numbers of a tunnel for all addresses: the table with its default routes,
// the rules that lead there, and the mark of sockets that are led around.
const (
	TunnelTable    uint32 = 29283
	TunnelPriority uint32 = 29283 // and the five after it
	TunnelMark     uint32 = 29283

	blockTable = TunnelTable + 1
)

// A Tunnel is what is reached through a device.
type Tunnel struct {
	Link     string
	Prefixes []netip.Prefix
	// Addresses are the host's own inner ones; a tunnel that has them refuses
	// packets of the family that it has none of, rather than let them pass
	// beside it.
	Addresses []netip.Addr
	// Src is the address that this host sends from into networks of its
	// family, if it has no address on the device.
	Src []netip.Addr
	// Outer is the peer's outer address, which must not be reached through the
	// tunnel.
	Outer netip.Addr
	// Marked says that the sockets that send to Outer have the mark
	// TunnelMark. Else a host route to Outer keeps them out of the tunnel.
	Marked bool
}

// AddTunnel adds the routes of a tunnel. A prefix of all addresses leaves the
// main table alone: a table of its own takes what has no other route than a
// default route, so that networks on this host's links are still reached.
func (c *Changes) AddTunnel(t Tunnel) error {
	outer := t.Outer.Unmap().WithZone("")
	host := false
	for _, p := range t.Prefixes {
		if p.Contains(outer) && (!t.Marked || p.Bits() > 0) {
			host = true
		}
	}
	if host {
		if err := c.addHostRoute(outer); err != nil {
			return err
		}
	}
	for _, p := range t.Prefixes {
		r := Route{Dst: p.Masked(), Link: t.Link}
		for _, a := range t.Src {
			if a.Is4() == p.Addr().Is4() {
				r.Src = a
			}
		}
		if p.Bits() > 0 {
			if err := c.AddRoute(r); err != nil {
				return err
			}
			continue
		}
		if err := c.addDefault(t, r); err != nil {
			return err
		}
	}
	return nil
}

// Block makes prefixes unreachable that no other route of the same length leads
// to: while the routes of a tunnel are replaced, nothing passes beside it but
// what has the mark.
func (c *Changes) Block(prefixes []netip.Prefix) error {
	for _, p := range prefixes {
		r := Route{Dst: p.Masked(), Unreachable: true, Metric: 1 << 31}
		var rules []Rule
		if v6 := p.Addr().Is6(); p.Bits() == 0 {
			r.Table, r.Metric = blockTable, 0
			rules = []Rule{
				{IPv6: v6, Priority: TunnelPriority + 3, Mark: TunnelMark, Table: TableMain},
				{IPv6: v6, Priority: TunnelPriority + 4, Table: TableMain, NoDefault: true},
				{IPv6: v6, Priority: TunnelPriority + 5, Table: blockTable},
			}
		}
		err := c.AddRoute(r)
		for i := 0; i < len(rules) && err == nil; i++ {
			err = c.AddRule(rules[i])
		}
		if err != nil && !errors.Is(err, os.ErrExist) && !errors.Is(err, syscall.EAFNOSUPPORT) {
			return err
		}
	}
	return nil
}

// addHostRoute keeps the way to an address as it is now.
func (c *Changes) addHostRoute(a netip.Addr) error {
	r, err := c.Lookup(a)
	if err != nil {
		return err
	}
	if i, err := net.InterfaceByName(r.Link); err == nil && i.Flags&net.FlagLoopback != 0 {
		return nil // this host itself
	}
	r.Table = TableMain
	if err := c.AddRoute(r); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return nil
}

// addDefault adds a route for a whole address family, and the rules that lead
// to it. The rule that takes packets away from the host's own default route
// comes last.
func (c *Changes) addDefault(t Tunnel, r Route) error {
	v6 := r.Dst.Addr().Is6()
	r.Table = TunnelTable
	if len(t.Addresses) > 0 {
		r.Unreachable = true
		for _, a := range t.Addresses {
			r.Unreachable = r.Unreachable && a.Is4() == v6
		}
		if r.Unreachable {
			r.Link, r.Src = "", netip.Addr{}
		}
	}
	rules := []Rule{
		{IPv6: v6, Priority: TunnelPriority, Mark: TunnelMark, Table: TableMain},
		{IPv6: v6, Priority: TunnelPriority + 1, Table: TableMain, NoDefault: true},
		{IPv6: v6, Priority: TunnelPriority + 2, Table: TunnelTable},
	}
	if !t.Marked {
		rules = rules[1:]
	}
	err := c.AddRoute(r)
	for i := 0; i < len(rules) && err == nil; i++ {
		err = c.AddRule(rules[i])
	}
	if v6 && errors.Is(err, syscall.EAFNOSUPPORT) {
		return nil // no IPv6 on this host, so none beside the tunnel either
	}
	return err
}

// StrictReversePath reports whether the system drops packets from an address
// that come in by another device than the one it would answer by, so that a
// mark on sockets is not enough to lead them around a tunnel: rp_filter, RFC
// 3704 section 2.2.
func StrictReversePath(link string) bool {
	strict := 0
	for _, name := range []string{"all", link} {
		b, err := os.ReadFile(fmt.Sprintf("/proc/sys/net/ipv4/conf/%s/rp_filter", name))
		if err != nil {
			continue
		}
		switch strings.TrimSpace(string(b)) { // the larger one counts
		case "1":
			strict = max(strict, 1)
		case "2":
			strict = 2
		}
	}
	return strict == 1
}
