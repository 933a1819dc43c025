package message

import "github.com/racoon3/racoon/internal/trace"

// Unknown is a payload for which this package has no struct: unassigned types,
// those of IKEv1, and the Puzzle Solution, GSPM and group payloads. RFC 7296
// 2.5 has it skipped if the critical bit is clear; if it is set the message is
// answered with UNSUPPORTED_CRITICAL_PAYLOAD.
type Unknown struct {
	Type     PayloadType
	Critical bool
	Body     []byte
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
	if p.Critical {
		b = append(b, "critical "...)
	}
	return append(trace.AppendHex(b, p.Body), ')')
}
