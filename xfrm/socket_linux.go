package xfrm

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/racoon3/racoon/spd"
)

// PrepareSocket implements [spd.DataPlane]: IKE is sent and taken in clear
// whatever the policies say, and with natt the kernel takes ESP out of UDP. A
// socket for both families costs policies of its port besides, since the
// kernel exempts a socket for one family only; and not every kernel takes IPv4
// ESP out of it. Sockets for one family each are better.
func (p *DataPlane) PrepareSocket(conn net.PacketConn, natt bool) error {
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return fmt.Errorf("xfrm: a socket of type %T cannot be exempted from the kernel's policies", conn)
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return fmt.Errorf("xfrm: %w", err)
	}
	var errs error
	dual := false
	err = raw.Control(func(fd uintptr) {
		dual, errs = bypass(int(fd))
		if errs == nil && natt {
			errs = wrapOption("UDP_ENCAP", unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_ENCAP, unix.UDP_ENCAP_ESPINUDP))
		}
	})
	if err = errors.Join(err, errs); err != nil || !dual {
		return err
	}
	return p.bypassPort(conn)
}

// PrepareNonIKE implements [spd.NonIKESocket]: the kernel takes ESP out of UDP
// that is behind the non-IKE marker.
func (p *DataPlane) PrepareNonIKE(conn net.PacketConn) error {
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return fmt.Errorf("xfrm: a socket of type %T cannot have UDP_ENCAP", conn)
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return fmt.Errorf("xfrm: %w", err)
	}
	var errs error
	err = raw.Control(func(fd uintptr) {
		errs = wrapOption("UDP_ENCAP for the non-IKE marker", unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_ENCAP, unix.UDP_ENCAP_ESPINUDP_NON_IKE))
	})
	return errors.Join(err, errs)
}

// bypass gives a socket policies of its own: everything passes. The kernel lets
// it have those of one family. dual says that it has IPv4 packets besides.
func bypass(fd int) (dual bool, err error) {
	family, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil {
		return false, wrapOption("SO_DOMAIN", err)
	}
	level, option, packets := unix.IPPROTO_IP, unix.IP_XFRM_POLICY, familyIPv4
	if family == unix.AF_INET6 {
		level, option, packets = unix.IPPROTO_IPV6, unix.IPV6_XFRM_POLICY, familyIPv6
		only, err := unix.GetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY)
		if err != nil {
			return false, wrapOption("IPV6_V6ONLY", err)
		}
		bound, err := unix.Getsockname(fd)
		if err != nil {
			return false, wrapOption("the address", err)
		}
		if sa, ok := bound.(*unix.SockaddrInet6); ok {
			a := netip.AddrFrom16(sa.Addr)
			switch {
			case a.Is4In6():
				packets = familyIPv4
			case a.IsUnspecified():
				dual = only == 0
			}
		}
	}
	for _, dir := range []Direction{DirIn, DirOut} {
		if err := unix.SetsockoptString(fd, level, option, string(socketPolicy(dir, packets))); err != nil {
			return false, wrapOption("IP_XFRM_POLICY", err)
		}
	}
	return dual, nil
}

// bypassPort exempts the IPv4 packets of a socket for both families by
// policies on its port.
func (p *DataPlane) bypassPort(conn net.PacketConn) error {
	local, ok := conn.LocalAddr().(*net.UDPAddr)
	if !ok {
		return fmt.Errorf("xfrm: a socket of type %T for both families cannot be exempted from the kernel's policies", conn)
	}
	port := spd.AnyIPv4.WithProtocol(unix.IPPROTO_UDP, spd.PortRange{First: uint16(local.Port), Last: uint16(local.Port)})
	out := spd.Policy{Direction: spd.Out, Selector: spd.Selector{Local: port, Remote: spd.AnyIPv4}, Action: spd.ActionBypass}
	in := out
	in.Direction = spd.In
	return p.SetPolicies(context.Background(), socketOwner-spd.Owner(local.Port), []spd.Policy{out, in})
}

// socketOwner is where the owners of policies for sockets end: far from those
// of Child SAs.
const socketOwner spd.Owner = 1<<64 - 1

func wrapOption(name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("xfrm: setting %s of a socket: %w", name, err)
}
