package racoon

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"syscall"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/natt"
	"github.com/racoon3/racoon/spd"
)

// openSockets opens what the configuration says, all or nothing.
func (m *Manager) openSockets() (*sockets, error) {
	var all []*socket
	fail := func(i int, err error) (*sockets, error) {
		for _, s := range all {
			s.conn.Close()
		}
		return nil, inField(fmt.Sprintf("Listen[%d]", i), err)
	}
	for i, l := range m.cfg.Listen {
		conns := []net.PacketConn{l.Conn}
		if l.Conn == nil {
			var err error
			if conns, err = m.bind(l.Address); err != nil {
				return fail(i, err)
			}
		}
		for k, c := range conns {
			s, err := newSocket(c, l.NATT, l.Conn != nil)
			if err == nil {
				s.kink = l.KINK
				err = m.cfg.DataPlane.PrepareSocket(c, l.NATT)
			}
			if err == nil && s.carries() == carriesIKE && m.nonIKE.Load() {
				err = m.prepareNonIKE(c)
			}
			if err != nil {
				for _, c := range conns[k:] {
					c.Close()
				}
				return fail(i, err)
			}
			if l.NATT && m.cfg.PacketHandler != nil {
				s.carryESP()
			}
			all = append(all, s)
		}
	}
	return newSockets(all), nil
}

// mayHaveNonIKE reports whether one of the peers may send ESP behind the non-IKE
// marker.
func (ps *peerSet) mayHaveNonIKE() bool {
	return slices.ContainsFunc(ps.peers, func(p *peer) bool { return p.v1 != nil && slices.ContainsFunc(p.v1.NATT, nonIKE) })
}

// prepareNonIKE makes a socket for plain IKE ready for that.
func (m *Manager) prepareNonIKE(conn net.PacketConn) error {
	return m.cfg.DataPlane.(spd.NonIKESocket).PrepareNonIKE(conn)
}

// capabilitiesOf are what a data plane can: without the non-IKE marker if it
// cannot be told of sockets, as one that something is wrapped around.
func capabilitiesOf(plane spd.DataPlane) spd.Capabilities {
	c := plane.Capabilities()
	_, ok := plane.(spd.NonIKESocket)
	c.NonIKE = c.NonIKE && ok
	return c
}

// allowNonIKE makes the sockets ready for what a reload allows. It stays so,
// since there may be SAs.
func (m *Manager) allowNonIKE() error {
	if m.isReady() {
		for _, s := range m.sockets.all {
			if s.carries() != carriesIKE {
				continue
			}
			if err := m.prepareNonIKE(s.conn); err != nil {
				return fmt.Errorf("socket %v: %w", s.local, err)
			}
		}
	}
	m.nonIKE.Store(true)
	return nil
}

// bind opens the UDP sockets for a listen address.
func (m *Manager) bind(address string) ([]net.PacketConn, error) {
	addr, port, err := splitListen(address)
	if err != nil {
		return nil, err
	}
	switch {
	case addr.IsValid() && (!addr.IsUnspecified() || hasPacketInfo):
		c, err := bindOne(netip.AddrPortFrom(addr, port))
		if err != nil {
			return nil, err
		}
		return []net.PacketConn{c}, nil
	case hasPacketInfo:
		return m.bindBoth(port)
	}
	return bindEach(addr, port)
}

func bindOne(a netip.AddrPort) (*net.UDPConn, error) {
	network := "udp6" // with a literal network Go makes the socket for IPv6 alone
	if a.Addr().Is4() {
		network = "udp4"
	}
	c, err := net.ListenUDP(network, net.UDPAddrFromAddrPort(a))
	if errors.Is(err, fs.ErrPermission) && a.Port() != 0 && a.Port() < 1024 {
		return nil, fmt.Errorf("%w: ports below 1024 need a privilege (root, or CAP_NET_BIND_SERVICE on Linux); a client can use \":0\" with NATT", err)
	}
	return c, err
}

// bindBoth opens the wildcard sockets of both families on the same port.
func (m *Manager) bindBoth(port uint16) ([]net.PacketConn, error) {
	const tries = 100 // a free port of one family may be taken in the other
	for try := 1; ; try++ {
		c4, err4 := bindOne(netip.AddrPortFrom(netip.IPv4Unspecified(), port))
		if err4 != nil && !noFamily(err4) {
			return nil, err4
		}
		p := port
		if c4 != nil {
			p = uint16(c4.LocalAddr().(*net.UDPAddr).Port)
		}
		c6, err6 := bindOne(netip.AddrPortFrom(netip.IPv6Unspecified(), p))
		switch {
		case err6 == nil && c4 == nil:
			return []net.PacketConn{c6}, nil
		case err6 == nil:
			return []net.PacketConn{c4, c6}, nil
		case noFamily(err6) && c4 != nil:
			m.log.Info("no IPv6 on this host", "err", err6)
			return []net.PacketConn{c4}, nil
		}
		if c4 != nil {
			c4.Close()
		}
		if port != 0 || try == tries || !errors.Is(err6, syscall.EADDRINUSE) {
			return nil, errors.Join(err4, err6)
		}
	}
}

// noFamily reports errors that say that an address family is turned off.
func noFamily(err error) bool {
	return errors.Is(err, syscall.EAFNOSUPPORT) || errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EPROTONOSUPPORT)
}

// bindEach opens a socket on each of the host's addresses, where a wildcard
// socket cannot tell which one a datagram was sent to.
func bindEach(family netip.Addr, port uint16) ([]net.PacketConn, error) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	var conns []net.PacketConn
	for _, a := range addrs {
		n, ok := a.(*net.IPNet)
		if !ok {
			continue
		}
		ip, ok := netip.AddrFromSlice(n.IP)
		ip = ip.Unmap()
		if !ok || ip.IsLinkLocalUnicast() || family.IsValid() && family.Is4() != ip.Is4() {
			continue
		}
		c, err := bindOne(netip.AddrPortFrom(ip, port))
		if err != nil {
			for _, c := range conns {
				c.Close()
			}
			return nil, err
		}
		if port == 0 { // the same one on all
			port = uint16(c.LocalAddr().(*net.UDPAddr).Port)
		}
		conns = append(conns, c)
	}
	if len(conns) == 0 {
		return nil, errors.New("this host has no address to listen on")
	}
	return conns, nil
}

// espBuffer is how many octets may wait in a socket that carries ESP.
const espBuffer = 4 << 20

// carryESP makes a socket ready for many packets.
func (s *socket) carryESP() {
	s.esp = true
	if c, ok := s.conn.(interface{ SetReadBuffer(int) error }); ok {
		_ = c.SetReadBuffer(espBuffer) // as much as the system allows
	}
	if c, ok := s.io.(interface{ carryESP() }); ok {
		c.carryESP()
	}
}

// pathsTo finds out where to call a peer from: the path to begin on, and the
// one to go on with when there is a NAT. Without a socket for plain IKE, or if
// the peer's port is that for NAT-T, it begins on the latter.
func (m *Manager) pathsTo(p *peer, remote netip.Addr) (begin, float ike.Path, err error) {
	ss := m.sockets
	if p.kink != nil {
		local, iface, err := ss.localFor(p, remote, carriesKINK)
		return ike.Path{Local: local, Remote: netip.AddrPortFrom(remote, p.port), Interface: iface}, ike.Path{}, err
	}
	plain := netip.AddrPortFrom(remote, p.port)
	encap := netip.AddrPortFrom(remote, p.natt)
	local, iface, err := ss.localFor(p, remote, carriesIKE)
	direct := p.port == p.natt && p.natt != natt.PortIKE
	if nl, ni, nerr := ss.localFor(p, remote, carriesNATT); nerr == nil {
		float = ike.Path{Local: nl, Remote: encap, Interface: ni}
		if err == nil && nl.Addr() != local.Addr() {
			// Both have to be one host for the peer.
			if s := ss.find(netip.AddrPortFrom(local.Addr(), nl.Port())); s != nil && s.natt {
				float.Local = netip.AddrPortFrom(local.Addr(), nl.Port())
			}
		}
		if direct || err != nil {
			return float, ike.Path{}, nil
		}
	} else if direct && err == nil {
		err = fmt.Errorf("%v is a port for IKE behind the non-ESP marker, but there is no such socket; set NATT in Config.Listen", plain)
	}
	if err != nil {
		return ike.Path{}, ike.Path{}, err
	}
	return ike.Path{Local: local, Remote: plain, Interface: iface}, float, nil
}

// carries is what a socket is for.
type carries uint8

const (
	carriesIKE carries = iota
	carriesNATT
	carriesKINK
)

func (s *socket) carries() carries {
	switch {
	case s.kink:
		return carriesKINK
	case s.natt:
		return carriesNATT
	}
	return carriesIKE
}

// localFor chooses the local address for calling remote.
func (ss *sockets) localFor(p *peer, remote netip.Addr, what carries) (netip.AddrPort, uint32, error) {
	iface := zoneIndex(remote)
	var fits []*socket
	for _, s := range ss.all {
		a := s.local.Addr()
		switch {
		case s.carries() != what, a.Is4() != remote.Is4() && !(remote.Is4() && s.dualStack()):
		case p.local.IsValid() && !a.IsUnspecified() && a != p.local:
		default:
			fits = append(fits, s)
		}
	}
	if len(fits) == 0 {
		if p.local.IsValid() {
			return netip.AddrPort{}, 0, fmt.Errorf("no socket in Config.Listen can send from LocalAddr %v", p.local)
		}
		return netip.AddrPort{}, 0, fmt.Errorf("no socket in Config.Listen can reach %v", remote)
	}
	if p.local.IsValid() {
		return netip.AddrPortFrom(p.local, fits[0].local.Port()), iface, nil
	}
	if len(fits) == 1 && !fits[0].local.Addr().IsUnspecified() {
		return fits[0].local, iface, nil
	}
	var failure error
	for _, s := range fits {
		routed, err := routeTo(remote, s)
		if err == nil && (s.local.Addr() == routed || s.local.Addr().IsUnspecified()) {
			return netip.AddrPortFrom(routed, s.local.Port()), iface, nil
		}
		failure = errors.Join(failure, err)
	}
	for _, s := range fits {
		if !s.local.Addr().IsUnspecified() {
			return s.local, iface, nil
		}
	}
	return netip.AddrPort{}, 0, fmt.Errorf("no route to %v: %w", remote, failure)
}

// routeTo asks the system which address it would send from, on a socket that
// is routed like s. Connecting a UDP socket sends nothing.
func routeTo(remote netip.Addr, s *socket) (netip.Addr, error) {
	d := net.Dialer{Control: routedLike(s.conn)}
	c, err := d.Dial("udp", netip.AddrPortFrom(remote, 9).String())
	if err != nil {
		return netip.Addr{}, err
	}
	defer c.Close()
	local, err := addrPortOf(c.LocalAddr())
	return local.Addr(), err
}

// zoned gives a link-local address back its interface for the system's use.
func zoned(a netip.Addr, iface uint32) netip.Addr {
	if iface != 0 && a.Is6() && a.IsLinkLocalUnicast() {
		return a.WithZone(strconv.FormatUint(uint64(iface), 10))
	}
	return a
}
