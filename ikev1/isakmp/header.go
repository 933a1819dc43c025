package isakmp

import (
	"encoding/binary"
	"fmt"
	"strconv"
)

// HeaderLen is the length of the ISAKMP header in octets (RFC 2408 3.1).
const HeaderLen = 28

// Cookie is an ISAKMP cookie: eight octets, here as a big-endian number. Zero
// means that the responder has not chosen one yet.
type Cookie uint64

// String returns the cookie as 16 hexadecimal digits, the order of the wire.
func (c Cookie) String() string { return fmt.Sprintf("%016x", uint64(c)) }

// AppendBinary appends the eight octets of the wire form. The error is always
// nil.
func (c Cookie) AppendBinary(dst []byte) ([]byte, error) {
	return binary.BigEndian.AppendUint64(dst, uint64(c)), nil
}

// Version is the version octet of the header: major version in the high four
// bits, minor in the low four.
type Version uint8

// Version1 is ISAKMP version 1.0, the one this package speaks.
const Version1 Version = 0x10

// Major returns the major version.
func (v Version) Major() uint8 { return uint8(v) >> 4 }

// Minor returns the minor version.
func (v Version) Minor() uint8 { return uint8(v) & 0xf }

// String returns the version as "1.0".
func (v Version) String() string {
	return strconv.Itoa(int(v.Major())) + "." + strconv.Itoa(int(v.Minor()))
}

// Flags are the flag bits of the header (RFC 2408 3.1).
type Flags uint8

// Flags.
const (
	FlagEncryption Flags = 0x01 // what follows the header is encrypted
	FlagCommit     Flags = 0x02 // wait for CONNECTED before using the SA
	FlagAuthOnly   Flags = 0x04 // authenticated, but not encrypted
)

// A Header is the ISAKMP header (RFC 2408 3.1).
type Header struct {
	CookieI, CookieR Cookie
	NextPayload      PayloadType
	Version          Version
	Exchange         ExchangeType
	Flags            Flags
	MessageID        uint32 // 0 in phase 1
	Length           uint32 // of the whole message in octets, header included
}

// Encrypted reports whether what follows the header is encrypted: the flag is
// set, and it is no fragment. A fragment is in clear, but its header is a copy
// of the header of the message that was cut, encryption flag included.
func (h *Header) Encrypted() bool {
	return h.Flags&FlagEncryption != 0 && h.NextPayload != PayloadFragment
}

// ParseHeader decodes the header of a datagram and checks it against the
// datagram: major version 1, and a length field that says exactly what
// arrived. Any minor version and reserved flag is accepted.
//
// The error is a [*ParseError] of kind [ErrTruncated], [ErrMajorVersion] or
// [ErrLength]. In the latter two cases the header is returned as it was read,
// so that a foreign major version can be answered.
func ParseHeader(b []byte) (Header, error) {
	if len(b) < HeaderLen {
		return Header{}, &ParseError{Offset: len(b), Err: ErrTruncated, Reason: "datagram of " + strconv.Itoa(len(b)) + " octets"}
	}
	h := Header{
		CookieI:     Cookie(binary.BigEndian.Uint64(b)),
		CookieR:     Cookie(binary.BigEndian.Uint64(b[8:])),
		NextPayload: PayloadType(b[16]),
		Version:     Version(b[17]),
		Exchange:    ExchangeType(b[18]),
		Flags:       Flags(b[19]),
		MessageID:   binary.BigEndian.Uint32(b[20:]),
		Length:      binary.BigEndian.Uint32(b[24:]),
	}
	if h.Version.Major() != 1 {
		return h, &ParseError{Offset: 17, Err: ErrMajorVersion, Reason: "version " + h.Version.String()}
	}
	if uint64(h.Length) != uint64(len(b)) {
		return h, &ParseError{Offset: 24, Err: ErrLength,
			Reason: fmt.Sprintf("length field %d, datagram %d octets", h.Length, len(b))}
	}
	return h, nil
}

// AppendBinary appends the 28 octets of the header exactly as the fields say,
// NextPayload and Length included. The error is always nil.
func (h Header) AppendBinary(dst []byte) ([]byte, error) { return h.append(dst), nil }

func (h *Header) append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint64(dst, uint64(h.CookieI))
	dst = binary.BigEndian.AppendUint64(dst, uint64(h.CookieR))
	dst = append(dst, byte(h.NextPayload), byte(h.Version), byte(h.Exchange), byte(h.Flags))
	dst = binary.BigEndian.AppendUint32(dst, h.MessageID)
	return binary.BigEndian.AppendUint32(dst, h.Length)
}

// String returns the header as a trace shows it: the cookies, the exchange,
// the message ID if there is one, and the flags.
func (h Header) String() string { return string(h.appendText(nil)) }

func (h *Header) appendText(b []byte) []byte {
	b = fmt.Appendf(b, "%v:%v %v", h.CookieI, h.CookieR, h.Exchange)
	if h.MessageID != 0 {
		b = fmt.Appendf(b, " %08x", h.MessageID)
	}
	for i, name := range [...]string{" encrypted", " commit", " authentication only"} {
		if h.Flags&(1<<i) != 0 {
			b = append(b, name...)
		}
	}
	if h.Version != Version1 && h.Version != 0 {
		b = append(b, " version "...)
		b = append(b, h.Version.String()...)
	}
	return b
}
