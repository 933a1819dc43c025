package message

import (
	"encoding/binary"
	"fmt"
	"strconv"
)

// HeaderLen is the length of the KINK header in octets (RFC 4430 4).
const HeaderLen = 16

// MaxLen is the longest message that has a wire form, in octets.
const MaxLen = 0xffff

const (
	version1   = 1
	flagAckReq = 0x80
)

// A Header is the KINK header (RFC 4430 4) without the fields that follow from
// the content: length, length of the checksum and type of the first payload.
type Header struct {
	Type    Type
	Version uint8  // major version, 4 bits; 0 is written as 1
	DOI     uint32 // 0 is written as 1, IPsec
	XID     uint32 // transaction ID
	AckReq  bool   // this REPLY wants an ACK
}

// framing is what else stands in the header.
type framing struct {
	first  PayloadType
	length int // of the message, checksum included
	cksum  int // of the checksum
}

// ParseHeader decodes the header of a datagram and checks it against the
// datagram: major version 1, the IPsec DOI, and lengths that fit. Octets behind
// the message are allowed (RFC 4430 4). Reserved bits are ignored.
//
// The error is a [*ParseError] of kind [ErrTruncated], [ErrMajorVersion],
// [ErrDOI] or [ErrLength]. Except for the first, the header is returned as it
// was read, so that it can be answered.
func ParseHeader(b []byte) (Header, error) {
	h, _, e := parseHeader(b)
	if e != nil {
		return h, e
	}
	return h, nil
}

func parseHeader(b []byte) (h Header, f framing, e *ParseError) {
	if len(b) < HeaderLen {
		return h, f, &ParseError{Offset: len(b), Err: ErrTruncated, Reason: "datagram of " + strconv.Itoa(len(b)) + " octets"}
	}
	h = Header{
		Type:    Type(b[0]),
		Version: b[1] >> 4,
		DOI:     binary.BigEndian.Uint32(b[4:]),
		XID:     binary.BigEndian.Uint32(b[8:]),
		AckReq:  b[13]&flagAckReq != 0,
	}
	f = framing{
		first:  PayloadType(b[12]),
		length: int(binary.BigEndian.Uint16(b[2:])),
		cksum:  int(binary.BigEndian.Uint16(b[14:])),
	}
	switch {
	case h.Version != version1:
		e = &ParseError{Offset: 1, Err: ErrMajorVersion, Reason: "version " + strconv.Itoa(int(h.Version))}
	case f.length < HeaderLen || f.length > len(b):
		e = &ParseError{Offset: 2, Err: ErrLength, Reason: fmt.Sprintf("length field %d, datagram %d octets", f.length, len(b))}
	case f.cksum > f.length-HeaderLen:
		e = &ParseError{Offset: 14, Err: ErrLength, Reason: fmt.Sprintf("checksum of %d octets in a message of %d", f.cksum, f.length)}
	case h.DOI != DOIIPsec:
		e = &ParseError{Offset: 4, Err: ErrDOI, Reason: "DOI " + strconv.FormatUint(uint64(h.DOI), 10)}
	}
	return h, f, e
}

func (h *Header) append(dst []byte) []byte {
	v, doi, flags := h.Version, h.DOI, byte(0)
	if v == 0 {
		v = version1
	}
	if doi == 0 {
		doi = DOIIPsec
	}
	if h.AckReq {
		flags = flagAckReq
	}
	dst = append(dst, byte(h.Type), v<<4, 0, 0)
	dst = binary.BigEndian.AppendUint32(dst, doi)
	dst = binary.BigEndian.AppendUint32(dst, h.XID)
	return append(dst, 0, flags, 0, 0)
}

// String returns the header as a trace shows it.
func (h Header) String() string { return string(h.appendText(nil)) }

func (h *Header) appendText(b []byte) []byte {
	b = fmt.Appendf(b, "%v %08x", h.Type, h.XID)
	if h.AckReq {
		b = append(b, " ACKREQ"...)
	}
	if h.Version > version1 {
		b = fmt.Appendf(b, " version %d", h.Version)
	}
	if h.DOI > DOIIPsec {
		b = fmt.Appendf(b, " DOI %d", h.DOI)
	}
	return b
}
