//go:build linux

package lab

import (
	"encoding/binary"
	"os"
	"slices"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// A Sniffer records what passes a site's outer interface, in both directions: so
// that a test can tell what was on the wire, and what was not.
type Sniffer struct {
	site    *Site
	socket  syscall.RawConn
	mu      sync.Mutex // also of reading, so that nothing is in between
	buf     []byte
	packets []*Packet
}

// snifferLimit is the number of packets that a Sniffer keeps: the newest ones.
const snifferLimit = 10000

// snifferBuffer is what the kernel keeps of packets while nobody reads them, such
// as on a machine that is busy, in octets.
const snifferBuffer = 32 << 20

// Sniff starts to record IP packets, until the test ends. The From of its packets
// is s whoever sent them.
func (s *Site) Sniff() *Sniffer {
	s.t.Helper()
	var f *os.File
	err := s.do(func() error {
		ifi, err := unix.NewIfreq(s.Device)
		if err != nil {
			return err
		}
		// Cooked (SOCK_DGRAM): without link headers, whatever the kind of device.
		all := uint16(unix.ETH_P_ALL)
		protocol := int(binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, all)))
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		if err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, snifferBuffer); err == nil {
			err = unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, ifi)
		}
		if err == nil {
			err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: uint16(protocol), Ifindex: int(ifi.Uint32())})
		}
		if err != nil {
			_ = unix.Close(fd)
			return err
		}
		f = os.NewFile(uintptr(fd), "sniffer")
		return nil
	})
	if err != nil {
		s.t.Fatalf("lab: sniffing at %s: %v", s.Name, err)
	}
	s.t.Cleanup(func() { _ = f.Close() })
	sn := &Sniffer{site: s, buf: make([]byte, 1<<17)}
	if sn.socket, err = f.SyscallConn(); err != nil {
		s.t.Fatalf("lab: sniffing at %s: %v", s.Name, err)
	}
	go func() {
		// Until the file is closed.
		_ = sn.socket.Read(func(fd uintptr) bool { sn.drain(int(fd)); return false })
	}()
	return sn
}

// drain records what the kernel has.
func (sn *Sniffer) drain(fd int) {
	sn.mu.Lock()
	defer sn.mu.Unlock()
	for {
		n, err := unix.Read(fd, sn.buf)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return
		}
		p, ok := parsePacket(slices.Clone(sn.buf[:n]))
		if !ok {
			continue
		}
		p.From = sn.site
		if len(sn.packets) == snifferLimit {
			sn.packets = slices.Delete(sn.packets, 0, snifferLimit/10)
		}
		sn.packets = append(sn.packets, p)
	}
}

// Packets returns what was recorded so far: all packets that have passed the
// interface before the call, such as that to which somebody has had an answer.
func (sn *Sniffer) Packets() []*Packet {
	// The kernel has put them into the socket's queue by then.
	_ = sn.socket.Control(func(fd uintptr) { sn.drain(int(fd)) })
	sn.mu.Lock()
	defer sn.mu.Unlock()
	return slices.Clone(sn.packets)
}
