package racoon

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync/atomic"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/natt"
)

// Sizes of a socket's receive batch. The buffers take any UDP datagram, since
// certificates make IKE messages large when fragmentation is not negotiated.
const (
	datagramSize   = 65535
	receiveBatch   = 16 // datagrams at a time on a socket that carries only IKE
	receivePackets = 64 // and on one that carries ESP for a PacketHandler
)

// PathConn is a packet connection that serves several local addresses and
// says for each datagram which one. A connection given in [Listen] that is not
// a *net.UDPConn and is not bound to one address must implement it.
type PathConn interface {
	net.PacketConn
	// ReadPath reads a datagram and tells its path, seen from this host.
	ReadPath(b []byte) (n int, path ike.Path, err error)
	// WritePath sends a datagram from path.Local to path.Remote.
	WritePath(b []byte, path ike.Path) (n int, err error)
}

// A socket carries IKE, and with natt IKE behind the non-ESP marker, keepalives
// and ESP (RFC 3948).
type socket struct {
	conn     net.PacketConn
	injected bool // given by the program
	natt     bool
	kink     bool           // KINK, and nothing else
	esp      bool           // packets go to the PacketHandler
	local    netip.AddrPort // as bound: the address may be unspecified
	io       packetIO

	stats socketStats
}

type socketStats struct {
	received   atomic.Uint64 // datagrams
	sent       atomic.Uint64
	sendErrors atomic.Uint64
	keepalives atomic.Uint64
	esp        atomic.Uint64 // ESP packets received
	malformed  atomic.Uint64 // neither IKE nor ESP nor keepalive
	readErrors atomic.Uint64
}

// packetIO moves datagrams in batches. read is called by one goroutine at a
// time; write by any, each with its own scratch.
type packetIO interface {
	// read fills ms from the front and returns how many it filled, at least
	// one unless there is an error.
	read(ms []inbound) (int, error)
	// write sends all of ms and returns how many it could send. It goes on
	// after an error, which concerns one datagram.
	write(ms []outbound, s *scratch) (sent int, err error)
}

// inbound is a received datagram, or with segment > 0 several of that size
// (the last may be shorter) that the kernel has put together.
type inbound struct {
	buf     []byte
	n       int
	segment int
	tos     byte // traffic class, where the system tells
	path    ike.Path
}

// outbound is a datagram to send.
type outbound struct {
	path    ike.Path
	marker  []byte // put before it; not with segment
	tos     byte   // traffic class
	segment int    // b holds several datagrams of this size (UDP GSO); 0: one
	b       []byte
}

// scratch is memory that a sender keeps between its writes.
type scratch struct {
	buf   []byte
	batch batchScratch
}

// nonESPMarker precedes IKE on a NAT-T socket (RFC 3948 2.2), nonIKEMarker ESP
// on a socket for plain IKE (draft-ietf-ipsec-udp-encaps-01).
var (
	nonESPMarker = natt.AppendMarker(nil)
	nonIKEMarker = natt.AppendNonIKEMarker(nil)
)

// newSocket prepares a connection for use.
func newSocket(conn net.PacketConn, encap, injected bool) (*socket, error) {
	local, err := addrPortOf(conn.LocalAddr())
	if err != nil {
		return nil, err
	}
	s := &socket{conn: conn, injected: injected, natt: encap, local: local}
	switch c := conn.(type) {
	case PathConn:
		s.io = pathIO{c}
	case *net.UDPConn:
		if s.io, err = newUDPIO(c, local); err != nil {
			return nil, err
		}
	default:
		if local.Addr().IsUnspecified() {
			return nil, fmt.Errorf("the connection is bound to %v and cannot tell the destination of a datagram; bind it to one address or implement racoon.PathConn", local)
		}
		s.io = plainIO{conn, local}
	}
	return s, nil
}

// addrPortOf returns a UDP address without zone and IPv4-mapping.
func addrPortOf(a net.Addr) (netip.AddrPort, error) {
	if u, ok := a.(*net.UDPAddr); ok {
		return plainAddrPort(u.AddrPort()), nil
	}
	if a == nil {
		return netip.AddrPort{}, errors.New("the connection has no local address")
	}
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("the connection's address %q is not an IP address with a port", a)
	}
	return plainAddrPort(ap), nil
}

func plainAddrPort(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())
}

// zoneIndex returns the interface of a scoped address.
func zoneIndex(a netip.Addr) uint32 {
	if a.Zone() == "" {
		return 0
	}
	if n, err := strconv.ParseUint(a.Zone(), 10, 32); err == nil {
		return uint32(n)
	}
	if i, err := net.InterfaceByName(a.Zone()); err == nil {
		return uint32(i.Index)
	}
	return 0
}

// withZone returns the address to give to the system for the remote side of
// path.
func withZone(path ike.Path) netip.AddrPort {
	return netip.AddrPortFrom(zoned(path.Remote.Addr(), path.Interface), path.Remote.Port())
}

// pathOf makes the path of a received datagram. The interface belongs to it
// for link-local addresses only: other packets may change their way without
// the peer having moved.
func pathOf(local netip.AddrPort, dst netip.Addr, remote netip.AddrPort, ifindex uint32) ike.Path {
	p := ike.Path{Local: local, Remote: plainAddrPort(remote)}
	if dst.IsValid() && !dst.IsMulticast() {
		p.Local = netip.AddrPortFrom(dst.Unmap(), local.Port())
	}
	if p.Remote.Addr().IsLinkLocalUnicast() {
		p.Interface = ifindex
		if p.Interface == 0 {
			p.Interface = zoneIndex(remote.Addr())
		}
	}
	return p
}

// plainIO serves a connection that is bound to one address.
type plainIO struct {
	conn  net.PacketConn
	local netip.AddrPort
}

func (c plainIO) read(ms []inbound) (int, error) {
	m := &ms[0]
	n, from, err := c.conn.ReadFrom(m.buf)
	if err != nil {
		return 0, err
	}
	remote, err := addrPortOf(from)
	if err != nil {
		return 0, err
	}
	m.n, m.segment, m.path = n, 0, pathOf(c.local, netip.Addr{}, remote, 0)
	return 1, nil
}

func (c plainIO) write(ms []outbound, s *scratch) (sent int, err error) {
	return writeEach(ms, s, func(b []byte, p ike.Path, _ byte) error {
		_, err := c.conn.WriteTo(b, net.UDPAddrFromAddrPort(withZone(p)))
		return err
	})
}

// pathIO serves a PathConn.
type pathIO struct{ conn PathConn }

func (c pathIO) read(ms []inbound) (n int, err error) {
	m := &ms[0]
	m.segment = 0
	m.n, m.path, err = c.conn.ReadPath(m.buf)
	if err != nil {
		return 0, err
	}
	return 1, nil
}

func (c pathIO) write(ms []outbound, s *scratch) (sent int, err error) {
	return writeEach(ms, s, func(b []byte, p ike.Path, _ byte) error {
		_, err := c.conn.WritePath(b, p)
		return err
	})
}

// writeEach sends datagrams one at a time.
func writeEach(ms []outbound, s *scratch, write func(b []byte, p ike.Path, tos byte) error) (sent int, first error) {
	for _, m := range ms {
		b := m.b
		if m.marker != nil {
			s.buf = append(append(s.buf[:0], m.marker...), m.b...)
			b = s.buf
		}
		for len(b) > 0 {
			one := b
			if m.segment > 0 && m.segment < len(b) {
				one = b[:m.segment]
			}
			b = b[len(one):]
			if err := write(one, m.path, m.tos); err != nil {
				if first == nil {
					first = err
				}
				continue
			}
			sent++
		}
	}
	return sent, first
}

// udpIO serves a UDP socket with the standard library's calls, which are
// portable. A wildcard socket learns and tells the local address by control
// messages where the system has them.
type udpIO struct {
	conn  *net.UDPConn
	local netip.AddrPort
	info  bool // control messages tell the local address
	v6    bool // the socket is of AF_INET6
	oob   []byte
}

func (c *udpIO) read(ms []inbound) (int, error) {
	m := &ms[0]
	n, nn, _, from, err := c.conn.ReadMsgUDPAddrPort(m.buf, c.oob)
	if err != nil {
		return 0, err
	}
	info := parseControl(c.oob[:nn])
	m.n, m.segment, m.tos, m.path = n, 0, info.tos, pathOf(c.local, info.dst, from, info.ifindex)
	return 1, nil
}

func (c *udpIO) write(ms []outbound, s *scratch) (sent int, err error) {
	return writeEach(ms, s, func(b []byte, p ike.Path, tos byte) error {
		var control [controlSize]byte
		oob := control[:0]
		if c.info {
			oob = appendSource(oob, p, c.v6)
		}
		oob = appendTOS(oob, p, tos)
		_, _, err := c.conn.WriteMsgUDPAddrPort(b, oob, withZone(p))
		return err
	})
}

// packetInfo is what control messages tell about a received datagram.
type packetInfo struct {
	dst     netip.Addr
	ifindex uint32
	segment int
	tos     byte
}

// dualStack reports whether an IPv6 socket may carry IPv4 too. The Manager
// binds each family by itself; what a program gives may be both.
func (s *socket) dualStack() bool {
	return s.injected && s.local.Addr().Is6() && s.local.Addr().IsUnspecified()
}

// sockets are the Manager's, immutable while it serves.
type sockets struct {
	all   []*socket
	exact map[netip.AddrPort]*socket
	wild4 map[uint16]*socket
	wild6 map[uint16]*socket
}

func newSockets(all []*socket) *sockets {
	ss := &sockets{all: all, exact: make(map[netip.AddrPort]*socket), wild4: make(map[uint16]*socket), wild6: make(map[uint16]*socket)}
	for _, s := range all {
		switch {
		case !s.local.Addr().IsUnspecified():
			ss.exact[s.local] = s
		case s.local.Addr().Is4():
			ss.wild4[s.local.Port()] = s
		default:
			ss.wild6[s.local.Port()] = s
			if s.dualStack() && ss.wild4[s.local.Port()] == nil {
				ss.wild4[s.local.Port()] = s
			}
		}
	}
	return ss
}

// find returns the socket that sends from a local address, or nil.
func (ss *sockets) find(local netip.AddrPort) *socket {
	if s := ss.exact[local]; s != nil {
		return s
	}
	if local.Addr().Is4() {
		return ss.wild4[local.Port()]
	}
	return ss.wild6[local.Port()]
}

// A sender collects datagrams and sends those of one socket together. It is
// used by one goroutine at a time.
type sender struct {
	socket  *socket
	batch   []outbound
	scratch scratch
	sent    int
	lost    int // no socket
}

// add queues an IKE message or a keepalive.
func (s *sender) add(ss *sockets, t ike.Transmit) {
	sock := ss.find(t.Path.Local)
	if sock == nil {
		s.lost++
		return
	}
	if sock != s.socket {
		s.send()
		s.socket = sock
	}
	var marker []byte
	if sock.natt && !t.Keepalive {
		marker = nonESPMarker
	}
	s.batch = append(s.batch, outbound{path: t.Path, marker: marker, b: t.Packet})
	if len(s.batch) == receivePackets {
		s.send()
	}
}

// flush sends what is queued and returns how many were sent since the last
// flush.
func (s *sender) flush() int {
	s.send()
	s.socket = nil
	n := s.sent
	s.sent = 0
	return n
}

func (s *sender) send() {
	if len(s.batch) == 0 {
		return
	}
	n, _ := s.socket.write(s.batch, &s.scratch)
	s.sent += n
	clear(s.batch)
	s.batch = s.batch[:0]
}

// write sends a batch and counts it.
func (s *socket) write(ms []outbound, sc *scratch) (int, error) {
	n, err := s.io.write(ms, sc)
	s.stats.sent.Add(uint64(n))
	if err != nil {
		s.stats.sendErrors.Add(1)
	}
	return n, err
}
