package esp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"sync"

	"github.com/racoon3/racoon/esp/replay"
	"github.com/racoon3/racoon/internal/suite"
	"github.com/racoon3/racoon/spd"
)

// Errors of the packet functions. They are plain values, compared with ==, and
// cost nothing to return.
var (
	// ErrTooShort: a packet that cannot be ESP, or no room in the buffer.
	ErrTooShort = errors.New("esp: packet too short")
	// ErrReplay: the sequence number was received before, or is too old.
	ErrReplay = errors.New("esp: replayed or too old sequence number")
	// ErrAuthentication: the integrity check failed.
	ErrAuthentication = errors.New("esp: integrity check failed")
	// ErrMalformed: the packet is authentic, but its trailer or what is
	// inside makes no sense.
	ErrMalformed = errors.New("esp: malformed packet")
	// ErrExhausted: all sequence numbers have been used; the SA is at its end.
	ErrExhausted = errors.New("esp: sequence numbers exhausted")
	// ErrNoRoom: the buffer has not the room that the packet needs.
	ErrNoRoom = errors.New("esp: no room in the buffer")
)

const (
	espHeaderSize  = 8 // SPI and sequence number
	espTrailerSize = 2 // pad length and next header
	maxIVSize      = 16
	maxICVSize     = 32
	maxBlockSize   = 16
)

// Next header values that ESP gives a meaning of its own.
const (
	protoIPv4  = 4
	protoIPv6  = 41
	protoDummy = 59 // RFC 4303 section 2.6
)

// newCipher checks sa and keys its algorithms, at its first packet: of many
// SAs, most are idle.
func newCipher(sa *spd.SA) (*suite.Cipher, error) {
	if sa.Protocol != spd.ProtoESP {
		return nil, fmt.Errorf("esp: %w: protocol %v", spd.ErrUnsupported, sa.Protocol)
	}
	if sa.SPI < spd.FirstSPI {
		return nil, fmt.Errorf("esp: SPI %d is reserved, the least is %d", sa.SPI, spd.FirstSPI)
	}
	if sa.Mode != spd.ModeTunnel && sa.Mode != spd.ModeTransport {
		return nil, fmt.Errorf("esp: %w: mode %v", spd.ErrUnsupported, sa.Mode)
	}
	c, err := suite.NewLazyCipher(sa.Encryption.ID, sa.Encryption.KeyLen, sa.Integrity.ID, sa.EncrKey, sa.IntegKey)
	if err != nil {
		return nil, fmt.Errorf("esp: SPI %08x: %w", uint32(sa.SPI), err)
	}
	return c, nil
}

// wipeWhenDropped wipes the keys when no goroutine can use them any more. A
// removed SA may still be at work on packets of other goroutines, and a lock
// that tells when the last is done would cost all packets.
func wipeWhenDropped[T any](owner *T, c *suite.Cipher) {
	runtime.AddCleanup(owner, (*suite.Cipher).Wipe, c)
}

// extended is the working memory for the additional authenticated data of a
// packet with an extended sequence number, which is not contiguous in the
// packet (RFC 4303 section 2.2.1, RFC 4106 section 5).
type extended [12]byte

var extendeds = sync.Pool{New: func() any { return new(extended) }}

// authenticated returns what c authenticates beside the text: the header as
// it stands in the packet, or for extended sequence numbers what x is filled
// with. With a MAC the high half comes after the text.
func (x *extended) authenticated(c *suite.Cipher, header []byte, high uint32) (aad, tail []byte) {
	if !c.Combined() {
		binary.BigEndian.PutUint32(x[:], high)
		return header, x[:4]
	}
	copy(x[:4], header[:4])
	binary.BigEndian.PutUint32(x[4:], high)
	copy(x[8:], header[4:8])
	return x[:], nil
}

// newWindow returns the anti-replay window that sa asks for.
func newWindow(sa *spd.SA) *replay.Window {
	return replay.New(sa.ReplayWindow, sa.ESN)
}
