package natt

import (
	"iter"
	"strconv"
)

// Variant is a revision of NAT traversal for IKEv1: RFC 3947 or one of the drafts that came before it and are still met. Both
// sides announce those they know by vendor ID in their first messages, and use the best one they share. They differ in
// numbers, not in ideas. IKEv2 has but one, and needs no vendor ID.
type Variant uint8

// The variants, from the oldest to the best. The text of draft 01 prints the vendor ID of draft 00, whose numbers are the same. Draft02Newline is draft 02 under the vendor ID that its text prints: somebody hashed the
// name with a line feed behind it.
const (
	NoVariant Variant = iota
	Draft00
	Draft01
	Draft02
	Draft02Newline
	Draft03
	Draft04
	Draft05
	Draft06
	Draft07
	Draft08
	RFC3947
)

// vendorIDs are MD5 of the text beside them.
var vendorIDs = [...]struct {
	id   string
	text string
}{
	Draft00:        {"\x44\x85\x15\x2d\x18\xb6\xbb\xcd\x0b\xe8\xa8\x46\x95\x79\xdd\xcc", "draft-ietf-ipsec-nat-t-ike-00"},
	Draft01:        {"\x16\xf6\xca\x16\xe4\xa4\x06\x6d\x83\x82\x1a\x0f\x0a\xea\xa8\x62", "draft-ietf-ipsec-nat-t-ike-01"},
	Draft02:        {"\xcd\x60\x46\x43\x35\xdf\x21\xf8\x7c\xfd\xb2\xfc\x68\xb6\xa4\x48", "draft-ietf-ipsec-nat-t-ike-02"},
	Draft02Newline: {"\x90\xcb\x80\x91\x3e\xbb\x69\x6e\x08\x63\x81\xb5\xec\x42\x7b\x1f", "draft-ietf-ipsec-nat-t-ike-02\n"},
	Draft03:        {"\x7d\x94\x19\xa6\x53\x10\xca\x6f\x2c\x17\x9d\x92\x15\x52\x9d\x56", "draft-ietf-ipsec-nat-t-ike-03"},
	Draft04:        {"\x99\x09\xb6\x4e\xed\x93\x7c\x65\x73\xde\x52\xac\xe9\x52\xfa\x6b", "draft-ietf-ipsec-nat-t-ike-04"},
	Draft05:        {"\x80\xd0\xbb\x3d\xef\x54\x56\x5e\xe8\x46\x45\xd4\xc8\x5c\xe3\xee", "draft-ietf-ipsec-nat-t-ike-05"},
	Draft06:        {"\x4d\x1e\x0e\x13\x6d\xea\xfa\x34\xc4\xf3\xea\x9f\x02\xec\x72\x85", "draft-ietf-ipsec-nat-t-ike-06"},
	Draft07:        {"\x43\x9b\x59\xf8\xba\x67\x6c\x4c\x77\x37\xae\x22\xea\xb8\xf5\x82", "draft-ietf-ipsec-nat-t-ike-07"},
	Draft08:        {"\x8f\x8d\x83\x82\x6d\x24\x6b\x6f\xc7\xa8\xa6\xa4\x28\xc1\x1d\xe8", "draft-ietf-ipsec-nat-t-ike-08"},
	RFC3947:        {"\x4a\x13\x1c\x81\x07\x03\x58\x45\x5c\x57\x28\xf2\x0e\x95\x45\x2f", "RFC 3947"},
}

// Variants yields all variants, the best first: the order to offer them in.
func Variants() iter.Seq[Variant] {
	return func(yield func(Variant) bool) {
		for v := RFC3947; v > NoVariant; v-- {
			if !yield(v) {
				return
			}
		}
	}
}

// VariantOf returns the variant that a vendor ID payload announces, and false if it announces none. Of several
// that a peer announces, the greatest is the best.
func VariantOf(vendorID []byte) (Variant, bool) {
	for v := range Variants() {
		if string(vendorID) == vendorIDs[v].id {
			return v, true
		}
	}
	return NoVariant, false
}

// Valid reports whether v is one of the variants above; NoVariant is none.
func (v Variant) Valid() bool { return v > NoVariant && v <= RFC3947 }

// AppendVendorID appends the contents of the vendor ID payload that announces v: 16 octets, MD5 of the draft's name or
// of "RFC 3947". NoVariant has none.
func (v Variant) AppendVendorID(dst []byte) []byte {
	if !v.Valid() {
		return dst
	}
	return append(dst, vendorIDs[v].id...)
}

// String returns the text whose MD5 is the vendor ID.
func (v Variant) String() string {
	switch {
	case v == NoVariant:
		return "none"
	case v == Draft02Newline:
		return vendorIDs[Draft02].text + `\n`
	case v.Valid():
		return vendorIDs[v].text
	}
	return "natt.Variant(" + strconv.Itoa(int(v)) + ")"
}

// OriginalAddresses is how many original addresses (NAT-OA) a side sends in Quick Mode for transport mode: its own up to draft 04, the
// initiator's and the responder's since draft 05 (section 5.2); 0 for NoVariant.
func (v Variant) OriginalAddresses() int {
	switch {
	case !v.Valid():
		return 0
	case v <= Draft04:
		return 1
	}
	return 2
}

// Floats reports whether IKE moves to port 4500 when a NAT is found. Under drafts 00 and 01 it stays on port 500 and shares it
// with ESP behind the non-IKE marker, which ClassifyIKE knows. NATs that know IPsec by its port 500 may spoil that, which is why
// later drafts float.
func (v Variant) Floats() bool { return v >= Draft02 && v.Valid() }

// NATD is the type of the payload that carries a hash, 0 for NoVariant.
func (v Variant) NATD() uint8 {
	switch {
	case !v.Valid():
		return 0
	case v <= Draft03:
		return 130
	case v <= Draft08:
		return 15
	}
	return 20
}

// NATOA is the type of the payload that carries an original address, for transport mode; 0 for NoVariant.
func (v Variant) NATOA() uint8 {
	switch {
	case !v.Valid():
		return 0
	case v <= Draft03:
		return 131
	case v <= Draft08:
		return 16
	}
	return 21
}

// Mode is a value of the IKEv1 attribute Encapsulation Mode (RFC 2407 4.5).
type Mode uint16

// The encapsulation modes.
const (
	Tunnel            Mode = 1     // RFC 2407
	Transport         Mode = 2     // RFC 2407
	UDPTunnel         Mode = 3     // RFC 3947, drafts 04 to 08
	UDPTransport      Mode = 4     // RFC 3947, drafts 04 to 08
	UDPTunnelDraft    Mode = 61443 // drafts 00 to 03
	UDPTransportDraft Mode = 61444 // drafts 00 to 03
)

// UDP returns the mode that stands for m in UDP under variant v: m is Tunnel or Transport. Anything else, and any m under
// NoVariant, is returned as it is.
func (m Mode) UDP(v Variant) Mode {
	if !v.Valid() || m != Tunnel && m != Transport {
		return m
	}
	if v <= Draft03 {
		return m + UDPTunnelDraft - Tunnel
	}
	return m + UDPTunnel - Tunnel
}

// Plain returns the mode without UDP, Tunnel or Transport, and whether m was with it. It takes the numbers of every variant,
// because there are peers that mix them. A mode unknown is returned as it is.
func (m Mode) Plain() (plain Mode, udp bool) {
	switch m {
	case UDPTunnel, UDPTunnelDraft:
		return Tunnel, true
	case UDPTransport, UDPTransportDraft:
		return Transport, true
	}
	return m, false
}

func (m Mode) String() string {
	switch m {
	case Tunnel:
		return "tunnel"
	case Transport:
		return "transport"
	case UDPTunnel:
		return "UDP tunnel"
	case UDPTransport:
		return "UDP transport"
	case UDPTunnelDraft:
		return "UDP tunnel (draft)"
	case UDPTransportDraft:
		return "UDP transport (draft)"
	}
	return "mode " + strconv.Itoa(int(m))
}
