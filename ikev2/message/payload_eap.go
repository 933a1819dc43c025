package message

import (
	"encoding/binary"
	"log/slog"
	"strconv"

	"github.com/racoon3/racoon/internal/trace"
)

// EAP is the Extensible Authentication Protocol payload (RFC 7296 3.16): one
// EAP packet (RFC 3748 4), whose length field is right.
type EAP struct {
	Critical bool
	Message  []byte // code, identifier, length, then for requests and responses type and data
}

// PayloadType returns PayloadEAP.
func (EAP) PayloadType() PayloadType { return PayloadEAP }

func (p *EAP) parse(b []byte) *ParseError {
	p.Message = b
	if f := p.fault(); f != "" {
		return syntaxError(PayloadEAP, 0, f)
	}
	return nil
}

func (p *EAP) fault() string {
	b := p.Message
	if len(b) < 4 {
		return "EAP packet of " + strconv.Itoa(len(b)) + " octets"
	}
	if n := int(binary.BigEndian.Uint16(b[2:])); n != len(b) {
		return "EAP length " + strconv.Itoa(n) + " in " + strconv.Itoa(len(b)) + " octets"
	}
	switch c := EAPCode(b[0]); {
	case (c == EAPRequest || c == EAPResponse) && len(b) < 5:
		return c.String() + " without a type"
	case (c == EAPSuccess || c == EAPFailure) && len(b) != 4:
		return c.String() + " of " + strconv.Itoa(len(b)) + " octets"
	}
	return ""
}

// Code returns the EAP code, 0 if there is no packet.
func (p *EAP) Code() EAPCode {
	if len(p.Message) < 4 {
		return 0
	}
	return EAPCode(p.Message[0])
}

// Identifier returns the EAP identifier.
func (p *EAP) Identifier() uint8 {
	if len(p.Message) < 4 {
		return 0
	}
	return p.Message[1]
}

// MethodType returns the type of a request or response, else 0.
func (p *EAP) MethodType() EAPType {
	if c := p.Code(); (c == EAPRequest || c == EAPResponse) && len(p.Message) > 4 {
		return EAPType(p.Message[4])
	}
	return 0
}

// AppendBody appends the payload without its generic header.
func (p EAP) AppendBody(dst []byte) []byte { return append(dst, p.Message...) }

// String returns the payload as a trace shows it: code, identifier, type and
// length.
func (p EAP) String() string { return string(p.appendText(nil)) }

// GoString is String: %#v shows no more than %v.
func (p EAP) GoString() string { return p.String() }

// LogValue implements [slog.LogValuer] with String.
func (p EAP) LogValue() slog.Value { return slog.StringValue(p.String()) }

func (p EAP) appendText(b []byte) []byte {
	b = append(b, "EAP("...)
	b = append(append(b, p.Code().String()...), ' ')
	b = strconv.AppendUint(b, uint64(p.Identifier()), 10)
	if t := p.MethodType(); t != 0 {
		b = append(append(b, ' '), t.String()...)
	}
	return append(trace.AppendOctets(append(b, ' '), len(p.Message)), ')')
}
