//go:build linux

package lab

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/tun"
)

// OpenTUN makes a TUN device in the namespace, without offloads: each Read is an
// IP packet and so is each Write. It is up, has no address, and goes when the
// test ends or when it is closed.
func (n *Namespace) OpenTUN(name string, mtu int) *os.File {
	n.t.Helper()
	var f *os.File
	err := n.do(func() error {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		if err != nil {
			return fmt.Errorf("/dev/net/tun: %w", err)
		}
		req, err := unix.NewIfreq(name)
		if err == nil {
			req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
			err = unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
		}
		if err != nil {
			_ = unix.Close(fd)
			return fmt.Errorf("making the TUN device %s: %w", name, err)
		}
		f = os.NewFile(uintptr(fd), name) // in the poller, so that Close ends a Read
		return nil
	})
	if err != nil {
		n.t.Fatalf("lab: %s: %v", n.Name, err)
	}
	n.t.Cleanup(func() { _ = f.Close() })
	n.IP(fmt.Sprintf("link set %s mtu %d up", name, mtu))
	return f
}

// CreateTUN makes a TUN device with offloads in the namespace and brings it up.
// It goes when the test ends. Methods of the device that ask the system by the
// device's name, such as MTU, only work within [Namespace.Do].
func (n *Namespace) CreateTUN(name string, mtu int) tun.Device {
	n.t.Helper()
	var d tun.Device
	err := n.do(func() (err error) {
		d, err = tun.CreateTUN(name, mtu)
		return err
	})
	if err != nil {
		n.t.Fatalf("lab: %s: %v", n.Name, err)
	}
	n.t.Cleanup(func() { _ = d.Close() })
	n.IP("link set " + name + " up")
	return d
}
