package message

import (
	"net/netip"
	"strconv"
)

// A Redirect is the data of REDIRECT and REDIRECTED_FROM (RFC 5685 9.2, 9.3):
// a gateway by address or, in REDIRECT only, by name.
type Redirect struct {
	Type  GatewayIDType
	Addr  netip.Addr // for GatewayIPv4 and GatewayIPv6
	FQDN  []byte     // for GatewayFQDN, as received: check it before use
	Nonce []byte     // Ni, in a REDIRECT that answers IKE_SA_INIT; else none
}

// Redirect decodes REDIRECT and REDIRECTED_FROM. An unknown kind of gateway
// identity is an error: there is nowhere to go.
func (p *Notify) Redirect() (Redirect, error) {
	d := p.Data
	if len(d) < 2 || len(d) < 2+int(d[1]) {
		return Redirect{}, p.dataError()
	}
	r := Redirect{Type: GatewayIDType(d[0])}
	id := d[2 : 2+int(d[1])]
	if len(d) > 2+len(id) {
		r.Nonce = d[2+len(id):]
		if n := len(r.Nonce); n < MinNonceLen || n > MaxNonceLen {
			return Redirect{}, p.dataError()
		}
	}
	switch {
	case r.Type == GatewayIPv4 && len(id) == 4, r.Type == GatewayIPv6 && len(id) == 16:
		r.Addr, _ = netip.AddrFromSlice(id)
	case r.Type == GatewayFQDN && len(id) > 0 && p.Type != NotifyRedirectedFrom:
		r.FQDN = id
	default:
		return Redirect{}, syntaxError(PayloadNotify, 4+len(p.SPI),
			p.Type.String()+": gateway identity "+r.Type.String()+" of "+strconv.Itoa(len(id))+" octets")
	}
	return r, nil
}

// AppendRedirectData appends the data of REDIRECT or REDIRECTED_FROM. An FQDN
// has at most 255 octets.
func AppendRedirectData(dst []byte, r Redirect) []byte {
	dst = append(dst, byte(r.Type), 0)
	at := len(dst)
	if r.Type == GatewayFQDN {
		dst = append(dst, r.FQDN[:min(len(r.FQDN), 255)]...)
	} else {
		dst = AppendAddressData(dst, r.Addr)
	}
	dst[at-1] = byte(len(dst) - at)
	return append(dst, r.Nonce...)
}
