//go:build linux

package lab

import (
	"encoding/binary"
	"os"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// A Sniffer records what passes a site's outer interface, in both directions: so
// that a test can tell what was on the wire, and what was not.
type Sniffer struct {
	mu      sync.Mutex
	packets []*Packet
}

// snifferLimit is the number of packets that a Sniffer keeps: the newest ones.
const snifferLimit = 10000

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
		if err = unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, ifi); err == nil {
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
	sn := &Sniffer{}
	go func() {
		b := make([]byte, 1<<17)
		for {
			n, err := f.Read(b)
			if err != nil {
				return
			}
			if p, ok := parsePacket(slices.Clone(b[:n])); ok {
				p.From = s
				sn.mu.Lock()
				if len(sn.packets) == snifferLimit {
					sn.packets = slices.Delete(sn.packets, 0, snifferLimit/10)
				}
				sn.packets = append(sn.packets, p)
				sn.mu.Unlock()
			}
		}
	}()
	return sn
}

// Packets returns what was recorded so far.
func (sn *Sniffer) Packets() []*Packet {
	sn.mu.Lock()
	defer sn.mu.Unlock()
	return slices.Clone(sn.packets)
}
