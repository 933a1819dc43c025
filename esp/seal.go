package esp

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"runtime"
	"sync/atomic"

	"github.com/racoon3/racoon/internal/suite"
	"github.com/racoon3/racoon/spd"
)

// OutboundSA protects the packets of one outbound ESP SA. It may be used by any
// number of goroutines at once.
type OutboundSA struct {
	spi    spd.SPI
	esn    bool
	align  int // of payload and trailer together
	ivSize int
	cipher *suite.Cipher
	ivKey  cipher.Block // nil: the IV is a counter

	seq  atomic.Uint64 // the number used last
	last uint64        // the highest that may be used
}

// NewOutboundSA returns an outbound SA at sequence number 0, so that the first
// packet has 1. The keys are copied. random is read once, and only for CBC
// ciphers: their initialization vectors are unpredictable to others, being
// the sequence number encrypted under a random key (NIST SP 800-38A appendix
// C); all others use the sequence number itself, which never repeats (RFC 4106
// section 3.1).
func NewOutboundSA(sa *spd.SA, random io.Reader) (*OutboundSA, error) {
	c, err := newCipher(sa)
	if err != nil {
		return nil, err
	}
	s := &OutboundSA{
		spi: sa.SPI, esn: sa.ESN, cipher: c,
		ivSize: c.IVSize(), align: max(4, c.BlockSize()),
		last: math.MaxUint32,
	}
	if sa.ESN {
		// The numbers below the end absorb goroutines that pass the check at
		// the same moment.
		s.last = math.MaxUint64 - math.MaxUint32
	}
	if c.BlockSize() > 1 {
		if s.ivKey, err = newIVKey(c.BlockSize(), random); err != nil {
			return nil, err
		}
	}
	wipeWhenDropped(s, c)
	return s, nil
}

func newIVKey(blockSize int, random io.Reader) (cipher.Block, error) {
	var key [24]byte
	defer clear(key[:])
	if _, err := io.ReadFull(random, key[:]); err != nil {
		return nil, fmt.Errorf("esp: random key for initialization vectors: %w", err)
	}
	if blockSize == des.BlockSize {
		return des.NewTripleDESCipher(key[:])
	}
	return aes.NewCipher(key[:16])
}

// SPI returns the SPI that the packets carry.
func (s *OutboundSA) SPI() spd.SPI { return s.spi }

// Sequence returns the sequence number of the last packet sealed.
func (s *OutboundSA) Sequence() uint64 { return min(s.seq.Load(), s.last) }

// HeaderSize returns the octets that Seal puts before the payload: SPI,
// sequence number and initialization vector.
func (s *OutboundSA) HeaderSize() int { return espHeaderSize + s.ivSize }

// SealedSize returns the octets of the ESP packet for n octets of payload.
func (s *OutboundSA) SealedSize(n int) int {
	return s.HeaderSize() + s.padded(n) + s.cipher.ICVSize()
}

// MaxPayload returns the largest payload whose ESP packet has at most n
// octets; it is negative if there is none.
func (s *OutboundSA) MaxPayload(n int) int {
	n -= s.HeaderSize() + s.cipher.ICVSize()
	if n < 0 {
		return -1
	}
	return n/s.align*s.align - espTrailerSize
}

// padded returns the octets of payload, padding and trailer.
func (s *OutboundSA) padded(n int) int {
	return (n + espTrailerSize + s.align - 1) / s.align * s.align
}

// Seal makes the ESP packet of the payload buf[start:end] in place, with the
// next header next, and returns where it stands in buf. HeaderSize octets
// before the payload are overwritten, and after it what padding, trailer and
// ICV take; it fails with [ErrNoRoom] if buf has no room for them, and with
// [ErrExhausted] when the sequence numbers have come to their end. It never
// uses a number twice: of a failed packet neither.
func (s *OutboundSA) Seal(buf []byte, start, end int, next uint8) (newStart, newEnd int, err error) {
	first := start - s.HeaderSize()
	text := s.padded(end - start)
	stop := start + text + s.cipher.ICVSize()
	if first < 0 || start > end || stop > len(buf) {
		return 0, 0, ErrNoRoom
	}
	seq, err := s.nextSequence()
	if err != nil {
		return 0, 0, err
	}

	header, iv := buf[first:first+espHeaderSize], buf[first+espHeaderSize:start]
	binary.BigEndian.PutUint32(header, uint32(s.spi))
	binary.BigEndian.PutUint32(header[4:], uint32(seq))
	if len(iv) > 0 {
		clear(iv)
		binary.BigEndian.PutUint64(iv[len(iv)-8:], seq)
		if s.ivKey != nil {
			s.ivKey.Encrypt(iv, iv)
		}
	}

	// Padding 1, 2, 3, ... (RFC 4303 section 2.4), pad length, next header.
	trailer := buf[end : start+text]
	pad := len(trailer) - espTrailerSize
	for i := range pad {
		trailer[i] = byte(i + 1)
	}
	trailer[pad], trailer[pad+1] = byte(pad), next

	if s.esn {
		x := extendeds.Get().(*extended)
		aad, tail := x.authenticated(s.cipher, header, uint32(seq>>32))
		err = s.cipher.Seal(buf[start:stop], iv, aad, tail)
		extendeds.Put(x)
	} else {
		err = s.cipher.Seal(buf[start:stop], iv, header, nil)
	}
	runtime.KeepAlive(s) // see wipeWhenDropped
	return first, stop, err
}

// nextSequence takes the next sequence number. Once the last is used, no
// number is taken any more: the counter never wraps (RFC 4303 section 3.3.3).
func (s *OutboundSA) nextSequence() (uint64, error) {
	if s.seq.Load() >= s.last {
		return 0, ErrExhausted
	}
	seq := s.seq.Add(1)
	if seq > s.last {
		return 0, ErrExhausted
	}
	return seq, nil
}

// Format prints the SA without its keys.
func (s *OutboundSA) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "outbound ESP %08x %v", uint32(s.spi), s.cipher)
}
