package isakmp

import (
	"net/netip"
	"strconv"

	"github.com/racoon3/racoon/internal/trace"
)

// NATD is the NAT-D payload (RFC 3947 3.2): a hash of cookies, address and
// port.
type NATD struct {
	Type PayloadType // 0 means PayloadNATD; another number is a draft's
	Hash []byte      // as long as the negotiated hash
}

// PayloadType returns the number in use.
func (p NATD) PayloadType() PayloadType {
	if p.Type == 0 {
		return PayloadNATD
	}
	return p.Type
}

// AppendBody appends the payload without its generic header.
func (p NATD) AppendBody(dst []byte) []byte { return append(dst, p.Hash...) }

func (*NATD) fault() string { return "" }

// String returns the payload as a trace shows it.
func (p NATD) String() string { return string(p.appendText(nil)) }

func (p NATD) appendText(b []byte) []byte {
	return append(trace.AppendHex(append(append(b, p.PayloadType().String()...), '('), p.Hash), ')')
}

// NATOA is the NAT-OA payload (RFC 3947 5.2): an address as it was before
// translation.
type NATOA struct {
	Type PayloadType // 0 means PayloadNATOA; another number is a draft's
	Addr netip.Addr
}

// PayloadType returns the number in use.
func (p NATOA) PayloadType() PayloadType {
	if p.Type == 0 {
		return PayloadNATOA
	}
	return p.Type
}

func (p *NATOA) parse(b []byte) *ParseError {
	switch {
	case len(b) == 8 && IDType(b[0]) == IDIPv4Addr:
		p.Addr = netip.AddrFrom4([4]byte(b[4:]))
	case len(b) == 20 && IDType(b[0]) == IDIPv6Addr:
		p.Addr = netip.AddrFrom16([16]byte(b[4:]))
	default:
		return syntaxError(p.Type, 0, "original address of "+strconv.Itoa(len(b))+" octets")
	}
	return nil
}

// AppendBody appends the payload without its generic header.
func (p NATOA) AppendBody(dst []byte) []byte {
	if p.Addr.Is4() {
		a := p.Addr.As4()
		return append(append(dst, byte(IDIPv4Addr), 0, 0, 0), a[:]...)
	}
	a := p.Addr.As16()
	return append(append(dst, byte(IDIPv6Addr), 0, 0, 0), a[:]...)
}

func (p *NATOA) fault() string {
	if !p.Addr.IsValid() {
		return "no address"
	}
	return ""
}

// String returns the payload as a trace shows it.
func (p NATOA) String() string { return string(p.appendText(nil)) }

func (p NATOA) appendText(b []byte) []byte {
	return append(p.Addr.AppendTo(append(append(b, p.PayloadType().String()...), '(')), ')')
}
