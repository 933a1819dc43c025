package isakmp

import (
	"log/slog"

	"github.com/racoon3/racoon/internal/trace"
)

// HASH is the Hash payload (RFC 2408 3.11): a MAC over parts of the exchange.
type HASH struct {
	Data []byte // not empty
}

// PayloadType returns PayloadHASH.
func (HASH) PayloadType() PayloadType { return PayloadHASH }

func (p *HASH) parse(b []byte) *ParseError {
	p.Data = b
	if f := p.fault(); f != "" {
		return syntaxError(PayloadHASH, 0, f)
	}
	return nil
}

// AppendBody appends the payload without its generic header.
func (p HASH) AppendBody(dst []byte) []byte { return append(dst, p.Data...) }

func (p *HASH) fault() string {
	if len(p.Data) == 0 {
		return "no hash"
	}
	return ""
}

// String returns the payload as a trace shows it: its length.
func (p HASH) String() string { return string(p.appendText(nil)) }

// GoString is String: %#v shows no more than %v.
func (p HASH) GoString() string { return p.String() }

// LogValue implements [slog.LogValuer] with String.
func (p HASH) LogValue() slog.Value { return slog.StringValue(p.String()) }

func (p HASH) appendText(b []byte) []byte {
	return append(trace.AppendOctets(append(b, "HASH("...), len(p.Data)), ')')
}
