package pfkey

import (
	"errors"
	"fmt"
	"net"
	"runtime"
	"syscall"

	"github.com/racoon3/racoon/spd"
)

// SetSocketPolicy gives a socket a policy of its own, in place of the SPD's, for
// the direction that the policy names (IP_IPSEC_POLICY, for ipv6
// IPV6_IPSEC_POLICY). The policy is PolicyBypass, which needs privilege,
// PolicyEntrust or PolicyIPsec. Linux has to have af_key loaded.
func (d *Dialect) SetSocketPolicy(conn syscall.Conn, ipv6 bool, p *Policy) error {
	level, option := 0, d.sockets.policy4 // IPPROTO_IP
	if ipv6 {
		level, option = 41, d.sockets.policy6
	}
	if option == 0 || d.goos != runtime.GOOS {
		return fmt.Errorf("%w: pfkey: socket policies of %s", spd.ErrUnsupported, d)
	}
	value, err := d.AppendPolicy(nil, p)
	if err != nil {
		return err
	}
	return control(conn, func(fd uintptr) error { return setsockopt(fd, level, option, value) })
}

// SetUDPEncap makes a UDP socket give ESP in UDP to the kernel (UDP_ENCAP, RFC
// 3948). macOS has no such option: there net.inet.ipsec.esp_port in sysctl is
// the port.
func (d *Dialect) SetUDPEncap(conn syscall.Conn) error {
	return d.setUDPEncap(conn, NATTESPinUDP)
}

func (d *Dialect) setUDPEncap(conn syscall.Conn, kind uint8) error {
	if d.sockets.udpEncap == 0 || d.goos != runtime.GOOS {
		return fmt.Errorf("%w: pfkey: UDP encapsulation on a socket of %s", spd.ErrUnsupported, d)
	}
	value := d.order.AppendUint32(nil, uint32(kind))
	return control(conn, func(fd uintptr) error { return setsockopt(fd, syscall.IPPROTO_UDP, d.sockets.udpEncap, value) })
}

func control(conn syscall.Conn, f func(fd uintptr) error) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var ferr error
	if err := raw.Control(func(fd uintptr) { ferr = f(fd) }); err != nil {
		return err
	}
	return ferr
}

// PrepareSocket implements [spd.DataPlane]: IKE bypasses all policies, and ESP in
// UDP that comes on a NAT-T socket goes to the kernel. A conn that is no socket
// of this system, and any with another system's dialect, needs nothing.
func (p *DataPlane) PrepareSocket(conn net.PacketConn, natt bool) error {
	sc, ok := conn.(syscall.Conn)
	if !ok || p.d.goos != runtime.GOOS {
		return nil
	}
	addr, ok := conn.LocalAddr().(*net.UDPAddr)
	if !ok {
		return nil
	}
	is4 := addr.IP.To4() != nil
	for _, dir := range [...]Dir{DirIn, DirOut} {
		bypass := &Policy{Type: PolicyBypass, Dir: dir}
		if !is4 {
			if err := p.d.SetSocketPolicy(sc, true, bypass); err != nil {
				return fmt.Errorf("pfkey: bypass for %v: %w", addr, err)
			}
		}
		// A socket for both families has both; one for IPv6 alone may refuse this.
		if err := p.d.SetSocketPolicy(sc, false, bypass); err != nil && is4 {
			return fmt.Errorf("pfkey: bypass for %v: %w", addr, err)
		}
	}
	if !natt || !is4 && !p.caps.UDPEncap6 {
		return nil
	}
	if err := p.d.SetUDPEncap(sc); err != nil && !errors.Is(err, spd.ErrUnsupported) {
		return fmt.Errorf("pfkey: ESP in UDP on %v: %w", addr, err)
	}
	return nil
}

// PrepareNonIKE implements [spd.NonIKESocket]: ESP behind the non-IKE marker goes
// to the kernel.
func (p *DataPlane) PrepareNonIKE(conn net.PacketConn) error {
	sc, ok := conn.(syscall.Conn)
	if !ok || p.d.goos != runtime.GOOS {
		return nil
	}
	if err := p.d.setUDPEncap(sc, NATTNonIKE); err != nil {
		return fmt.Errorf("pfkey: ESP behind the non-IKE marker on %v: %w", conn.LocalAddr(), err)
	}
	return nil
}

// takesNonIKE tries whether this kernel takes ESP behind the non-IKE marker.
func (d *Dialect) takesNonIKE() bool {
	if d.goos != "linux" {
		return false // FreeBSD and NetBSD once did; macOS and OpenBSD never
	}
	if d.goos != runtime.GOOS {
		return true
	}
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return false
	}
	defer c.Close()
	return d.setUDPEncap(c, NATTNonIKE) == nil
}
