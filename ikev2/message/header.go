package message

import (
	"encoding/binary"
	"fmt"
	"strconv"
)

// HeaderLen is the length of the IKE header in octets (RFC 7296 3.1).
const HeaderLen = 28

// SPI is an IKE SPI: eight octets, here as a big-endian number. Zero means
// that the responder has not chosen one yet.
type SPI uint64

// String returns the SPI as 16 hexadecimal digits, the order of the wire.
func (s SPI) String() string { return fmt.Sprintf("%016x", uint64(s)) }

// AppendBinary appends the eight octets of the wire form. The error is always
// nil.
func (s SPI) AppendBinary(dst []byte) ([]byte, error) {
	return binary.BigEndian.AppendUint64(dst, uint64(s)), nil
}

// Version is the version octet of the header: major version in the high four
// bits, minor in the low four.
type Version uint8

// Version2 is IKE version 2.0, the one this package speaks.
const Version2 Version = 0x20

// Major returns the major version.
func (v Version) Major() uint8 { return uint8(v) >> 4 }

// Minor returns the minor version.
func (v Version) Minor() uint8 { return uint8(v) & 0xf }

// String returns the version as "2.0".
func (v Version) String() string {
	return strconv.Itoa(int(v.Major())) + "." + strconv.Itoa(int(v.Minor()))
}

// Flags are the flag bits of the header (RFC 7296 3.1).
type Flags uint8

// Flags.
const (
	FlagInitiator Flags = 0x08 // sent by the original initiator of the IKE SA
	FlagVersion   Flags = 0x10 // the sender can speak a higher major version
	FlagResponse  Flags = 0x20 // answer to the request with the same message ID
)

// A Header is the IKE header (RFC 7296 3.1).
type Header struct {
	SPIi, SPIr  SPI
	NextPayload PayloadType
	Version     Version
	Exchange    ExchangeType
	Flags       Flags
	MessageID   uint32
	Length      uint32 // of the whole message in octets, header included
}

// FromInitiator reports whether the original initiator of the IKE SA sent the
// message. It says nothing about who began this exchange.
func (h *Header) FromInitiator() bool { return h.Flags&FlagInitiator != 0 }

// IsResponse reports whether the message is a response.
func (h *Header) IsResponse() bool { return h.Flags&FlagResponse != 0 }

// ParseHeader decodes the header of a datagram and checks it against the
// datagram: major version 2, and a length field that says exactly what
// arrived. Any minor version and reserved flag is accepted (RFC 7296 2.5).
//
// The error is a [*ParseError] of kind [ErrTruncated], [ErrMajorVersion] or
// [ErrLength]. In the latter two cases the header is returned as it was read,
// so that a higher major version can be answered.
func ParseHeader(b []byte) (Header, error) {
	if len(b) < HeaderLen {
		return Header{}, &ParseError{Offset: len(b), Err: ErrTruncated, Reason: "datagram of " + strconv.Itoa(len(b)) + " octets"}
	}
	h := Header{
		SPIi:        SPI(binary.BigEndian.Uint64(b)),
		SPIr:        SPI(binary.BigEndian.Uint64(b[8:])),
		NextPayload: PayloadType(b[16]),
		Version:     Version(b[17]),
		Exchange:    ExchangeType(b[18]),
		Flags:       Flags(b[19]),
		MessageID:   binary.BigEndian.Uint32(b[20:]),
		Length:      binary.BigEndian.Uint32(b[24:]),
	}
	if h.Version.Major() != 2 {
		return h, &ParseError{Offset: 17, Err: ErrMajorVersion, Reason: "version " + h.Version.String(), version: h.Version}
	}
	if uint64(h.Length) != uint64(len(b)) {
		return h, &ParseError{Offset: 24, Err: ErrLength,
			Reason: fmt.Sprintf("length field %d, datagram %d octets", h.Length, len(b))}
	}
	return h, nil
}

// Append appends the 28 octets of the header exactly as the fields say,
// NextPayload and Length included.
func (h Header) Append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint64(dst, uint64(h.SPIi))
	dst = binary.BigEndian.AppendUint64(dst, uint64(h.SPIr))
	dst = append(dst, byte(h.NextPayload), byte(h.Version), byte(h.Exchange), byte(h.Flags))
	dst = binary.BigEndian.AppendUint32(dst, h.MessageID)
	return binary.BigEndian.AppendUint32(dst, h.Length)
}

// String returns the header as a trace shows it: the SPIs, the exchange,
// request or response, the message ID, and who sent it.
func (h Header) String() string { return string(h.appendText(nil)) }

func (h *Header) appendText(b []byte) []byte {
	b = fmt.Appendf(b, "%v:%v %v ", h.SPIi, h.SPIr, h.Exchange)
	if h.IsResponse() {
		b = append(b, "response "...)
	} else {
		b = append(b, "request "...)
	}
	b = strconv.AppendUint(b, uint64(h.MessageID), 10)
	if h.FromInitiator() {
		b = append(b, " from initiator"...)
	} else {
		b = append(b, " from responder"...)
	}
	if h.Version != Version2 && h.Version != 0 {
		b = append(b, " version "...)
		b = append(b, h.Version.String()...)
	}
	return b
}
