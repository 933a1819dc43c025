package isakmp

import (
	"fmt"
	"strconv"

	"github.com/racoon3/racoon/internal/trace"
	"github.com/racoon3/racoon/spd"
)

// String returns the payload as a trace shows it: proposals with their
// transforms, and attributes by the names of their values.
func (p SA) String() string { return string(p.appendText(nil)) }

func (p SA) appendText(b []byte) []byte {
	b = append(b, "SA("...)
	if p.Situation != SituationIdentityOnly {
		b = append(append(b, p.Situation.String()...), ' ')
	}
	for i := range p.Proposals {
		if i > 0 {
			b = append(b, "; "...)
		}
		if len(b) > maxTrace {
			b = append(b, "..."...)
			break
		}
		b = p.Proposals[i].appendText(b)
	}
	return append(b, ')')
}

// String returns the proposal as a trace shows it.
func (p Proposal) String() string { return string(p.appendText(nil)) }

func (p *Proposal) appendText(b []byte) []byte {
	b = append(b, '#')
	b = strconv.AppendUint(b, uint64(p.Num), 10)
	b = append(b, ' ')
	b = append(b, protocolName(p.Protocol)...)
	if len(p.SPI) > 0 {
		b = append(b, " SPI "...)
		b = trace.AppendHex(b, p.SPI)
	}
	for i := range p.Transforms {
		b = append(b, ' ')
		if len(b) > maxTrace {
			return append(b, "..."...)
		}
		b = p.Transforms[i].AppendText(b, p.Protocol)
	}
	return b
}

// AppendText appends the transform, one of a proposal for protocol p, as a
// trace shows it: its number, its name, and the values of its attributes in
// the order of the wire.
func (t *Transform) AppendText(b []byte, p spd.Protocol) []byte {
	b = append(b, 'T')
	b = strconv.AppendUint(b, uint64(t.Num), 10)
	b = append(b, ' ')
	b = append(b, transformName(p, t.ID)...)
	open := byte('(')
	for i := range t.Attributes {
		a := &t.Attributes[i]
		before := len(b)
		b = append(b, open)
		if open == ',' {
			b = append(b, ' ')
		}
		named := len(b)
		b = a.AppendText(b, p)
		if len(b) == named { // a life type, shown with its duration
			b = b[:before]
			continue
		}
		if _, duration := lifeAttributes(p); a.Type == duration && i > 0 {
			b = appendUnit(b, p, &t.Attributes[i-1])
		}
		open = ','
	}
	if open == ',' {
		b = append(b, ')')
	}
	return b
}

func transformName(p spd.Protocol, id uint8) string {
	switch p {
	case spd.ProtoIKE:
		if id == KeyIKE {
			return "KEY_IKE"
		}
	case spd.ProtoAH:
		return AHTransform(id).String()
	case spd.ProtoESP:
		return ESPTransform(id).String()
	case spd.ProtoIPComp:
		return IPCompTransform(id).String()
	}
	return "Transform(" + strconv.Itoa(int(id)) + ")"
}

// appendUnit appends the unit of a duration, if the attribute before it is
// the life type.
func appendUnit(b []byte, p spd.Protocol, a *Attribute) []byte {
	v, ok := a.Uint()
	if kind, _ := lifeAttributes(p); a.Type != kind || !ok || v > 0xffff {
		return b
	}
	return append(append(b, ' '), LifeType(v).String()...)
}

// AppendText appends the attribute, one of a proposal for protocol p, as a
// trace shows it: the name of its value where that says enough, else the
// attribute's name too. Of a life type it appends nothing: it is the unit of
// the duration behind it.
func (a *Attribute) AppendText(b []byte, p spd.Protocol) []byte {
	v, ok := a.Uint()
	if !ok || v > 0xffff {
		return a.appendNumber(b, p, ok, v)
	}
	var value fmt.Stringer
	if p == spd.ProtoIKE {
		switch Phase1Attribute(a.Type) {
		case Phase1EncryptionAlgorithm:
			value = EncryptionAlgorithm(v)
		case Phase1HashAlgorithm:
			value = HashAlgorithm(v)
		case Phase1AuthMethod:
			value = AuthMethod(v)
		case Phase1Group:
			value = Group(v)
		case Phase1GroupType:
			value = GroupType(v)
		case Phase1KeyLength:
			return append(strconv.AppendUint(b, v, 10), " bits"...)
		case Phase1LifeDuration:
			return strconv.AppendUint(b, v, 10)
		case Phase1LifeType:
			return b
		}
	} else {
		switch Phase2Attribute(a.Type) {
		case Phase2Group:
			value = Group(v)
		case Phase2EncapsulationMode:
			value = EncapsulationMode(v)
		case Phase2AuthAlgorithm:
			value = AuthAlgorithm(v)
		case Phase2KeyLength:
			return append(strconv.AppendUint(b, v, 10), " bits"...)
		case Phase2LifeDuration:
			return strconv.AppendUint(b, v, 10)
		case Phase2LifeType:
			return b
		}
	}
	if value == nil {
		return a.appendNumber(b, p, true, v)
	}
	return append(b, value.String()...)
}

// appendNumber appends an attribute whose value has no name.
func (a *Attribute) appendNumber(b []byte, p spd.Protocol, isNumber bool, v uint64) []byte {
	if _, duration := lifeAttributes(p); a.Type != duration || !isNumber {
		if p == spd.ProtoIKE {
			b = append(b, Phase1Attribute(a.Type).String()...)
		} else {
			b = append(b, Phase2Attribute(a.Type).String()...)
		}
		b = append(b, '=')
	}
	if !isNumber {
		return trace.AppendHex(b, a.Data)
	}
	return strconv.AppendUint(b, v, 10)
}
