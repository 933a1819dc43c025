//go:build linux

package lab

import (
	"fmt"
	"net/netip"
	"testing"
)

// A Site is one end of a [Pair] or of a [Router]: a namespace with an outer
// address, where IKE and ESP run, and an inner network behind it, whose traffic
// the tunnel is to carry.
type Site struct {
	*Namespace

	Outer, Outer6       netip.Addr   // on the outer interface
	Inner, Inner6       netip.Addr   // on the interface in0
	InnerNet, InnerNet6 netip.Prefix // what the peer is to reach through the tunnel
	Device              string       // name of the outer interface
}

// newSite makes the i-th site (from 1) with its inner network, and no outer
// interface yet: inner 10.<i>.0.1/24 and fd00:<i>::1/64.
func newSite(t testing.TB, name string, i byte) *Site {
	t.Helper()
	s := &Site{
		Namespace: NewNamespace(t, name),
		InnerNet:  netip.PrefixFrom(netip.AddrFrom4([4]byte{10, i, 0, 0}), 24),
		InnerNet6: netip.PrefixFrom(netip.AddrFrom16([16]byte{0: 0xfd, 3: i}), 64),
		Device:    "out0",
	}
	s.Inner, s.Inner6 = s.InnerNet.Addr().Next(), s.InnerNet6.Addr().Next()
	// (A veth pair whose other end is idle: some kernels have no dummy devices.)
	s.IP("link add in0 type veth peer name in1",
		"link set in1 up",
		"addr add "+netip.PrefixFrom(s.Inner, 24).String()+" dev in0",
		"addr add "+netip.PrefixFrom(s.Inner6, 64).String()+" dev in0 nodad",
		"link set in0 up")
	s.AwaitAddress(s.Inner6)
	return s
}

// NewPair makes two sites joined by a veth pair (real kernel speed):
//
//	a   outer 10.99.0.1/24, fd99::1/64   inner 10.1.0.1/24, fd00:1::1/64
//	b   outer 10.99.0.2/24, fd99::2/64   inner 10.2.0.1/24, fd00:2::1/64
//
// There is no route to the other's inner network: that is what a tunnel is for.
func NewPair(t testing.TB) (a, b *Site) {
	t.Helper()
	a, b = newSite(t, "a", 1), newSite(t, "b", 2)
	a.IP("link add " + a.Device + " type veth peer name " + b.Device + " netns " + b.Path())
	for i, s := range []*Site{a, b} {
		s.Outer = netip.AddrFrom4([4]byte{10, 99, 0, byte(i + 1)})
		s.Outer6 = netip.AddrFrom16([16]byte{0: 0xfd, 1: 0x99, 15: byte(i + 1)})
		s.addOuter(24, 64)
	}
	for _, s := range []*Site{a, b} {
		s.AwaitAddress(s.Outer6)
	}
	return a, b
}

// addOuter gives the outer interface its addresses.
func (s *Site) addOuter(bits4, bits6 int) {
	s.t.Helper()
	s.IP("addr add "+netip.PrefixFrom(s.Outer, bits4).String()+" dev "+s.Device,
		"addr add "+netip.PrefixFrom(s.Outer6, bits6).String()+" dev "+s.Device+" nodad",
		"link set "+s.Device+" up")
}

// RouteTo makes the outer interface the way to the inner networks of peer. A
// kernel needs that where its policies are to find the packets; strongSwan and
// TUN devices bring routes of their own.
func (s *Site) RouteTo(peer *Site) {
	s.t.Helper()
	s.IP(fmt.Sprintf("route add %v dev %s src %v", peer.InnerNet, s.Device, s.Inner),
		fmt.Sprintf("route add %v dev %s src %v", peer.InnerNet6, s.Device, s.Inner6))
}
