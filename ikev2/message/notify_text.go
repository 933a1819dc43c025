package message

import (
	"fmt"
	"strconv"

	"github.com/racoon3/racoon/internal/trace"
	"github.com/racoon3/racoon/spd"
)

// String returns the payload as a trace shows it: type, protocol and SPI, and
// the data in words where its form is known. Tickets and authentication data
// appear as lengths.
func (p Notify) String() string { return string(p.appendText(nil)) }

// GoString is String: %#v shows no more than %v.
func (p Notify) GoString() string { return p.String() }

func (p Notify) appendText(b []byte) []byte {
	b = append(b, "N("...)
	b = append(b, p.Type.String()...)
	if len(p.SPI) > 0 {
		b = append(append(b, ' '), protocolName(p.Protocol)...)
		b = trace.AppendHex(append(b, " SPI "...), p.SPI)
	}
	if len(p.Data) > 0 {
		b = p.appendData(append(b, ' '))
	}
	return append(b, ')')
}

func (p *Notify) appendData(b []byte) []byte {
	var v any
	var err error
	switch p.Type {
	case NotifyUnsupportedCriticalPayload:
		v, err = p.UnsupportedPayload()
	case NotifyInvalidMessageID:
		v, err = p.InvalidMessageID()
	case NotifyInvalidKEPayload:
		var g uint16
		g, err = p.InvalidKEGroup()
		v = string(appendTransformName(nil, spd.TransformKE, g))
	case NotifySetWindowSize:
		v, err = p.WindowSize()
	case NotifyAuthLifetime:
		v, err = p.AuthLifetime()
	case NotifySignatureHashAlgorithms:
		if len(p.Data) > 64 {
			return trace.AppendOctets(b, len(p.Data))
		}
		v, err = p.HashAlgorithms()
	case NotifyIPCompSupported:
		cpi, transform, e := p.IPComp()
		v, err = fmt.Sprintf("CPI %04x transform %d", cpi, transform), e
	case NotifyAdditionalIP4Address, NotifyAdditionalIP6Address:
		v, err = p.AdditionalAddress()
	case NotifyNoNATsAllowed:
		from, to, e := p.NoNATs()
		v, err = from.String()+" to "+to.String(), e
	case NotifyRedirect, NotifyRedirectedFrom:
		var r Redirect
		r, err = p.Redirect()
		if v = any(r.Addr); r.Type == GatewayFQDN {
			v = string(trace.AppendQuoted(nil, r.FQDN))
		}
	case NotifyTicketLTOpaque:
		ticket, lifetime, e := p.Ticket()
		v, err = string(trace.AppendOctets(nil, len(ticket)))+" for "+lifetime.String(), e
	case NotifyPPKIdentity:
		t, id, e := p.PPKIdentity()
		v, err = t.String()+" "+string(trace.AppendQuoted(nil, id)), e
	case NotifyPuzzle:
		z, e := p.Puzzle()
		v, err = spd.TransformName(spd.TransformPRF, z.PRF)+" "+strconv.Itoa(int(z.Difficulty)), e
	case NotifyNATDetectionSourceIP, NotifyNATDetectionDestinationIP, NotifyCookie, NotifyCookie2, NotifyQuickCrashDetection:
		return trace.AppendHex(b, p.Data)
	case NotifyTicketOpaque, NotifyNoPPKAuth, NotifyPPKIdentityKey:
		return trace.AppendOctets(b, len(p.Data))
	default:
		if trace.Printable(p.Data) {
			return trace.AppendQuoted(b, p.Data)
		}
		return trace.AppendHex(b, p.Data)
	}
	if err != nil {
		return trace.AppendHex(append(b, "malformed "...), p.Data)
	}
	return fmt.Append(b, v)
}
