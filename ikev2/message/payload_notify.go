package message

import (
	"encoding/binary"
	"strconv"

	"github.com/racoon3/racoon/spd"
)

// Notify is the Notify payload (RFC 7296 3.10). What Data holds depends on the
// type; the methods in the notify files of this package decode it, and
// functions called Append...Data encode it.
type Notify struct {
	Critical bool
	Protocol spd.Protocol // of the SA that SPI names; 0 without one
	Type     NotifyType
	SPI      []byte // at most 255 octets
	Data     []byte
}

// PayloadType returns PayloadNotify.
func (Notify) PayloadType() PayloadType { return PayloadNotify }

func (p *Notify) parse(b []byte) *ParseError {
	if len(b) < 4 {
		return syntaxError(PayloadNotify, len(b), "notify is cut short")
	}
	spi := int(b[1])
	if 4+spi > len(b) {
		return syntaxError(PayloadNotify, 1, "SPI size "+strconv.Itoa(spi))
	}
	p.Protocol, p.Type = spd.Protocol(b[0]), NotifyType(binary.BigEndian.Uint16(b[2:]))
	if spi > 0 {
		p.SPI = b[4 : 4+spi : 4+spi]
	}
	if len(b) > 4+spi {
		p.Data = b[4+spi:]
	}
	return nil
}

// AppendBody appends the payload without its generic header.
func (p Notify) AppendBody(dst []byte) []byte {
	dst = append(dst, byte(p.Protocol), byte(len(p.SPI)), byte(p.Type>>8), byte(p.Type))
	dst = append(dst, p.SPI...)
	return append(dst, p.Data...)
}

func (p *Notify) fault() string {
	if len(p.SPI) > 255 {
		return "SPI of " + strconv.Itoa(len(p.SPI)) + " octets"
	}
	return ""
}

// ESPSPI returns the SPI of the Child SA that the notify is about (REKEY_SA,
// CHILD_SA_NOT_FOUND...). ok is false unless the protocol is ESP or AH and the
// SPI has four octets.
func (p *Notify) ESPSPI() (spi spd.SPI, ok bool) {
	if (p.Protocol != spd.ProtoESP && p.Protocol != spd.ProtoAH) || len(p.SPI) != 4 {
		return 0, false
	}
	return spd.SPI(binary.BigEndian.Uint32(p.SPI)), true
}
