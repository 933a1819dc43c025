package message

import (
	"encoding/binary"
	"strconv"

	"github.com/racoon3/racoon/internal/trace"
	"github.com/racoon3/racoon/spd"
)

// MaxProposals is how many proposals one SA payload may have: as many as there
// are proposal numbers.
const MaxProposals = 255

// SA is the Security Association payload (RFC 7296 3.3).
type SA struct {
	Critical  bool
	Proposals []Proposal
}

// A Proposal is one proposal substructure (RFC 7296 3.3.1).
type Proposal struct {
	Num        uint8 // as received; RFC 7296 counts from 1, some peers do not
	Protocol   spd.Protocol
	SPI        []byte // 4 octets for ESP and AH, 8 for an IKE SA's rekey, none in IKE_SA_INIT
	Transforms []Transform
}

// A Transform is one transform substructure (RFC 7296 3.3.2).
//
// KeyLen is set from a leading Key Length attribute that is not zero. Every
// other attribute, a malformed Key Length included, is in Attributes; RFC 7296
// 3.3.6 makes a transform with an attribute that is not understood
// unacceptable, so a transform is of use only if Attributes is empty.
type Transform struct {
	spd.Transform
	Attributes []Attribute
}

// An Attribute is a transform attribute (RFC 7296 3.3.5).
type Attribute struct {
	Type  uint16 // 15 bits
	Short bool   // the two-octet form without a length (AF bit)
	Value []byte // two octets with Short
}

// maxAttributes is how many attributes one transform may have: more than any
// future needs, and too few to make a small datagram cost much memory.
const maxAttributes = 16

// attrKeyLength is the only transform attribute defined: Key Length, in bits.
const attrKeyLength = 14

const (
	proposalLen  = 8 // fixed part of a proposal
	transformLen = 8 // fixed part of a transform

	moreProposals  = 2 // Last Substruc values
	moreTransforms = 3
)

// PayloadType returns PayloadSA.
func (SA) PayloadType() PayloadType { return PayloadSA }

// substructure cuts the proposal or transform at the start of b; more is the
// Last Substruc value that says another follows.
func substructure(b []byte, off, fixed int, more byte) (sub, rest []byte, e *ParseError) {
	if len(b) < fixed {
		return nil, nil, syntaxError(PayloadSA, off, "substructure is cut short")
	}
	n := int(binary.BigEndian.Uint16(b[2:]))
	if n < fixed || n > len(b) {
		return nil, nil, syntaxError(PayloadSA, off+2, "substructure length "+strconv.Itoa(n)+" of "+strconv.Itoa(len(b))+" octets")
	}
	if last := b[0] == 0; !last && b[0] != more || last != (n == len(b)) {
		return nil, nil, syntaxError(PayloadSA, off, "wrong Last Substruc "+strconv.Itoa(int(b[0])))
	}
	return b[:n:n], b[n:], nil
}

func (p *SA) parse(body []byte) *ParseError {
	// First pass: sound, and how many; then one slice of each kind.
	proposals, transforms := 0, 0
	for rest := body; len(rest) > 0; proposals++ {
		if proposals == MaxProposals {
			return syntaxError(PayloadSA, len(body)-len(rest), "more than "+strconv.Itoa(MaxProposals)+" proposals")
		}
		off := len(body) - len(rest)
		sub, next, e := substructure(rest, off, proposalLen, moreProposals)
		if e != nil {
			return e
		}
		spi := int(sub[6])
		if proposalLen+spi > len(sub) {
			return syntaxError(PayloadSA, off+6, "SPI size "+strconv.Itoa(spi))
		}
		count := 0
		for ts := sub[proposalLen+spi:]; len(ts) > 0; count++ {
			toff := off + len(sub) - len(ts)
			t, tnext, e := substructure(ts, toff, transformLen, moreTransforms)
			if e != nil {
				return e
			}
			if e := walkAttributes(t[transformLen:], toff+transformLen, nil); e != nil {
				return e
			}
			ts = tnext
		}
		if count != int(sub[7]) {
			return syntaxError(PayloadSA, off+7, "says "+strconv.Itoa(int(sub[7]))+" transforms, has "+strconv.Itoa(count))
		}
		transforms += count
		rest = next
	}
	if proposals == 0 {
		return syntaxError(PayloadSA, 0, "no proposals")
	}

	p.Proposals = make([]Proposal, 0, proposals)
	all := make([]Transform, 0, transforms)
	for rest := body; len(rest) > 0; {
		n := int(binary.BigEndian.Uint16(rest[2:]))
		sub := rest[:n:n]
		rest = rest[n:]
		spi := int(sub[6])
		start := len(all)
		for ts := sub[proposalLen+spi:]; len(ts) > 0; {
			n := int(binary.BigEndian.Uint16(ts[2:]))
			t := Transform{Transform: spd.Transform{Type: spd.TransformType(ts[4]), ID: binary.BigEndian.Uint16(ts[6:])}}
			t.parseAttributes(ts[transformLen:n:n])
			all = append(all, t)
			ts = ts[n:]
		}
		prop := Proposal{Num: sub[4], Protocol: spd.Protocol(sub[5]), Transforms: all[start:len(all):len(all)]}
		if spi > 0 {
			prop.SPI = sub[proposalLen : proposalLen+spi : proposalLen+spi]
		}
		p.Proposals = append(p.Proposals, prop)
	}
	return nil
}

// walkAttributes steps through attributes and calls f, if not nil, for each.
func walkAttributes(b []byte, off int, f func(Attribute)) *ParseError {
	for count := 0; len(b) > 0; count++ {
		if len(b) < 4 {
			return syntaxError(PayloadSA, off, "transform attribute is cut short")
		}
		if count == maxAttributes {
			return syntaxError(PayloadSA, off, "more than "+strconv.Itoa(maxAttributes)+" transform attributes")
		}
		t := binary.BigEndian.Uint16(b)
		a := Attribute{Type: t &^ 0x8000, Short: t&0x8000 != 0, Value: b[2:4:4]}
		n := 4
		if !a.Short {
			n += int(binary.BigEndian.Uint16(b[2:]))
			if n > len(b) {
				return syntaxError(PayloadSA, off+2, "transform attribute length "+strconv.Itoa(n-4))
			}
			a.Value = b[4:n:n]
		}
		if f != nil {
			f(a)
		}
		b, off = b[n:], off+n
	}
	return nil
}

// parseAttributes reads attributes that walkAttributes has found sound.
func (t *Transform) parseAttributes(b []byte) {
	if len(b) >= 4 && binary.BigEndian.Uint16(b) == 0x8000|attrKeyLength {
		if t.KeyLen = binary.BigEndian.Uint16(b[2:]); t.KeyLen != 0 {
			b = b[4:]
		}
	}
	if len(b) > 0 {
		walkAttributes(b, 0, func(a Attribute) { t.Attributes = append(t.Attributes, a) })
	}
}

// AppendBody appends the payload without its generic header.
func (p SA) AppendBody(dst []byte) []byte {
	for i := range p.Proposals {
		dst = p.Proposals[i].append(dst, i == len(p.Proposals)-1)
	}
	return dst
}

func (p *Proposal) append(dst []byte, last bool) []byte {
	start := len(dst)
	dst = append(dst, lastSubstruc(last, moreProposals), 0, 0, 0,
		p.Num, byte(p.Protocol), byte(len(p.SPI)), byte(len(p.Transforms)))
	dst = append(dst, p.SPI...)
	for i := range p.Transforms {
		dst = p.Transforms[i].append(dst, i == len(p.Transforms)-1)
	}
	binary.BigEndian.PutUint16(dst[start+2:], uint16(len(dst)-start))
	return dst
}

func (t *Transform) append(dst []byte, last bool) []byte {
	start := len(dst)
	dst = append(dst, lastSubstruc(last, moreTransforms), 0, 0, 0, byte(t.Type), 0, byte(t.ID>>8), byte(t.ID))
	if t.KeyLen != 0 {
		dst = binary.BigEndian.AppendUint16(dst, 0x8000|attrKeyLength)
		dst = binary.BigEndian.AppendUint16(dst, t.KeyLen)
	}
	for _, a := range t.Attributes {
		if a.Short {
			dst = binary.BigEndian.AppendUint16(dst, 0x8000|a.Type)
		} else {
			dst = binary.BigEndian.AppendUint16(dst, a.Type&^0x8000)
			dst = binary.BigEndian.AppendUint16(dst, uint16(len(a.Value)))
		}
		dst = append(dst, a.Value...)
	}
	binary.BigEndian.PutUint16(dst[start+2:], uint16(len(dst)-start))
	return dst
}

func lastSubstruc(last bool, more byte) byte {
	if last {
		return 0
	}
	return more
}

func (p *SA) fault() string {
	if n := len(p.Proposals); n == 0 || n > MaxProposals {
		return strconv.Itoa(n) + " proposals"
	}
	for i := range p.Proposals {
		pr := &p.Proposals[i]
		if len(pr.SPI) > 255 || len(pr.Transforms) > 255 {
			return "proposal " + strconv.Itoa(int(pr.Num)) + ": SPI or transforms above 255"
		}
		for j := range pr.Transforms {
			size, n := 0, len(pr.Transforms[j].Attributes)
			if n > maxAttributes || n == maxAttributes && pr.Transforms[j].KeyLen != 0 {
				return strconv.Itoa(n) + " transform attributes"
			}
			for _, a := range pr.Transforms[j].Attributes {
				if a.Short && len(a.Value) != 2 || a.Type > 0x7fff {
					return "transform attribute " + strconv.Itoa(int(a.Type)) + " has no wire form"
				}
				size += 4 + len(a.Value)
			}
			if size > 0xff00 {
				return "transform attributes are too long"
			}
		}
	}
	return ""
}

// String returns the payload as a trace shows it.
func (p SA) String() string { return string(p.appendText(nil)) }

func (p SA) appendText(b []byte) []byte {
	b = append(b, "SA("...)
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
		b = p.Transforms[i].appendText(b)
	}
	return b
}

// String returns the transform by its IANA name, with the key length.
func (t Transform) String() string { return string(t.appendText(nil)) }

func (t *Transform) appendText(b []byte) []byte {
	b = appendTransformName(b, t.Type, t.ID)
	if t.KeyLen != 0 {
		b = append(b, '-')
		b = strconv.AppendUint(b, uint64(t.KeyLen), 10)
	}
	for _, a := range t.Attributes {
		b = append(b, "[attribute "...)
		b = strconv.AppendUint(b, uint64(a.Type), 10)
		b = append(b, ' ')
		b = trace.AppendHex(b, a.Value)
		b = append(b, ']')
	}
	return b
}
