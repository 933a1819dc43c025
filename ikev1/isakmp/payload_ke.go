package isakmp

import "github.com/racoon3/racoon/internal/trace"

// KE is the Key Exchange payload (RFC 2408 3.7): the public value, as the
// group of the SA wants it.
type KE struct {
	Data []byte // not empty
}

// PayloadType returns PayloadKE.
func (KE) PayloadType() PayloadType { return PayloadKE }

func (p *KE) parse(b []byte) *ParseError {
	p.Data = b
	if f := p.fault(); f != "" {
		return syntaxError(PayloadKE, 0, f)
	}
	return nil
}

// AppendBody appends the payload without its generic header.
func (p KE) AppendBody(dst []byte) []byte { return append(dst, p.Data...) }

func (p *KE) fault() string {
	if len(p.Data) == 0 {
		return "no key exchange data"
	}
	return ""
}

// String returns the payload as a trace shows it: its length.
func (p KE) String() string { return string(p.appendText(nil)) }

func (p KE) appendText(b []byte) []byte {
	return append(trace.AppendOctets(append(b, "KE("...), len(p.Data)), ')')
}
