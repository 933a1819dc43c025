package isakmp

import (
	"encoding/binary"
	"log/slog"
	"strconv"
)

// MaxConfigAttributes is how many attributes one Attributes payload may have.
const MaxConfigAttributes = 1024

// Attributes is the attribute payload of the Transaction exchange
// (draft-dukes-ike-mode-cfg-02 3.2), for mode-config and XAuth.
type Attributes struct {
	Type       ConfigType
	Identifier uint16 // the same in a request and its reply
	Attributes []ConfigAttribute
}

// PayloadType returns PayloadAttributes.
func (Attributes) PayloadType() PayloadType { return PayloadAttributes }

func (p *Attributes) parse(b []byte) *ParseError {
	if len(b) < 4 {
		return syntaxError(PayloadAttributes, len(b), "attributes are cut short")
	}
	p.Type, p.Identifier = ConfigType(b[0]), binary.BigEndian.Uint16(b[2:])
	b = withoutPadding(b[4:])
	n, e := countAttributes(PayloadAttributes, b, 4, MaxConfigAttributes)
	if e != nil || n == 0 {
		return e
	}
	p.Attributes = make([]ConfigAttribute, 0, n)
	for len(b) > 0 {
		a, n := nextAttribute(b)
		p.Attributes = append(p.Attributes, ConfigAttribute{ConfigAttributeType(a.Type), a.Basic, a.Value, a.Data})
		b = b[n:]
	}
	return nil
}

// withoutPadding cuts off up to three zero octets behind the last attribute:
// libreswan makes the payload a multiple of 4 octets long, and counts them.
func withoutPadding(b []byte) []byte {
	rest := b
	for len(rest) >= 4 {
		_, n := nextAttribute(rest)
		if n < 0 {
			return b
		}
		rest = rest[n:]
	}
	for _, c := range rest {
		if c != 0 {
			return b
		}
	}
	return b[:len(b)-len(rest)]
}

// First returns the first attribute of type t, or nil.
func (p *Attributes) First(t ConfigAttributeType) *ConfigAttribute {
	for i := range p.Attributes {
		if p.Attributes[i].Type == t {
			return &p.Attributes[i]
		}
	}
	return nil
}

// AppendBody appends the payload without its generic header.
func (p Attributes) AppendBody(dst []byte) []byte {
	dst = append(dst, byte(p.Type), 0, byte(p.Identifier>>8), byte(p.Identifier))
	for i := range p.Attributes {
		a := p.Attributes[i].attribute()
		dst = a.append(dst)
	}
	return dst
}

func (p *Attributes) fault() string {
	if len(p.Attributes) > MaxConfigAttributes {
		return strconv.Itoa(len(p.Attributes)) + " attributes"
	}
	for i := range p.Attributes {
		a := p.Attributes[i].attribute()
		if f := a.fault(); f != "" {
			return f
		}
	}
	return ""
}

// String returns the payload as a trace shows it. Passwords, and values of
// attributes that this package does not know, appear as lengths.
func (p Attributes) String() string { return string(p.appendText(nil)) }

// GoString is String: %#v shows no more than %v.
func (p Attributes) GoString() string { return p.String() }

// LogValue implements [slog.LogValuer] with String.
func (p Attributes) LogValue() slog.Value { return slog.StringValue(p.String()) }

func (p Attributes) appendText(b []byte) []byte {
	b = append(b, "ATTR("...)
	b = append(b, p.Type.String()...)
	b = strconv.AppendUint(append(b, ' '), uint64(p.Identifier), 10)
	for i := range p.Attributes {
		if len(b) > maxTrace {
			b = append(b, " ..."...)
			break
		}
		b = p.Attributes[i].appendText(append(b, ' '))
	}
	return append(b, ')')
}
