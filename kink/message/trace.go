package message

import (
	"fmt"
	"time"

	"github.com/racoon3/racoon/internal/trace"
)

// appendOpaque appends the name of a payload and the length of its content.
func appendOpaque(b []byte, t PayloadType, n int) []byte {
	b = append(append(b, t.String()...), '(')
	return append(trace.AppendOctets(b, n), ')')
}

func appendEpoch(b []byte, t PayloadType, e Epoch, n int) []byte {
	b = append(append(b, t.String()...), "(epoch "...)
	b = append(append(b, e.String()...), ' ')
	return append(trace.AppendOctets(b, n), ')')
}

// String returns the epoch as a time.
func (e Epoch) String() string { return time.Unix(int64(e), 0).UTC().Format(time.RFC3339) }

// String returns the payload as a trace shows it.
func (p *APReq) String() string { return string(p.appendText(nil)) }

// String returns the payload as a trace shows it.
func (p *APRep) String() string { return string(p.appendText(nil)) }

// String returns the payload as a trace shows it.
func (p *KRBError) String() string { return string(p.appendText(nil)) }

// String returns the payload as a trace shows it.
func (p *TGTReq) String() string { return string(p.appendText(nil)) }

// String returns the payload as a trace shows it.
func (p *TGTRep) String() string { return string(p.appendText(nil)) }

// String returns the payload as a trace shows it.
func (p *Encrypt) String() string { return string(p.appendText(nil)) }

// String returns the payload as a trace shows it.
func (p *Error) String() string { return string(p.appendText(nil)) }

// String returns the payload as a trace shows it.
func (p *Unknown) String() string { return string(p.appendText(nil)) }

// String returns the payload as a trace shows it, its Quick Mode payloads
// decoded.
func (p *ISAKMP) String() string { return string(p.appendText(nil)) }

func (p *APReq) appendText(b []byte) []byte {
	return appendEpoch(b, PayloadAPReq, p.Epoch, len(p.Data))
}

func (p *APRep) appendText(b []byte) []byte {
	return appendEpoch(b, PayloadAPRep, p.Epoch, len(p.Data))
}

func (p *KRBError) appendText(b []byte) []byte { return appendOpaque(b, PayloadKRBError, len(p.Data)) }

func (p *TGTReq) appendText(b []byte) []byte {
	b = append(b, "KINK_TGT_REQ("...)
	b = trace.AppendQuoted(b, p.Principal)
	return append(b, ')')
}

func (p *TGTRep) appendText(b []byte) []byte { return appendOpaque(b, PayloadTGTRep, len(p.TGT)) }

func (p *Encrypt) appendText(b []byte) []byte {
	return appendOpaque(b, PayloadEncrypt, len(p.Ciphertext))
}

func (p *Error) appendText(b []byte) []byte { return fmt.Appendf(b, "KINK_ERROR(%v)", p.Code) }

func (p *Unknown) appendText(b []byte) []byte { return appendOpaque(b, p.Type, len(p.Body)) }

func (p *ISAKMP) appendText(b []byte) []byte {
	b = append(b, "KINK_ISAKMP("...)
	if ps, err := p.Payloads(); err == nil {
		b = append(b, ps.String()...)
	} else {
		b = append(b, err.Error()...)
	}
	return append(b, ')')
}
