package isakmp

import (
	"log/slog"

	"github.com/racoon3/racoon/internal/trace"
)

// SIG is the Signature payload (RFC 2408 3.12).
type SIG struct {
	Data []byte // not empty
}

// PayloadType returns PayloadSIG.
func (SIG) PayloadType() PayloadType { return PayloadSIG }

func (p *SIG) parse(b []byte) *ParseError {
	p.Data = b
	if f := p.fault(); f != "" {
		return syntaxError(PayloadSIG, 0, f)
	}
	return nil
}

// AppendBody appends the payload without its generic header.
func (p SIG) AppendBody(dst []byte) []byte { return append(dst, p.Data...) }

func (p *SIG) fault() string {
	if len(p.Data) == 0 {
		return "no signature"
	}
	return ""
}

// String returns the payload as a trace shows it: its length.
func (p SIG) String() string { return string(p.appendText(nil)) }

// GoString is String: %#v shows no more than %v.
func (p SIG) GoString() string { return p.String() }

// LogValue implements [slog.LogValuer] with String.
func (p SIG) LogValue() slog.Value { return slog.StringValue(p.String()) }

func (p SIG) appendText(b []byte) []byte {
	return append(trace.AppendOctets(append(b, "SIG("...), len(p.Data)), ')')
}
