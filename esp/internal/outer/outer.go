// Package outer hands ESP packets to what sends them, as many at a time as
// share a way.
package outer

import (
	"net/netip"

	"github.com/racoon3/racoon/esp"
)

// A Writer sends ESP packets in UDP (RFC 3948). The Manager of the root package
// is one.
type Writer interface {
	// WriteESP sends packets, each from its SPI on, from a local address to a
	// remote one, with the traffic class tos in the outer header. It returns
	// how many were sent and the first error. It must not keep the packets,
	// and may be called by several goroutines. Whether the non-IKE marker goes
	// before them follows from the local port.
	WriteESP(local, remote netip.AddrPort, tos byte, packets [][]byte) (int, error)
}

// A RawWriter sends ESP packets as IP protocol 50 (RFC 4303).
type RawWriter interface {
	// WriteRawESP is what WriteESP is without UDP. df is the "don't fragment"
	// bit of an outer IPv4 header.
	WriteRawESP(local, remote netip.Addr, tos byte, df bool, packets [][]byte) (int, error)
}

// A Sender is used by one goroutine at a time.
type Sender struct {
	UDP Writer    // nil: datagrams in UDP are lost
	Raw RawWriter // nil: others are lost

	packets [][]byte
}

// Send sends datagrams in their order. It returns how many were sent, and the
// first error; nothing is kept.
func (s *Sender) Send(ds []esp.Datagram) (sent int, first error) {
	for len(ds) > 0 {
		d := &ds[0]
		n := 1
		s.packets = append(s.packets[:0], d.Bytes())
		for n < len(ds) && sameWay(d, &ds[n]) {
			s.packets = append(s.packets, ds[n].Bytes())
			n++
		}
		ds = ds[n:]
		k, err := 0, error(nil)
		switch {
		case d.UDPEncap && s.UDP != nil:
			k, err = s.UDP.WriteESP(d.Local, d.Remote, d.TOS, s.packets)
		case !d.UDPEncap && s.Raw != nil:
			k, err = s.Raw.WriteRawESP(d.Local.Addr(), d.Remote.Addr(), d.TOS, d.DF, s.packets)
		}
		sent += k
		if err != nil && first == nil {
			first = err
		}
	}
	clear(s.packets)
	return sent, first
}

func sameWay(a, b *esp.Datagram) bool {
	return a.Remote == b.Remote && a.Local == b.Local && a.TOS == b.TOS && a.UDPEncap == b.UDPEncap && (a.DF == b.DF || a.UDPEncap)
}
