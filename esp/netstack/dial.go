package netstack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
)

// DialContext connects to an address in the inner network, as
// [net.Dialer.DialContext] does: network is "tcp" or "udp", or one of these
// with "4" or "6" for an address family, address is host:port. A name is
// looked up by [Stack.Resolver]; its addresses are tried one after the other.
// It fits [net/http.Transport].
func (s *Stack) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	n, err := parseNetwork(network)
	if err != nil {
		return nil, opError("dial", network, err)
	}
	host, port, err := splitHostPort(ctx, n.transport, address)
	if err != nil {
		return nil, opError("dial", network, err)
	}
	addrs, err := s.lookup(ctx, n, host)
	if err != nil {
		return nil, opError("dial", network, err)
	}
	var first error
	for i, a := range addrs {
		c, err := s.dialOne(ctx, n, netip.AddrPortFrom(a, port), len(addrs)-i)
		if err == nil {
			return c, nil
		}
		if first == nil {
			first = err
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, first
}

// dialOne connects to one of the addresses that are left, with its share of
// the time.
func (s *Stack) dialOne(ctx context.Context, n network, to netip.AddrPort, left int) (net.Conn, error) {
	if deadline, ok := ctx.Deadline(); ok && left > 1 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, max(time.Until(deadline)/time.Duration(left), time.Second))
		defer cancel()
	}
	full := fullAddress(to)
	var c net.Conn
	var err error
	if n.transport == "tcp" {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(s.ctx, cancel)()
		c, err = gonet.DialContextTCP(ctx, s.net, full, protocolOf(to.Addr()))
	} else {
		c, err = gonet.DialUDP(s.net, nil, &full, protocolOf(to.Addr()))
	}
	if err == nil && s.isClosed() {
		c.Close() // made while the stack was being closed
		err = ErrClosed
	}
	if err != nil {
		return nil, s.dialError(n, to, err)
	}
	return c, nil
}

// dialError says why a connection failed.
func (s *Stack) dialError(n network, to netip.AddrPort, err error) error {
	if o, ok := errors.AsType[*net.OpError](err); ok {
		err = o.Err
	}
	if s.isClosed() {
		err = ErrClosed
	} else if !s.hasFamily(to.Addr()) {
		err = fmt.Errorf("%w (the stack has no address of that family; see AddAddress)", err)
	}
	e := opError("dial", n.String(), err)
	e.Addr = addrOf(n.transport, to)
	return e
}

func (s *Stack) hasFamily(a netip.Addr) bool {
	for _, own := range s.Addresses() {
		if own.Is4() == a.Is4() && !own.IsLinkLocalUnicast() {
			return true
		}
	}
	return false
}

// Listen listens for connections from the inner network: network is "tcp",
// "tcp4" or "tcp6", address is host:port, where an empty host means all
// addresses that the stack has or will have, and port 0 any free one.
func (s *Stack) Listen(network, address string) (net.Listener, error) {
	n, full, proto, err := s.listenAddress(network, "tcp", address)
	if err != nil {
		return nil, opError("listen", network, err)
	}
	l, err := gonet.ListenTCP(s.net, full, proto)
	if err == nil && s.isClosed() {
		l.Close()
		err = ErrClosed
	}
	if err != nil {
		return nil, s.listenError(n, address, err)
	}
	return l, nil
}

// ListenPacket receives UDP datagrams from the inner network: network is
// "udp", "udp4" or "udp6", address is as for [Stack.Listen].
func (s *Stack) ListenPacket(network, address string) (net.PacketConn, error) {
	n, full, proto, err := s.listenAddress(network, "udp", address)
	if err != nil {
		return nil, opError("listen", network, err)
	}
	c, err := gonet.DialUDP(s.net, &full, nil, proto)
	if err == nil && s.isClosed() {
		c.Close()
		err = ErrClosed
	}
	if err != nil {
		return nil, s.listenError(n, address, err)
	}
	return c, nil
}

func (s *Stack) listenAddress(name, transport, address string) (n network, full tcpip.FullAddress, proto tcpip.NetworkProtocolNumber, err error) {
	if n, err = parseNetwork(name); err != nil {
		return n, full, 0, err
	}
	if n.transport != transport {
		return n, full, 0, net.UnknownNetworkError(name)
	}
	host, port, err := splitHostPort(context.Background(), transport, address)
	if err != nil {
		return n, full, 0, err
	}
	if host == "" {
		// An IPv6 endpoint takes IPv4 too.
		if proto = ipv6.ProtocolNumber; n.family == 4 {
			proto = ipv4.ProtocolNumber
		}
		return n, tcpip.FullAddress{NIC: nicID, Port: port}, proto, nil
	}
	a, err := netip.ParseAddr(host)
	if err != nil {
		return n, full, 0, fmt.Errorf("%q is not an IP address", host)
	}
	if a = a.Unmap(); !n.takes(a) {
		return n, full, 0, &net.AddrError{Err: "address is not of the network's family", Addr: host}
	}
	full = fullAddress(netip.AddrPortFrom(a, port))
	if a.IsUnspecified() {
		full.Addr = tcpip.Address{}
	}
	return n, full, protocolOf(a), nil
}

func (s *Stack) listenError(n network, address string, err error) error {
	if o, ok := errors.AsType[*net.OpError](err); ok {
		err = o.Err
	}
	if s.isClosed() {
		err = ErrClosed
	}
	return opError("listen", n.String(), fmt.Errorf("%s: %w", address, err))
}

func (s *Stack) isClosed() bool { return s.ctx.Err() != nil }

// network is a parsed network name.
type network struct {
	transport string
	family    byte // 4, 6 or 0
}

func parseNetwork(s string) (network, error) {
	switch s {
	case "tcp", "udp":
		return network{s, 0}, nil
	case "tcp4", "udp4", "tcp6", "udp6":
		return network{s[:3], s[3] - '0'}, nil
	}
	return network{}, net.UnknownNetworkError(s)
}

func (n network) String() string {
	if n.family == 0 {
		return n.transport
	}
	return n.transport + string('0'+n.family)
}

func (n network) takes(a netip.Addr) bool { return n.family == 0 || (n.family == 4) == a.Is4() }

// splitHostPort takes numbers and names of ports.
func splitHostPort(ctx context.Context, transport, address string) (string, uint16, error) {
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, err
	}
	if p, err := strconv.ParseUint(service, 10, 16); err == nil {
		return host, uint16(p), nil
	}
	p, err := net.DefaultResolver.LookupPort(ctx, transport, service)
	if err != nil {
		return "", 0, err
	}
	return host, uint16(p), nil
}

func fullAddress(a netip.AddrPort) tcpip.FullAddress {
	return tcpip.FullAddress{NIC: nicID, Addr: tcpip.AddrFromSlice(a.Addr().AsSlice()), Port: a.Port()}
}

func addrOf(transport string, a netip.AddrPort) net.Addr {
	if transport == "tcp" {
		return net.TCPAddrFromAddrPort(a)
	}
	return net.UDPAddrFromAddrPort(a)
}

func opError(op, network string, err error) *net.OpError {
	return &net.OpError{Op: op, Net: network, Err: err}
}
