package conf

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/racoon3/racoon/ike"
)

func (k *checker) daemon() {
	d := &k.Daemon
	seen := make(map[string]string)
	for _, l := range []struct {
		key  string
		list []string
	}{{"listen", d.Listen}, {"listen-natt", d.ListenNATT}} {
		for i, s := range l.list {
			if !k.addrPort(d, l.key, i, s, true) {
				continue
			}
			if other := seen[s]; other != "" {
				k.badItem(d, l.key, i, "remove one of them", "is %s, which is in %s too", s, other)
			}
			seen[s] = l.key
		}
	}
	if len(d.Listen)+len(d.ListenNATT) == 0 {
		k.bad(d, "listen", `leave it out for ports 500 and 4500 on all addresses`, "is empty, and so is listen-natt: nobody could be heard")
	}
	for i, v := range d.VendorIDs {
		if _, err := vendorID(v); err != nil {
			k.badItem(d, "vendor-ids", i, "write text, or 0x and an even number of digits", "%v", err)
		}
	}
	if d.Group != "" && d.User == "" {
		k.bad(d, "group", "say which user", "has no effect without user")
	}
	if d.Chroot != "" && d.User == "" {
		k.warn(d, "chroot", "say which user to run as", "confines nobody who runs as root")
	}
}

func (k *checker) dataPlane() {
	p := &k.DataPlane
	for _, s := range []struct {
		kind string
		at   any
	}{{"xfrm", &p.XFRM}, {"pfkey", &p.PFKey}, {"userspace", &p.Userspace}} {
		if p.Kind != "auto" && p.Kind != s.kind && len(k.sources[s.at].table.keys) > 0 {
			k.warn(s.at, k.sources[s.at].table.keys[0], "", "has no effect with kind = %q in [dataplane]", p.Kind)
		}
	}
	if d := p.PFKey.Dialect; p.Kind == "pfkey" && d != "" && d != "linux" {
		for _, key := range []string{"hold-packets", "acquire-timeout"} {
			if k.written(p, key) {
				k.warn(p, key, "remove it; sysctl net.key has what that system can", "has no effect with dialect = %q in [dataplane.pfkey]: only Linux has such a setting", d)
			}
		}
	}
	if p.XFRM.FirstSPI > p.XFRM.LastSPI {
		k.bad(&p.XFRM, "first-spi", "exchange them", "is more than last-spi")
	}
	if p.XFRM.Interface != "" {
		k.refers(&p.XFRM, "interface", -1, "interface", p.XFRM.Interface, names(k.Interfaces))
	}
	u := &p.Userspace
	k.interfaceAddresses(u, "addresses", u.Addresses)
	if u.MTU > u.PathMTU {
		k.bad(u, "mtu", "leave it out", "is more than path-mtu, %d, has room for", u.PathMTU)
	}
	if len(u.TUN) > 15 || u.TUN == "" || strings.ContainsAny(u.TUN, "/ ") {
		k.bad(u, "tun", `write one such as "ipsec0"`, "is %q, which cannot be the name of a network interface", clip(u.TUN))
	}
	if p.Kind != "auto" && p.Kind != "xfrm" && len(k.Interfaces) > 0 {
		i := k.Interfaces[0]
		k.bad(i, "kind", `write kind = "xfrm" in [dataplane]`, "needs the data plane xfrm, but that is %q", p.Kind)
	}
}

func (k *checker) netInterface(i *Interface) {
	if len(i.Name) > 15 {
		k.bad(i, "kind", "use a shorter one", "belongs to an interface whose name is longer than 15 octets")
	}
	k.interfaceAddresses(i, "addresses", i.Addresses)
	for n, s := range i.Routes {
		k.prefix(i, "routes", n, s)
	}
	if i.Kind == "xfrm" {
		switch {
		case i.InterfaceID == 0 && !i.External:
			k.bad(i, "interface-id", "write interface-id = 1, or any number that is free", "is missing: it ties SAs to the interface")
		case i.InterfaceID != 0 && i.External:
			k.bad(i, "interface-id", "remove one of them", "has no effect with external = true")
		}
		for _, key := range []string{"local", "remote", "in-key", "out-key"} {
			if k.sources.isSet(i, key) {
				k.bad(i, key, `write kind = "vti", or remove it`, "belongs to VTI interfaces")
			}
		}
		for _, o := range k.Interfaces {
			if o != i && o.Kind == "xfrm" && o.InterfaceID == i.InterfaceID && i.InterfaceID != 0 && slices.Index(k.Interfaces, o) < slices.Index(k.Interfaces, i) {
				k.bad(i, "interface-id", "use another number", "is %d, as that of [interface.%s]", i.InterfaceID, quoteKey(o.Name))
			}
		}
		return
	}
	for _, key := range []string{"interface-id", "external"} {
		if k.sources.isSet(i, key) {
			k.bad(i, key, `write kind = "xfrm", or remove it`, "belongs to XFRM interfaces")
		}
	}
	for _, a := range []struct{ key, text string }{{"local", i.Local}, {"remote", i.Remote}} {
		if a.text == "" {
			k.bad(i, a.key, "write the outer address of the tunnel", "is missing: a VTI interface is between two addresses")
			continue
		}
		if ip, ok := k.address(i, a.key, -1, a.text); ok && ip.Is4() != (i.Kind == "vti") {
			k.bad(i, a.key, `use kind = "vti" for IPv4 and "vti6" for IPv6`, "is %v, which is not of the family of kind %q", ip, i.Kind)
		}
	}
	if i.InKey == 0 || i.OutKey == 0 {
		k.bad(i, "in-key", "write in-key = 1 and out-key = 1, or numbers that are free", "is missing, or out-key is: they tie policies to the interface")
	}
}

func (k *checker) users(u *Users) {
	if u.File == "" {
		k.bad(u, "file", "write file = \"users\", with lines as htpasswd -B makes them", "is missing: it says who the users are")
	}
	if u.Throttle.Delay > u.Throttle.MaxDelay {
		k.bad(&u.Throttle, "delay", "exchange them", "is more than max-delay, %v", u.Throttle.MaxDelay)
	}
	if !slices.ContainsFunc(k.Peers, func(p *Peer) bool { return p.Users == u.Name }) {
		k.warn(u, "file", "write users = \""+u.Name+"\" for a peer", "belongs to users whom no peer asks for")
	}
}

func (k *checker) pools() {
	type owned struct {
		pool        *Pool
		first, last netip.Addr
		text        string
	}
	var all []owned
	for _, p := range k.Pools {
		if len(p.Addresses) == 0 && len(p.Static) == 0 {
			k.bad(p, "addresses", `write addresses = ["10.99.0.0/24"]`, "is missing: it says what to lease")
		}
		for i, s := range p.Addresses {
			first, last, err := addressRange(s)
			if err != "" {
				k.badItem(p, "addresses", i, `write a network such as "10.99.0.0/24" or a range such as "10.99.0.10-10.99.0.99"`, "is %q, which %s", clip(s), err)
				continue
			}
			for _, o := range all {
				if first.BitLen() == o.first.BitLen() && !o.last.Less(first) && !last.Less(o.first) {
					where := "this pool"
					if o.pool != p {
						where = "[pool." + quoteKey(o.pool.Name) + "]"
					}
					k.badItem(p, "addresses", i, "give each its own", "is %s, which overlaps %s of %s", s, o.text, where)
				}
			}
			all = append(all, owned{p, first, last, s})
		}
		k.pool(p)
	}
}

// addressRange reads what a pool leases from; err says what is wrong.
func addressRange(s string) (first, last netip.Addr, err string) {
	if strings.Contains(s, "/") {
		p, e := netip.ParsePrefix(s)
		switch {
		case e != nil:
			return first, last, "is not a network"
		case p != p.Masked():
			return first, last, "has bits after the prefix length; the network is " + p.Masked().String()
		}
		last = p.Addr()
		b := last.AsSlice()
		for i := p.Bits(); i < len(b)*8; i++ {
			b[i/8] |= 0x80 >> (i % 8)
		}
		last, _ = netip.AddrFromSlice(b)
		return p.Addr(), last, ""
	}
	from, to, ok := strings.Cut(s, "-")
	if !ok {
		to = from
	}
	first, e1 := netip.ParseAddr(from)
	last, e2 := netip.ParseAddr(to)
	if e1 != nil || e2 != nil {
		return first, last, "is neither a network nor a range of addresses"
	}
	if first.BitLen() != last.BitLen() || last.Less(first) {
		return first, last, "is not a range: its end comes before its beginning, or is of another family"
	}
	return first, last, ""
}

func (k *checker) pool(p *Pool) {
	for _, l := range []struct {
		key  string
		list []string
	}{{"dns", p.DNS}, {"wins", p.WINS}, {"dhcp", p.DHCP}} {
		for i, s := range l.list {
			if a, ok := k.address(p, l.key, i, s); ok && l.key == "wins" && !a.Is4() {
				k.badItem(p, l.key, i, "use dns for name servers with IPv6", "is %v, but WINS has IPv4 only", a)
			}
		}
	}
	for _, l := range []struct {
		key  string
		list []string
	}{{"exclude", p.Exclude}, {"subnets", p.Subnets}, {"home-prefix", p.HomePrefix}, {"local-lan-exclude", p.LocalLANExclude}} {
		for i, s := range l.list {
			k.prefix(p, l.key, i, s)
		}
	}
	for i, s := range p.Domains {
		if !validHost(strings.TrimPrefix(s, ".")) {
			k.badItem(p, "domains", i, `write one such as "corp.example.org"`, "is %q, which is not a domain name", clip(s))
		}
	}
	for _, id := range sortedKeys(p.Static) {
		if _, err := ike.ParseIdentity(id); err != nil {
			k.bad(p, "static", "write an identity or the name of a user", "has %q, which is not an identity: %v", clip(id), err)
		}
		var four, six int
		for _, s := range p.Static[id] {
			a, err := netip.ParseAddr(s)
			switch {
			case err != nil:
				k.bad(p, "static", `write one such as "10.99.0.7"`, "has %q for %q, which is not an IP address", clip(s), clip(id))
			case a.Unmap().Is4():
				four++
			default:
				six++
			}
		}
		if four > 1 || six > 1 {
			k.bad(p, "static", "leave one of a family", "has several addresses of one family for %q", clip(id))
		}
	}
	if p.UDPPort != 0 && !slices.ContainsFunc(k.Daemon.ListenNATT, func(s string) bool { _, port := splitSocket(s); return port == itoa(p.UDPPort) }) {
		k.bad(p, "udp-port", "add \":"+itoa(p.UDPPort)+"\" to listen-natt in [daemon]", "is %d, where nobody listens", p.UDPPort)
	}
	if !slices.ContainsFunc(k.Peers, func(q *Peer) bool { return q.Pool == p.Name }) {
		k.warn(p, "addresses", "write pool = \""+p.Name+"\" for a peer", "belongs to a pool that no peer uses")
	}
}
