package pump

import (
	"errors"
	"fmt"

	"golang.zx2c4.com/wireguard/tun"

	"github.com/racoon3/racoon/esp"
)

// plainInner uses a device through its interface alone.
type plainInner struct {
	dev  tun.Device
	size int // of a packet at most
}

func newPlainInner(dev tun.Device) (inner, error) {
	n := dev.BatchSize()
	if n < 1 {
		return nil, fmt.Errorf("pump: the TUN device's batch size is %d", n)
	}
	return &plainInner{dev: dev, size: maxPacket}, nil
}

// maxPacket is the largest packet of a device whose MTU may change at any time.
const maxPacket = 65535

func (d *plainInner) newSource() source {
	n := d.dev.BatchSize()
	s := &plainSource{dev: d.dev, sizes: make([]int, n)}
	for range n {
		buf := make([]byte, esp.Headroom+d.size+esp.Tailroom)
		s.bufs = append(s.bufs, buf)
		s.reads = append(s.reads, buf[:esp.Headroom+d.size])
	}
	return s
}

type plainSource struct {
	dev   tun.Device
	bufs  [][]byte
	reads [][]byte // without tailroom
	sizes []int
	list  []esp.Packet
}

func (s *plainSource) read() ([]esp.Packet, bool, error) {
	n, err := s.dev.Read(s.reads, s.sizes, esp.Headroom)
	if n == 0 && err != nil && !errors.Is(err, tun.ErrTooManySegments) {
		return nil, false, err
	}
	s.list = s.list[:0]
	for i := range n {
		s.list = append(s.list, esp.Packet{Buf: s.bufs[i], Start: esp.Headroom, End: esp.Headroom + s.sizes[i]})
	}
	return s.list, false, nil
}

func (d *plainInner) newSink() sink { return &plainSink{dev: d.dev} }

// deviceRoom is what a device may want before a packet for a header of its own.
const deviceRoom = 16

type plainSink struct {
	dev   tun.Device
	bufs  [][]byte
	spare []byte
}

func (s *plainSink) write(list []esp.Packet) (total int, first error) {
	size := s.dev.BatchSize()
	for len(list) > 0 {
		n := min(size, len(list))
		s.bufs = s.bufs[:0]
		used := 0
		for _, p := range list[:n] {
			if p.Start >= deviceRoom {
				s.bufs = append(s.bufs, p.Buf[p.Start-deviceRoom:p.End:p.End])
				continue
			}
			need := deviceRoom + p.Len()
			if len(s.spare)-used < need {
				// What was copied before keeps the old memory.
				s.spare, used = make([]byte, max(need, n*2048)), 0
			}
			b := s.spare[used : used+need : used+need]
			used += need
			copy(b[deviceRoom:], p.Bytes())
			s.bufs = append(s.bufs, b)
		}
		list = list[n:]
		if _, err := s.dev.Write(s.bufs, deviceRoom); err != nil {
			if first == nil {
				first = err
			}
			continue
		}
		total += n
	}
	clear(s.bufs)
	return total, first
}
