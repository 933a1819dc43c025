package isakmp

import (
	"strconv"

	"github.com/racoon3/racoon/internal/trace"
)

// Lengths of a nonce in octets (RFC 2409 5).
const (
	MinNonceLen = 8
	MaxNonceLen = 256
)

// Nonce is the Nonce payload, Ni or Nr (RFC 2408 3.13).
type Nonce struct {
	Data []byte // MinNonceLen to MaxNonceLen octets
}

// PayloadType returns PayloadNonce.
func (Nonce) PayloadType() PayloadType { return PayloadNonce }

func (p *Nonce) parse(b []byte) *ParseError {
	p.Data = b
	if f := p.fault(); f != "" {
		return syntaxError(PayloadNonce, 0, f)
	}
	return nil
}

func (p *Nonce) fault() string {
	if n := len(p.Data); n < MinNonceLen || n > MaxNonceLen {
		return "nonce of " + strconv.Itoa(n) + " octets"
	}
	return ""
}

// AppendBody appends the payload without its generic header.
func (p Nonce) AppendBody(dst []byte) []byte { return append(dst, p.Data...) }

// String returns the payload as a trace shows it: its length.
func (p Nonce) String() string { return string(p.appendText(nil)) }

func (p Nonce) appendText(b []byte) []byte {
	return append(trace.AppendOctets(append(b, "NONCE("...), len(p.Data)), ')')
}
