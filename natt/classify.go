package natt

import "strconv"

// Kind is what a datagram is.
type Kind uint8

const (
	// Invalid datagrams are too short for anything. Drop them.
	Invalid Kind = iota
	// IKE is a message of IKEv1 or IKEv2, or at least as long as its header.
	IKE
	// ESP is a packet of RFC 4303 in UDP.
	ESP
	// Keepalive is the one octet that keeps a NAT mapping open. Drop it: it is no sign of life (RFC 3948 4).
	Keepalive
)

func (k Kind) String() string {
	switch k {
	case Invalid:
		return "invalid"
	case IKE:
		return "IKE"
	case ESP:
		return "ESP"
	case Keepalive:
		return "keepalive"
	}
	return "natt.Kind(" + strconv.Itoa(int(k)) + ")"
}

const (
	// MarkerSize is the number of octets of the non-ESP marker.
	MarkerSize = 4
	// NonIKEMarkerSize is the number of octets of the non-IKE marker.
	NonIKEMarkerSize = 8
	// KeepaliveOctet is all that a keepalive contains.
	KeepaliveOctet = 0xff

	ikeHeader = 28 // octets, RFC 7296 3.1 and RFC 2408 3.1
	espHeader = 8  // octets of SPI and sequence number, RFC 4303 2
)

// Classify says what came in on a port where IKE and ESP are mixed (4500), and returns the IKE message without its marker or
// the ESP packet; the rest has no payload. Those are parts of the datagram, not copies.
//
//	ff                       keepalive            RFC 3948 2.3
//	00 00 00 00 | header...  IKE                  RFC 3948 2.2
//	SPI | sequence number... ESP, SPI not zero    RFC 3948 2.1
//
// An IKE message without the marker looks like ESP with an SPI nobody has. What is shorter than the header of
// its kind is Invalid.
func Classify(datagram []byte) (Kind, []byte) {
	switch {
	case len(datagram) == 1 && datagram[0] == KeepaliveOctet:
		return Keepalive, nil
	case len(datagram) < espHeader:
		return Invalid, nil
	case [MarkerSize]byte(datagram) != [MarkerSize]byte{}:
		return ESP, datagram
	case len(datagram) < MarkerSize+ikeHeader:
		return Invalid, nil
	}
	return IKE, datagram[MarkerSize:]
}

// ClassifyIKE says what came in on a port where IKE has no marker (500; RFC 7296 2.23), and returns the IKE message, or
// the ESP packet without its marker:
//
//	ff                       keepalive
//	00 00 00 00 00 00 00 00 | SPI | sequence number...   ESP, SPI not zero
//	header...                                            IKE
//
// ESP is there only between peers that traverse NATs as drafts 00 and 01 have it (draft-ietf-ipsec-udp-encaps-00 and -01): eight
// zero octets, the non-IKE marker, are where IKE has the initiator's cookie, which is never zero (RFC 2408 3.1). Whoever has not
// negotiated it drops such packets.
func ClassifyIKE(datagram []byte) (Kind, []byte) {
	switch {
	case len(datagram) == 1 && datagram[0] == KeepaliveOctet:
		return Keepalive, nil
	case len(datagram) >= NonIKEMarkerSize+espHeader && [NonIKEMarkerSize]byte(datagram) == [NonIKEMarkerSize]byte{}:
		if datagram = datagram[NonIKEMarkerSize:]; [4]byte(datagram) == [4]byte{} {
			return Invalid, nil
		}
		return ESP, datagram
	case len(datagram) < ikeHeader:
		return Invalid, nil
	}
	return IKE, datagram
}

// AppendMarker appends the non-ESP marker, four zero octets, that goes before an IKE message on port 4500 (RFC 3948 2.2).
func AppendMarker(dst []byte) []byte { return append(dst, 0, 0, 0, 0) }

// AppendNonIKEMarker appends the non-IKE marker, eight zero octets, that goes before an ESP packet on the port of IKE under
// drafts 00 and 01.
func AppendNonIKEMarker(dst []byte) []byte { return append(dst, 0, 0, 0, 0, 0, 0, 0, 0) }

// AppendKeepalive appends the contents of a keepalive (RFC 3948 2.3).
func AppendKeepalive(dst []byte) []byte { return append(dst, KeepaliveOctet) }
