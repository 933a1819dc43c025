package isakmp

import "github.com/racoon3/racoon/internal/trace"

// VendorID is the Vendor ID payload (RFC 2408 3.16): any octets, even none.
type VendorID struct {
	ID []byte
}

// PayloadType returns PayloadVendorID.
func (VendorID) PayloadType() PayloadType { return PayloadVendorID }

// AppendBody appends the payload without its generic header.
func (p VendorID) AppendBody(dst []byte) []byte { return append(dst, p.ID...) }

func (*VendorID) fault() string { return "" }

// String returns the payload as a trace shows it: quoted where it is text,
// hexadecimal where it is not.
func (p VendorID) String() string { return string(p.appendText(nil)) }

func (p VendorID) appendText(b []byte) []byte {
	b = append(b, "VID("...)
	if trace.Printable(p.ID) {
		b = trace.AppendQuoted(b, p.ID)
	} else {
		b = trace.AppendHex(b, p.ID)
	}
	return append(b, ')')
}
