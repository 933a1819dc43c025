package message

import (
	"log/slog"

	"github.com/racoon3/racoon/internal/trace"
)

// AUTH is the Authentication payload (RFC 7296 3.8).
type AUTH struct {
	Critical bool
	Method   AuthMethod
	Data     []byte // a MAC or a signature; for AuthDigitalSignature see ParseDigitalSignature
}

// PayloadType returns PayloadAUTH.
func (AUTH) PayloadType() PayloadType { return PayloadAUTH }

func (p *AUTH) parse(b []byte) *ParseError {
	if len(b) < 4 {
		return syntaxError(PayloadAUTH, len(b), "authentication is cut short")
	}
	p.Method, p.Data = AuthMethod(b[0]), b[4:]
	return nil
}

// AppendBody appends the payload without its generic header.
func (p AUTH) AppendBody(dst []byte) []byte {
	return append(append(dst, byte(p.Method), 0, 0, 0), p.Data...)
}

func (*AUTH) fault() string { return "" }

// String returns the payload as a trace shows it: the method, and the length of
// the data.
func (p AUTH) String() string { return string(p.appendText(nil)) }

// GoString is String: %#v shows no more than %v.
func (p AUTH) GoString() string { return p.String() }

// LogValue implements [slog.LogValuer] with String.
func (p AUTH) LogValue() slog.Value { return slog.StringValue(p.String()) }

func (p AUTH) appendText(b []byte) []byte {
	b = append(b, "AUTH("...)
	b = append(append(b, p.Method.String()...), ' ')
	return append(trace.AppendOctets(b, len(p.Data)), ')')
}
