package racoon

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"

	"github.com/racoon3/racoon/ike"
)

// A PacketHandler takes the ESP packets that arrive in UDP on the Manager's
// NAT-T sockets, and on others behind the non-IKE marker if a peer may have that
// (IKEv1Options.NATT). A userspace data plane implements it, and sends its own with
// [Manager.WriteESP].
type PacketHandler interface {
	// HandleESP is called with the packets of one flow in the order in which
	// they came: local and remote are the outer addresses, tos the outer
	// header's traffic class (0 where the system does not tell), each packet
	// begins with its SPI. It is called by the goroutines that receive, one
	// for each socket; the packets are the handler's to change during the
	// call and the Manager's again afterwards.
	HandleESP(local, remote netip.AddrPort, tos byte, packets [][]byte)
}

// espSender is what a caller of WriteESP works with.
type espSender struct {
	batch   []outbound
	scratch scratch
	joined  []byte
}

var espSenders = sync.Pool{New: func() any { return new(espSender) }}

// Limits of one segmented datagram (Linux UDP_MAX_SEGMENTS, IP length).
const (
	maxSegments  = 64
	maxSegmented = 65000
)

// WriteESP sends ESP packets in UDP from a NAT-T socket: local is one of its
// addresses and its port, remote the peer's. From a socket for plain IKE they go
// behind the non-IKE marker, if a peer may have that (IKEv1Options.NATT). tos is the outer traffic class.
// Where the system can, packets of one size are sent as one. It returns how
// many packets were sent, and the first error; it goes on after errors that
// concern one packet. It may be called by several goroutines; it does not
// change the packets or keep them.
func (m *Manager) WriteESP(local, remote netip.AddrPort, tos byte, packets [][]byte) (int, error) {
	select {
	case <-m.ready:
	default:
		return 0, errors.New("racoon: the Manager is not serving")
	}
	s := m.sockets.find(local)
	if s == nil || s.kink || !s.natt && !m.nonIKE.Load() {
		return 0, fmt.Errorf("racoon: no NAT-T socket for local address %v", local)
	}
	e := espSenders.Get().(*espSender)
	defer e.release()
	path := ike.Path{Local: local, Remote: plainAddrPort(remote), Interface: zoneIndex(remote.Addr())}
	seg, ok := s.io.(interface{ segmented() bool })
	if ok && seg.segmented() && len(packets) > 1 && s.natt {
		e.join(path, tos, packets)
	} else {
		var marker []byte
		if !s.natt {
			marker = nonIKEMarker
		}
		for _, p := range packets {
			e.batch = append(e.batch, outbound{path: path, marker: marker, tos: tos, b: p})
		}
	}
	return s.write(e.batch, &e.scratch)
}

// join puts runs of packets of one size, of which the last may be shorter,
// together.
func (e *espSender) join(path ike.Path, tos byte, packets [][]byte) {
	total := 0
	for _, p := range packets {
		total += len(p)
	}
	if cap(e.joined) < total {
		e.joined = make([]byte, 0, total)
	}
	e.joined = e.joined[:0]
	for len(packets) > 0 {
		size, n, length := len(packets[0]), 1, len(packets[0])
		for n < len(packets) && n < maxSegments && len(packets[n]) <= size && length+len(packets[n]) <= maxSegmented {
			length += len(packets[n])
			n++
			if len(packets[n-1]) < size {
				break
			}
		}
		out := outbound{path: path, tos: tos, b: packets[0]}
		if n > 1 {
			at := len(e.joined)
			for _, p := range packets[:n] {
				e.joined = append(e.joined, p...)
			}
			out.b, out.segment = e.joined[at:], size
		}
		e.batch = append(e.batch, out)
		packets = packets[n:]
	}
}

func (e *espSender) release() {
	clear(e.batch)
	e.batch = e.batch[:0]
	espSenders.Put(e)
}
