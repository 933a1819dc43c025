package isakmp

import "github.com/racoon3/racoon/internal/trace"

// Unknown is a payload for which this package has no struct: unassigned and
// private types, those of IKEv2, those of GDOI, and 15 and 16 whatever they
// mean ([Payloads.NATDs], [Payloads.NATOAs]). ISAKMP has no critical bit:
// whether it may be there is for the exchange to say ([Payloads.Only]).
type Unknown struct {
	Type PayloadType
	Body []byte
}

// PayloadType returns p.Type.
func (p Unknown) PayloadType() PayloadType { return p.Type }

// AppendBody appends the payload without its generic header.
func (p Unknown) AppendBody(dst []byte) []byte { return append(dst, p.Body...) }

func (p *Unknown) fault() string {
	if p.Type == PayloadNone {
		return "payload type 0 ends a chain"
	}
	return ""
}

// String returns the payload as a trace shows it.
func (p Unknown) String() string { return string(p.appendText(nil)) }

func (p Unknown) appendText(b []byte) []byte {
	b = append(append(b, p.Type.String()...), '(')
	return append(trace.AppendHex(b, p.Body), ')')
}
