//go:build linux

package lab

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// RouterConfig is for [NewRouter]; its zero value serves.
type RouterConfig struct {
	MTU int // of the sites' outer interfaces; 1500 if 0

	// For the NAT between inside and outside:

	Timeout   time.Duration // a mapping that is idle for so long is forgotten; never if 0
	Symmetric bool          // one mapping for each remote address and port
	// PreservePorts keeps the port of the inside where it is free. (After a rebinding it is changed nevertheless.)
	PreservePorts bool
	DropFragments bool // IPv4 fragments do not come through
}

// A Router joins sites through userspace: each site's outer interface is a TUN
// device that the router reads and writes. It can lose, delay and double packets,
// and it is a NAT between the sites that are inside and those outside.
//
// It routes by IPv4 and IPv6 destination; only IPv4 is translated: UDP, TCP and
// ICMP echo. Anything else from the inside is dropped, such as ESP without UDP.
// An outside host reaches a mapping only when that was used towards its address
// and port before.
type Router struct {
	Public netip.Addr // the NAT's address; RebindTo changes it

	t   testing.TB
	cfg RouterConfig

	mu      sync.Mutex
	ports   []*port
	filter  func(*Packet) Verdict
	nat     natTable
	dropped int
}

// port is a site's connection to the router.
type port struct {
	site   *Site
	tun    *os.File
	inside bool
}

// A Packet is what a [Router]'s filter sees: as the sender has sent it, before NAT.
type Packet struct {
	From     *Site
	Src, Dst netip.AddrPort // with ports for UDP and TCP
	Proto    uint8          // IP protocol
	Fragment bool           // not the first fragment: there are no ports
	Payload  []byte         // behind the UDP header; for other protocols behind the IP header
	Raw      []byte         // the IP packet; changes are sent
}

// A Verdict is what is to be done with a packet. The zero value forwards it.
type Verdict struct {
	Drop   bool
	Delay  time.Duration
	Copies int // so many more
}

// NewRouter makes a router without sites.
func NewRouter(t testing.TB, cfg RouterConfig) *Router {
	t.Helper()
	if cfg.MTU == 0 {
		cfg.MTU = 1500
	}
	r := &Router{t: t, cfg: cfg, Public: netip.AddrFrom4([4]byte{10, 99, 0, 254})}
	r.nat.reset(cfg)
	return r
}

// Outside adds a site with a public address: 10.99.0.1 and fd99::1 for the first
// of all sites, 10.99.0.2 for the second, and so on.
func (r *Router) Outside(name string) *Site { r.t.Helper(); return r.add(name, false) }

// Inside adds a site behind the NAT: 192.168.77.1 if it is the first of all
// sites, and so on. Its IPv6 address is not translated.
func (r *Router) Inside(name string) *Site { r.t.Helper(); return r.add(name, true) }

func (r *Router) add(name string, inside bool) *Site {
	r.t.Helper()
	r.mu.Lock()
	i := byte(len(r.ports) + 1)
	r.mu.Unlock()
	s := newSite(r.t, name, i)
	s.Outer = netip.AddrFrom4([4]byte{10, 99, 0, i})
	if inside {
		s.Outer = netip.AddrFrom4([4]byte{192, 168, 77, i})
	}
	s.Outer6 = netip.AddrFrom16([16]byte{0: 0xfd, 1: 0x99, 15: i})
	p := &port{site: s, inside: inside, tun: s.OpenTUN(s.Device, r.cfg.MTU)}
	s.addOuter(32, 128)
	s.AwaitAddress(s.Outer6)
	// No route to the private network: from outside it is not there.
	s.IP("route add 10.99.0.0/16 dev "+s.Device, "route add fd99::/64 dev "+s.Device)
	if inside {
		s.IP("route add 192.168.77.0/24 dev " + s.Device)
	}
	r.mu.Lock()
	r.ports = append(r.ports, p)
	r.mu.Unlock()
	go r.read(p)
	return s
}

// SetFilter makes f decide about each packet from now on; nil forwards all. It is
// called from several goroutines, one at a time.
func (r *Router) SetFilter(f func(*Packet) Verdict) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.filter = f
}

// Rebind makes the NAT forget its mappings, as one does that is restarted: the
// next packet from an inside host gets another port, and until then nothing
// reaches that host.
func (r *Router) Rebind() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.nat.forget()
}

// RebindTo is [Router.Rebind] with another public address, from 10.99.0.0/16.
func (r *Router) RebindTo(public netip.Addr) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Public = public
	r.nat.forget()
}

// Mappings lists the NAT's mappings, oldest first.
func (r *Router) Mappings() []Mapping {
	r.mu.Lock()
	defer r.mu.Unlock()
	var m []Mapping
	for _, x := range r.nat.list {
		m = append(m, x.Mapping)
	}
	return m
}

// Dropped counts the packets that were not forwarded, for whatever reason.
func (r *Router) Dropped() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.dropped
}

func (r *Router) read(from *port) {
	b := make([]byte, 65536)
	for {
		n, err := from.tun.Read(b)
		if err != nil {
			return
		}
		r.handle(from, b[:n])
	}
}

func (r *Router) handle(from *port, b []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p, ok := parsePacket(b)
	if !ok {
		r.dropped++
		return
	}
	p.From = from.site
	var v Verdict
	if r.filter != nil {
		v = r.filter(p)
	}
	to := r.route(from, p)
	if v.Drop || to == nil {
		r.dropped++
		return
	}
	for range 1 + v.Copies {
		if v.Delay <= 0 {
			_, _ = to.tun.Write(b)
			continue
		}
		late := slices.Clone(b)
		time.AfterFunc(v.Delay, func() { _, _ = to.tun.Write(late) })
	}
}

// route translates a packet where needed and says where it goes; nil: nowhere.
func (r *Router) route(from *port, p *Packet) *port {
	dst := p.Dst.Addr()
	i := slices.IndexFunc(r.ports, func(x *port) bool { return x.site.Outer == dst || x.site.Outer6 == dst })
	switch {
	case i >= 0 && (dst.Is6() || from.inside == r.ports[i].inside):
		return r.ports[i]
	case i >= 0 && from.inside:
		if !r.nat.outbound(p, r.Public, time.Now()) {
			return nil
		}
		return r.ports[i]
	case dst == r.Public && !from.inside:
		if !r.nat.inbound(p, time.Now()) {
			return nil
		}
		inside := p.Dst.Addr()
		if i = slices.IndexFunc(r.ports, func(x *port) bool { return x.site.Outer == inside }); i >= 0 {
			return r.ports[i]
		}
	}
	return nil
}

// parsePacket reads the headers of an IP packet.
func parsePacket(b []byte) (*Packet, bool) {
	if len(b) < 20 {
		return nil, false
	}
	p := &Packet{Raw: b}
	var src, dst netip.Addr
	header := 40
	switch b[0] >> 4 {
	case 4:
		header = int(b[0]&15) * 4
		if header < 20 || len(b) < header || int(binary.BigEndian.Uint16(b[2:])) != len(b) {
			return nil, false
		}
		src, dst = netip.AddrFrom4([4]byte(b[12:])), netip.AddrFrom4([4]byte(b[16:]))
		p.Proto = b[9]
		p.Fragment = binary.BigEndian.Uint16(b[6:])&0x1fff != 0
	case 6:
		if len(b) < header {
			return nil, false
		}
		src, dst = netip.AddrFrom16([16]byte(b[8:])), netip.AddrFrom16([16]byte(b[24:]))
		p.Proto = b[6] // an extension header counts as a protocol of its own
	default:
		return nil, false
	}
	p.Payload = b[header:]
	var sport, dport uint16
	if !p.Fragment && (p.Proto == unix.IPPROTO_UDP || p.Proto == unix.IPPROTO_TCP) {
		if len(p.Payload) < 8 {
			return nil, false
		}
		sport, dport = binary.BigEndian.Uint16(p.Payload), binary.BigEndian.Uint16(p.Payload[2:])
		if p.Proto == unix.IPPROTO_UDP {
			p.Payload = p.Payload[8:]
		}
	}
	p.Src, p.Dst = netip.AddrPortFrom(src, sport), netip.AddrPortFrom(dst, dport)
	return p, true
}

// String names a packet for a test's log.
func (p *Packet) String() string {
	return fmt.Sprintf("%s: %v -> %v protocol %d, %d octets", p.From.Name, p.Src, p.Dst, p.Proto, len(p.Raw))
}
