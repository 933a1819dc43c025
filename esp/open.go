package esp

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"runtime"

	"github.com/racoon3/racoon/esp/replay"
	"github.com/racoon3/racoon/internal/suite"
	"github.com/racoon3/racoon/spd"
)

// InboundSA checks and opens the packets of one inbound ESP SA. It may be used
// by any number of goroutines at once.
type InboundSA struct {
	spi    spd.SPI
	esn    bool
	least  int // octets of text
	ivSize int
	cipher *suite.Cipher
	window *replay.Window
	failed failures // with ESN only
}

// NewInboundSA returns an inbound SA that has received nothing yet. The keys
// are copied.
func NewInboundSA(sa *spd.SA) (*InboundSA, error) {
	c, err := newCipher(sa)
	if err != nil {
		return nil, err
	}
	s := &InboundSA{
		spi: sa.SPI, esn: sa.ESN, cipher: c, window: newWindow(sa),
		ivSize: c.IVSize(), least: max(espTrailerSize, c.BlockSize()),
	}
	wipeWhenDropped(s, c)
	return s, nil
}

// SPI returns the SPI of the packets.
func (s *InboundSA) SPI() spd.SPI { return s.spi }

// Opened is what Open found in an ESP packet.
type Opened struct {
	// Start and End are where the payload stands in the packet. It may be
	// followed by traffic flow confidentiality padding, which only the
	// payload's own length tells apart (RFC 4303 section 2.7).
	Start, End int
	Next       uint8  // next header: 4 or 41 in tunnel mode, 59 for a dummy packet
	Seq        uint64 // whole sequence number
	Newest     bool   // no higher sequence number had been received
}

// Open checks and decrypts the ESP packet pkt, from the SPI to the ICV, in
// place. The order is that of RFC 4303 section 3.4: replay check, integrity
// check, and only then the window moves and the payload counts. Of two packets
// with the same sequence number one at most is opened, however they race.
//
// It fails with [ErrTooShort], [ErrReplay], [ErrAuthentication] or
// [ErrMalformed]; then what pkt holds is undefined. That the SPI is this SA's
// is the caller's affair.
func (s *InboundSA) Open(pkt []byte) (Opened, error) {
	start := espHeaderSize + s.ivSize
	end := len(pkt) - s.cipher.ICVSize()
	if end-start < s.least {
		return Opened{}, ErrTooShort
	}
	seq, ok := s.window.Infer(binary.BigEndian.Uint32(pkt[4:]))
	if !ok {
		return Opened{}, ErrReplay
	}

	header, iv := pkt[:espHeaderSize], pkt[espHeaderSize:start]
	var err error
	if s.esn {
		seq, err = s.openExtended(pkt, start, seq)
	} else {
		err = s.cipher.Open(pkt[start:], iv, header, nil)
	}
	if err != nil {
		return Opened{}, ErrAuthentication
	}
	runtime.KeepAlive(s) // see wipeWhenDropped
	ok, newest := s.window.Accept(seq)
	if !ok {
		return Opened{}, ErrReplay
	}

	// The padding's contents are not looked at: it is authentic, and some
	// senders fill it as they like.
	pad, next := int(pkt[end-2]), pkt[end-1]
	end -= espTrailerSize + pad
	if end < start {
		return Opened{}, ErrMalformed
	}
	return Opened{Start: start, End: end, Next: next, Seq: seq, Newest: newest}, nil
}

// openExtended decrypts a packet with an extended sequence number, and returns
// the number: that is another one if the receiver was out of step.
func (s *InboundSA) openExtended(pkt []byte, start int, seq uint64) (uint64, error) {
	var saved []byte
	if s.failed.due() {
		saved = bytes.Clone(pkt) // a failed attempt may spoil it
	}
	x := extendeds.Get().(*extended)
	aad, tail := x.authenticated(s.cipher, pkt[:espHeaderSize], uint32(seq>>32))
	err := s.cipher.Open(pkt[start:], pkt[espHeaderSize:start], aad, tail)
	extendeds.Put(x)
	if err != nil && saved != nil {
		if later, ok := s.resynchronize(pkt, saved, seq); ok {
			seq, err = later, nil
		}
	}
	if err != nil {
		s.failed.failed()
		return 0, err
	}
	s.failed.passed()
	return seq, nil
}

// Format prints the SA without its keys.
func (s *InboundSA) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "inbound ESP %08x %v", uint32(s.spi), s.cipher)
}
