package isakmp

// A ConfigAttribute is one attribute of an [Attributes] payload. An empty Data
// asks for the attribute. Methods decode values, and functions called
// Append...Value encode them.
type ConfigAttribute struct {
	Type  ConfigAttributeType // 15 bits
	Basic bool                // type and value without a length (AF bit)
	Value uint16              // the value if Basic
	Data  []byte              // the value if not
}

func (a *ConfigAttribute) attribute() Attribute {
	return Attribute{uint16(a.Type), a.Basic, a.Value, a.Data}
}

// Uint returns the value as a number; see [Attribute.Uint].
func (a *ConfigAttribute) Uint() (v uint64, ok bool) {
	x := a.attribute()
	return x.Uint()
}

// String returns the attribute as a trace shows it.
func (a ConfigAttribute) String() string { return string(a.appendText(nil)) }

// GoString is String: %#v shows no more than %v.
func (a ConfigAttribute) GoString() string { return a.String() }

func (a *ConfigAttribute) appendText(b []byte) []byte {
	return append(b, a.Type.String()...)
}
