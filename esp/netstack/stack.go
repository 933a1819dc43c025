package netstack

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"

	"github.com/racoon3/racoon/esp"
	"github.com/racoon3/racoon/esp/internal/outer"
)

// DefaultMTU is that of an inner network whose Config says nothing: with it
// the packets of every ESP algorithm, in UDP, over IPv4 or IPv6, fit in 1500
// octets.
const DefaultMTU = 1390

// Limits of the MTU: IPv6 asks for 1280 (RFC 8200 section 5), IPv4 can do with
// less.
const (
	minMTU  = 576
	minMTU6 = 1280
	maxMTU  = 65535
)

// Config configures a [Stack].
type Config struct {
	// Engine protects the packets. It stays the program's.
	Engine *esp.Engine
	// Addresses are this host's in the inner network; see also
	// [Stack.AddAddress].
	Addresses []netip.Addr
	// MTU is the largest packet of the inner network, in octets from its IP
	// header on; 0 means DefaultMTU. Without IPv6 it may be as low as 576.
	MTU int
	// DNS are name servers in the inner network; see [Stack.SetDNS].
	DNS []netip.Addr
	// Queue is how many packets may wait to be sent, 0 meaning 1024. One of
	// TCP may be as long as 64 KiB.
	Queue int
}

// Writer sends ESP packets in UDP; the Manager of the root package is one.
type Writer = outer.Writer

// RawWriter sends ESP packets as IP protocol 50; a pump.RawConn is one.
type RawWriter = outer.RawWriter

// nicID is the only interface.
const nicID tcpip.NICID = 1

// ErrClosed is returned by the methods of a closed Stack.
var ErrClosed = errors.New("netstack: stack is closed")

// A Stack is a host in an inner network. Its methods may be called by several
// goroutines at once.
type Stack struct {
	engine *esp.Engine
	net    *stack.Stack
	link   *link
	dns    atomic.Pointer[[]netip.Addr]
	turn   atomic.Uint32 // name servers are asked in turn

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	once   sync.Once // Close
}

// New returns a stack. It has no way to the outer network yet: datagrams are
// lost until SetWriter is called.
func New(cfg Config) (*Stack, error) {
	if cfg.Engine == nil {
		return nil, errors.New("netstack: Config.Engine is nil; make one with esp.New")
	}
	if cfg.MTU == 0 {
		cfg.MTU = DefaultMTU
	}
	if cfg.MTU < minMTU || cfg.MTU > maxMTU {
		return nil, fmt.Errorf("netstack: Config.MTU is %d; use %d to %d, or 0 for %d", cfg.MTU, minMTU, maxMTU, DefaultMTU)
	}
	if cfg.Queue < 0 {
		return nil, fmt.Errorf("netstack: Config.Queue is %d; use 0 for 1024", cfg.Queue)
	}
	if cfg.Queue == 0 {
		cfg.Queue = 1024
	}
	s := &Stack{engine: cfg.Engine, link: newLink(cfg.Engine, cfg.MTU, cfg.Queue)}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if err := s.SetDNS(cfg.DNS); err != nil {
		return nil, err
	}
	s.net = stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, ipv6.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4, icmp.NewProtocol6},
		HandleLocal:        true,
	})
	if err := s.configure(); err != nil {
		s.net.Destroy()
		return nil, err
	}
	for _, a := range cfg.Addresses {
		if err := s.AddAddress(a); err != nil {
			s.net.Destroy()
			return nil, err
		}
	}
	s.link.start()
	return s, nil
}

func (s *Stack) configure() error {
	sack := tcpip.TCPSACKEnabled(true)
	moderate := tcpip.TCPModerateReceiveBufferOption(true)
	receive := tcpip.TCPReceiveBufferSizeRangeOption{Min: tcp.MinBufferSize, Default: 1 << 20, Max: 8 << 20}
	send := tcpip.TCPSendBufferSizeRangeOption{Min: tcp.MinBufferSize, Default: 1 << 20, Max: 8 << 20}
	for _, o := range []tcpip.SettableTransportProtocolOption{&sack, &moderate, &receive, &send} {
		if err := s.net.SetTransportProtocolOption(tcp.ProtocolNumber, o); err != nil {
			return fmt.Errorf("netstack: TCP: %v", err)
		}
	}
	if err := s.net.CreateNIC(nicID, s.link); err != nil {
		return fmt.Errorf("netstack: %v", err)
	}
	s.net.SetRouteTable([]tcpip.Route{
		{Destination: header.IPv4EmptySubnet, NIC: nicID},
		{Destination: header.IPv6EmptySubnet, NIC: nicID},
	})
	return nil
}

// SetWriter says how datagrams in UDP leave from now on; nil stops them. The
// Manager of the root package is such a writer, once it serves.
func (s *Stack) SetWriter(w Writer) { s.link.setUDP(w) }

// SetRawWriter says how datagrams without UDP leave. The engine must have been
// made with esp.Config.RawESP.
func (s *Stack) SetRawWriter(w RawWriter) { s.link.setRaw(w) }

// HandleESP takes the ESP packets of one flow that arrived in UDP: it makes a
// Stack the PacketHandler of the root package's Manager. The packets are
// changed, and not kept.
func (s *Stack) HandleESP(local, remote netip.AddrPort, tos byte, packets [][]byte) {
	s.link.receive(local, remote, tos, true, packets)
}

// HandleRawESP is HandleESP for packets that arrived as IP protocol 50.
func (s *Stack) HandleRawESP(local, remote netip.Addr, tos byte, packets [][]byte) {
	s.link.receive(netip.AddrPortFrom(local, 0), netip.AddrPortFrom(remote, 0), tos, false, packets)
}

// AddAddress gives the host an address, which may be one that the gateway has
// assigned. It is no error if the host has it.
func (s *Stack) AddAddress(a netip.Addr) error {
	a = a.Unmap().WithZone("")
	if !a.IsValid() || a.IsUnspecified() || a.IsMulticast() {
		return fmt.Errorf("netstack: %v cannot be the address of a host", a)
	}
	if s.isClosed() {
		return ErrClosed
	}
	if a.Is6() && s.link.MTU() < minMTU6 {
		return fmt.Errorf("netstack: address %v: IPv6 needs an MTU of %d, this one is %d", a, minMTU6, s.link.MTU())
	}
	p := tcpip.ProtocolAddress{Protocol: protocolOf(a), AddressWithPrefix: tcpip.AddrFromSlice(a.AsSlice()).WithPrefix()}
	switch err := s.net.AddProtocolAddress(nicID, p, stack.AddressProperties{}).(type) {
	case nil, *tcpip.ErrDuplicateAddress:
		return nil
	default:
		return fmt.Errorf("netstack: address %v: %v", a, err)
	}
}

// RemoveAddress takes an address from the host. Connections that use it
// break down.
func (s *Stack) RemoveAddress(a netip.Addr) error {
	a = a.Unmap().WithZone("")
	if s.isClosed() {
		return ErrClosed
	}
	switch err := s.net.RemoveAddress(nicID, tcpip.AddrFromSlice(a.AsSlice())).(type) {
	case nil:
		return nil
	default:
		return fmt.Errorf("netstack: address %v: %v", a, err)
	}
}

// Addresses returns the addresses of the host, in order.
func (s *Stack) Addresses() []netip.Addr {
	var list []netip.Addr
	for _, p := range s.net.AllAddresses()[nicID] {
		// gVisor counts the broadcast address as the host's.
		if a, ok := netip.AddrFromSlice(p.AddressWithPrefix.Address.AsSlice()); ok && a != broadcast {
			list = append(list, a)
		}
	}
	slices.SortFunc(list, netip.Addr.Compare)
	return list
}

var broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// MTU returns the largest packet of the inner network.
func (s *Stack) MTU() int { return int(s.link.MTU()) }

// Stats returns what the stack has counted.
func (s *Stack) Stats() Stats { return s.link.stats.load() }

// Close ends all connections and listeners, telling their peers as far as the
// way is open, and waits until nothing of the stack runs any more. The engine
// stays open.
func (s *Stack) Close() error {
	s.once.Do(func() {
		s.cancel()
		s.net.Close()
		for _, e := range s.net.CleanupEndpoints() {
			e.Abort()
		}
		s.link.stop()
		s.net.Destroy()
	})
	return nil
}

func protocolOf(a netip.Addr) tcpip.NetworkProtocolNumber {
	if a.Is4() {
		return ipv4.ProtocolNumber
	}
	return ipv6.ProtocolNumber
}
