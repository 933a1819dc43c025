package isakmp

import (
	"encoding/binary"
	"strconv"

	"github.com/racoon3/racoon/internal/trace"
	"github.com/racoon3/racoon/spd"
)

// Notify is the Notification payload (RFC 2408 3.14). What Data holds depends
// on the type; methods of Notify decode it, and functions called Append...Data
// encode it.
type Notify struct {
	DOI      DOI
	Protocol spd.Protocol // of the SA that SPI names
	Type     NotifyType
	SPI      []byte // at most 255 octets; for ISAKMP both cookies, or none
	Data     []byte
}

// PayloadType returns PayloadNotify.
func (Notify) PayloadType() PayloadType { return PayloadNotify }

func (p *Notify) parse(b []byte) *ParseError {
	if len(b) < 8 {
		return syntaxError(PayloadNotify, len(b), "notification is cut short")
	}
	spi := int(b[5])
	if 8+spi > len(b) {
		return syntaxError(PayloadNotify, 5, "SPI size "+strconv.Itoa(spi))
	}
	p.DOI, p.Protocol, p.Type = DOI(binary.BigEndian.Uint32(b)), spd.Protocol(b[4]), NotifyType(binary.BigEndian.Uint16(b[6:]))
	if spi > 0 {
		p.SPI = b[8 : 8+spi : 8+spi]
	}
	if len(b) > 8+spi {
		p.Data = b[8+spi:]
	}
	return nil
}

// AppendBody appends the payload without its generic header.
func (p Notify) AppendBody(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(p.DOI))
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

// IPsecSPI returns the SPI of the Child SA that the notification is about. ok
// is false unless the protocol is ESP or AH and the SPI has four octets, or
// IPComp with two or four.
func (p *Notify) IPsecSPI() (spi spd.SPI, ok bool) { return ipsecSPI(p.Protocol, p.SPI) }

// Cookies returns the two cookies that the SPI of an ISAKMP notification
// consists of.
func (p *Notify) Cookies() (i, r Cookie, ok bool) { return cookies(p.Protocol, p.SPI) }

func ipsecSPI(p spd.Protocol, b []byte) (spd.SPI, bool) {
	switch {
	case (p == spd.ProtoESP || p == spd.ProtoAH || p == spd.ProtoIPComp) && len(b) == 4:
		return spd.SPI(binary.BigEndian.Uint32(b)), true
	case p == spd.ProtoIPComp && len(b) == 2:
		return spd.SPI(binary.BigEndian.Uint16(b)), true
	}
	return 0, false
}

func cookies(p spd.Protocol, b []byte) (i, r Cookie, ok bool) {
	if p != spd.ProtoIKE || len(b) != 16 {
		return 0, 0, false
	}
	return Cookie(binary.BigEndian.Uint64(b)), Cookie(binary.BigEndian.Uint64(b[8:])), true
}

// AppendCookies appends both cookies: the SPI of a notification or Delete
// about an ISAKMP SA.
func AppendCookies(dst []byte, i, r Cookie) []byte {
	dst = binary.BigEndian.AppendUint64(dst, uint64(i))
	return binary.BigEndian.AppendUint64(dst, uint64(r))
}

// String returns the payload as a trace shows it.
func (p Notify) String() string { return string(p.appendText(nil)) }

func (p Notify) appendText(b []byte) []byte {
	b = append(append(b, "N("...), p.Type.String()...)
	if p.DOI != DOIIPsec {
		b = append(append(b, " DOI "...), p.DOI.String()...)
	}
	if len(p.SPI) > 0 || p.Protocol != spd.ProtoIKE {
		b = append(append(b, ' '), protocolName(p.Protocol)...)
	}
	if len(p.SPI) > 0 {
		b = trace.AppendHex(append(b, " SPI "...), p.SPI)
	}
	if len(p.Data) > 0 {
		b = p.appendData(append(b, ' '))
	}
	return append(b, ')')
}
