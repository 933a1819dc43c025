package xfrm

import (
	"errors"
	"fmt"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// PrepareSocket implements [spd.DataPlane]: IKE is sent and taken in clear
// whatever the policies say, and with natt the kernel takes ESP out of UDP.
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
	err = raw.Control(func(fd uintptr) {
		errs = bypass(int(fd))
		if errs == nil && natt {
			errs = wrapOption("UDP_ENCAP", unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_ENCAP, unix.UDP_ENCAP_ESPINUDP))
		}
	})
	return errors.Join(err, errs)
}

// bypass gives a socket policies of its own: everything passes.
func bypass(fd int) error {
	family, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil {
		return wrapOption("SO_DOMAIN", err)
	}
	level, option := unix.IPPROTO_IP, unix.IP_XFRM_POLICY
	if family == unix.AF_INET6 {
		level, option = unix.IPPROTO_IPV6, unix.IPV6_XFRM_POLICY
	}
	for _, dir := range []Direction{DirIn, DirOut} {
		if err := unix.SetsockoptString(fd, level, option, string(socketPolicy(dir, uint16(family)))); err != nil {
			return wrapOption("IP_XFRM_POLICY", err)
		}
	}
	return nil
}

func wrapOption(name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("xfrm: setting %s of a socket: %w", name, err)
}
