package message

import (
	"encoding/binary"

	"github.com/racoon3/racoon/internal/trace"
	"github.com/racoon3/racoon/spd"
)

// KE is the Key Exchange payload (RFC 7296 3.4).
type KE struct {
	Critical bool
	Group    uint16 // IANA "Transform Type 4 - Key Exchange Method Transform IDs"
	Data     []byte // the public value, not empty
}

// PayloadType returns PayloadKE.
func (KE) PayloadType() PayloadType { return PayloadKE }

func (p *KE) parse(b []byte) *ParseError {
	if len(b) < 5 {
		return syntaxError(PayloadKE, len(b), "no key exchange data")
	}
	p.Group, p.Data = binary.BigEndian.Uint16(b), b[4:]
	return nil
}

// AppendBody appends the payload without its generic header.
func (p KE) AppendBody(dst []byte) []byte {
	dst = append(dst, byte(p.Group>>8), byte(p.Group), 0, 0)
	return append(dst, p.Data...)
}

func (p *KE) fault() string {
	if len(p.Data) == 0 {
		return "no key exchange data"
	}
	return ""
}

// String returns the payload as a trace shows it: the group, and the length of
// the public value.
func (p KE) String() string { return string(p.appendText(nil)) }

func (p KE) appendText(b []byte) []byte {
	b = append(b, "KE("...)
	b = appendTransformName(b, spd.TransformKE, p.Group)
	return append(trace.AppendOctets(append(b, ' '), len(p.Data)), ')')
}
