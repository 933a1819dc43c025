package message

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"net/netip"
	"strconv"

	"github.com/racoon3/racoon/internal/trace"
)

// ID is the Identification payload, IDi or IDr (RFC 7296 3.5).
type ID struct {
	Critical  bool
	Responder bool // IDr, else IDi
	Type      IDType
	// Reserved is what the peer put into the reserved octets. The signed
	// octets of RFC 7296 2.15 (RestOfInitIDPayload, RestOfRespIDPayload) are
	// AppendBody's output and must be those of the wire, so they are kept.
	Reserved [3]byte
	Data     []byte
}

// PayloadType returns PayloadIDi or PayloadIDr.
func (p ID) PayloadType() PayloadType {
	if p.Responder {
		return PayloadIDr
	}
	return PayloadIDi
}

func (p *ID) parse(b []byte) *ParseError {
	if len(b) < 4 {
		return syntaxError(p.PayloadType(), len(b), "identity is cut short")
	}
	p.Type, p.Reserved, p.Data = IDType(b[0]), [3]byte(b[1:4]), b[4:]
	if f := p.fault(); f != "" {
		return syntaxError(p.PayloadType(), 4, f)
	}
	return nil
}

func (p *ID) fault() string {
	n, ok := len(p.Data), true
	switch p.Type {
	case IDIPv4Addr:
		ok = n == 4
	case IDIPv6Addr:
		ok = n == 16
	case IDFQDN, IDRFC822Addr, IDDERASN1DN, IDDERASN1GN:
		ok = n > 0
	case IDNull:
		return "" // RFC 7619 2.1: whatever is there is ignored
	}
	if !ok {
		return p.Type.String() + " of " + strconv.Itoa(n) + " octets"
	}
	return ""
}

// Addr returns the address of an ID_IPV4_ADDR or ID_IPV6_ADDR, else the zero
// Addr.
func (p *ID) Addr() netip.Addr {
	if p.Type == IDIPv4Addr || p.Type == IDIPv6Addr {
		a, _ := netip.AddrFromSlice(p.Data)
		return a
	}
	return netip.Addr{}
}

// AppendBody appends the payload without its generic header: what RFC 7296
// 2.15 calls RestOfInitIDPayload or RestOfRespIDPayload.
func (p ID) AppendBody(dst []byte) []byte {
	dst = append(dst, byte(p.Type), p.Reserved[0], p.Reserved[1], p.Reserved[2])
	return append(dst, p.Data...)
}

// String returns the payload as a trace shows it, the identity quoted.
func (p ID) String() string { return string(p.appendText(nil)) }

func (p ID) appendText(b []byte) []byte {
	b = append(append(b, p.PayloadType().String()...), '(')
	b = append(append(b, p.Type.String()...), ' ')
	switch p.Type {
	case IDIPv4Addr, IDIPv6Addr:
		if a := p.Addr(); a.IsValid() {
			return append(a.AppendTo(b), ')')
		}
	case IDFQDN, IDRFC822Addr:
		return append(trace.AppendQuoted(b, p.Data), ')')
	case IDDERASN1DN:
		var dn pkix.RDNSequence
		if rest, err := asn1.Unmarshal(p.Data, &dn); err == nil && len(rest) == 0 {
			return append(trace.AppendQuoted(b, dn.String()), ')')
		}
	case IDKeyID:
		if trace.Printable(p.Data) {
			return append(trace.AppendQuoted(b, p.Data), ')')
		}
	}
	return append(trace.AppendHex(b, p.Data), ')')
}
