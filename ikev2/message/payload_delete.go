package message

import (
	"encoding/binary"
	"iter"
	"strconv"

	"github.com/racoon3/racoon/internal/trace"
	"github.com/racoon3/racoon/spd"
)

// Delete is the Delete payload (RFC 7296 3.11). For the IKE SA that carries it
// the protocol is ProtoIKE and there are no SPIs.
type Delete struct {
	Critical bool
	Protocol spd.Protocol
	SPISize  uint8  // octets of one SPI: 4 for ESP and AH, 0 for IKE
	SPIs     []byte // the SPIs one after the other
}

// PayloadType returns PayloadDelete.
func (Delete) PayloadType() PayloadType { return PayloadDelete }

func (p *Delete) parse(b []byte) *ParseError {
	if len(b) < 4 {
		return syntaxError(PayloadDelete, len(b), "delete is cut short")
	}
	p.Protocol, p.SPISize, p.SPIs = spd.Protocol(b[0]), b[1], b[4:]
	// Without SPIs the count has no meaning, and some senders count the IKE SA.
	if n := int(binary.BigEndian.Uint16(b[2:])); n*int(p.SPISize) != len(p.SPIs) {
		return syntaxError(PayloadDelete, 2, strconv.Itoa(n)+" SPIs of "+strconv.Itoa(int(p.SPISize))+" octets in "+strconv.Itoa(len(p.SPIs)))
	}
	return nil
}

// Len returns the number of SPIs.
func (p *Delete) Len() int {
	if p.SPISize == 0 {
		return 0
	}
	return len(p.SPIs) / int(p.SPISize)
}

// All iterates over the SPIs as octets.
func (p *Delete) All() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for i := range p.Len() {
			n := int(p.SPISize)
			if !yield(p.SPIs[i*n : (i+1)*n : (i+1)*n]) {
				return
			}
		}
	}
}

// ESPSPIs iterates over the SPIs of an ESP or AH Delete. It yields nothing if
// they do not have four octets.
func (p *Delete) ESPSPIs() iter.Seq[spd.SPI] {
	return func(yield func(spd.SPI) bool) {
		if p.SPISize != 4 {
			return
		}
		for b := p.SPIs; len(b) >= 4; b = b[4:] {
			if !yield(spd.SPI(binary.BigEndian.Uint32(b))) {
				return
			}
		}
	}
}

// AppendBody appends the payload without its generic header.
func (p Delete) AppendBody(dst []byte) []byte {
	n := p.Len()
	dst = append(dst, byte(p.Protocol), p.SPISize, byte(n>>8), byte(n))
	return append(dst, p.SPIs...)
}

func (p *Delete) fault() string {
	if n := p.Len(); n*int(p.SPISize) != len(p.SPIs) || n > 0xffff {
		return "SPIs of " + strconv.Itoa(int(p.SPISize)) + " octets in " + strconv.Itoa(len(p.SPIs))
	}
	return ""
}

// String returns the payload as a trace shows it.
func (p Delete) String() string { return string(p.appendText(nil)) }

func (p Delete) appendText(b []byte) []byte {
	b = append(b, "D("...)
	b = append(b, protocolName(p.Protocol)...)
	shown := 0
	for spi := range p.All() {
		if shown == 32 {
			b = append(b, " ... "...)
			b = trace.AppendCount(b, p.Len()-shown, "more", "more")
			break
		}
		shown++
		b = trace.AppendHex(append(b, ' '), spi)
	}
	return append(b, ')')
}
