package message

import (
	"encoding/binary"
	"log/slog"
	"strconv"
)

// MaxConfigAttributes is how many attributes one CP payload may have.
const MaxConfigAttributes = 1024

// CP is the Configuration payload (RFC 7296 3.15).
type CP struct {
	Critical   bool
	Type       ConfigType
	Attributes []ConfigAttribute
}

// A ConfigAttribute is one attribute of a [CP]. An empty Value asks for the
// attribute. The methods in the config files of this package decode values,
// and functions called Append... encode them.
type ConfigAttribute struct {
	Type  ConfigAttributeType // 15 bits
	Value []byte
}

// PayloadType returns PayloadCP.
func (CP) PayloadType() PayloadType { return PayloadCP }

func (p *CP) parse(b []byte) *ParseError {
	if len(b) < 4 {
		return syntaxError(PayloadCP, len(b), "configuration is cut short")
	}
	p.Type = ConfigType(b[0])
	n := 0
	for off := 4; off < len(b); n++ {
		if len(b)-off < 4 {
			return syntaxError(PayloadCP, off, "configuration attribute is cut short")
		}
		size := int(binary.BigEndian.Uint16(b[off+2:]))
		if size > len(b)-off-4 {
			return syntaxError(PayloadCP, off+2, "configuration attribute length "+strconv.Itoa(size))
		}
		if n == MaxConfigAttributes {
			return syntaxError(PayloadCP, off, "more than "+strconv.Itoa(MaxConfigAttributes)+" attributes")
		}
		off += 4 + size
	}
	if n == 0 {
		return nil
	}
	p.Attributes = make([]ConfigAttribute, 0, n)
	for b = b[4:]; len(b) > 0; {
		end := 4 + int(binary.BigEndian.Uint16(b[2:]))
		a := ConfigAttribute{Type: ConfigAttributeType(binary.BigEndian.Uint16(b) &^ 0x8000)}
		if end > 4 {
			a.Value = b[4:end:end]
		}
		p.Attributes = append(p.Attributes, a)
		b = b[end:]
	}
	return nil
}

// First returns the first attribute of type t, or nil.
func (p *CP) First(t ConfigAttributeType) *ConfigAttribute {
	for i := range p.Attributes {
		if p.Attributes[i].Type == t {
			return &p.Attributes[i]
		}
	}
	return nil
}

// AppendBody appends the payload without its generic header.
func (p CP) AppendBody(dst []byte) []byte {
	dst = append(dst, byte(p.Type), 0, 0, 0)
	for _, a := range p.Attributes {
		dst = binary.BigEndian.AppendUint16(dst, uint16(a.Type)&^0x8000)
		dst = binary.BigEndian.AppendUint16(dst, uint16(len(a.Value)))
		dst = append(dst, a.Value...)
	}
	return dst
}

func (p *CP) fault() string {
	if len(p.Attributes) > MaxConfigAttributes {
		return strconv.Itoa(len(p.Attributes)) + " attributes"
	}
	for _, a := range p.Attributes {
		if a.Type > 0x7fff || len(a.Value) > 0xffff {
			return a.Type.String() + " has no wire form"
		}
	}
	return ""
}

// String returns the payload as a trace shows it. Values of attributes that
// this package does not know appear as lengths: they may be passwords.
func (p CP) String() string { return string(p.appendText(nil)) }

// GoString is String: %#v shows no more than %v.
func (p CP) GoString() string { return p.String() }

// LogValue implements [slog.LogValuer] with String.
func (p CP) LogValue() slog.Value { return slog.StringValue(p.String()) }

func (p CP) appendText(b []byte) []byte {
	b = append(b, "CP("...)
	b = append(b, p.Type.String()...)
	for i := range p.Attributes {
		if len(b) > maxTrace {
			b = append(b, " ..."...)
			break
		}
		b = p.Attributes[i].appendText(append(b, ' '))
	}
	return append(b, ')')
}
