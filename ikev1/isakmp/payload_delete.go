package isakmp

import (
	"encoding/binary"
	"iter"
	"strconv"

	"github.com/racoon3/racoon/internal/trace"
	"github.com/racoon3/racoon/spd"
)

// Delete is the Delete payload (RFC 2408 3.15). The SPI of an ISAKMP SA are
// both cookies.
type Delete struct {
	DOI      DOI
	Protocol spd.Protocol
	SPISize  uint8  // octets of one SPI: 4 for ESP and AH, 16 for ISAKMP
	SPIs     []byte // the SPIs one after the other
}

// PayloadType returns PayloadDelete.
func (Delete) PayloadType() PayloadType { return PayloadDelete }

func (p *Delete) parse(b []byte) *ParseError {
	if len(b) < 8 {
		return syntaxError(PayloadDelete, len(b), "delete is cut short")
	}
	p.DOI, p.Protocol, p.SPISize, p.SPIs = DOI(binary.BigEndian.Uint32(b)), spd.Protocol(b[4]), b[5], b[8:]
	if n := int(binary.BigEndian.Uint16(b[6:])); n*int(p.SPISize) != len(p.SPIs) || p.SPISize == 0 && n != 0 {
		return syntaxError(PayloadDelete, 6, strconv.Itoa(n)+" SPIs of "+strconv.Itoa(int(p.SPISize))+" octets in "+strconv.Itoa(len(p.SPIs)))
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

// IPsecSPIs iterates over the SPIs of an ESP, AH or IPComp Delete. It yields
// nothing if they do not have four octets (or two, for IPComp).
func (p *Delete) IPsecSPIs() iter.Seq[spd.SPI] {
	return func(yield func(spd.SPI) bool) {
		for b := range p.All() {
			if spi, ok := ipsecSPI(p.Protocol, b); !ok || !yield(spi) {
				return
			}
		}
	}
}

// Cookies returns the cookies of the ISAKMP SA that the payload deletes. ok is
// false if it is about another protocol or has other than one SPI.
func (p *Delete) Cookies() (i, r Cookie, ok bool) { return cookies(p.Protocol, p.SPIs) }

// AppendBody appends the payload without its generic header.
func (p Delete) AppendBody(dst []byte) []byte {
	n := p.Len()
	dst = binary.BigEndian.AppendUint32(dst, uint32(p.DOI))
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
	if p.DOI != DOIIPsec {
		b = append(append(b, " DOI "...), p.DOI.String()...)
	}
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
