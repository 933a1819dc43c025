package isakmp

import (
	"encoding/binary"
	"strconv"

	"github.com/racoon3/racoon/spd"
)

// MaxProposals is how many proposals one SA payload may have. Proposals that
// share a number count one by one.
const MaxProposals = 255

// SA is the Security Association payload (RFC 2408 3.4) of the IPsec DOI (RFC
// 2407 4.6.1).
type SA struct {
	DOI       DOI // DOIIPsec; others are not decoded
	Situation Situation
	Labels    *Labels // with SituationSecrecy or SituationIntegrity
	Proposals []Proposal
}

// A Proposal is one proposal payload (RFC 2408 3.5). Proposals with the same
// number, one after the other, belong together: all are wanted (a bundle).
type Proposal struct {
	Num        uint8
	Protocol   spd.Protocol
	SPI        []byte // 4 octets for ESP and AH, 2 or 4 for IPComp (RFC 2407 4.6), any for ISAKMP
	Transforms []Transform
}

// A Transform is one transform payload (RFC 2408 3.6). Its attributes are kept
// in the order and form of the wire: a responder must return them unchanged
// (RFC 2409 5).
type Transform struct {
	Num        uint8
	ID         uint8 // KeyIKE, ESPTransform, AHTransform or IPCompTransform
	Attributes []Attribute
}

const (
	proposalLen  = 8 // fixed part of a proposal
	transformLen = 8 // fixed part of a transform
)

// PayloadType returns PayloadSA.
func (SA) PayloadType() PayloadType { return PayloadSA }

// First returns the first attribute of type t, or nil.
func (t *Transform) First(typ uint16) *Attribute {
	for i := range t.Attributes {
		if t.Attributes[i].Type == typ {
			return &t.Attributes[i]
		}
	}
	return nil
}

// substructure cuts the proposal or transform at the start of b; more is the
// next-payload value that says another follows.
func substructure(b []byte, off int, more PayloadType) (sub, rest []byte, e *ParseError) {
	if len(b) < proposalLen { // transforms have the same fixed length
		return nil, nil, syntaxError(PayloadSA, off, "proposal or transform is cut short")
	}
	n := int(binary.BigEndian.Uint16(b[2:]))
	if n < proposalLen || n > len(b) {
		return nil, nil, syntaxError(PayloadSA, off+2, "proposal or transform length "+strconv.Itoa(n)+" of "+strconv.Itoa(len(b))+" octets")
	}
	if last := b[0] == 0; !last && PayloadType(b[0]) != more || last != (n == len(b)) {
		return nil, nil, syntaxError(PayloadSA, off, "wrong next payload "+strconv.Itoa(int(b[0])))
	}
	return b[:n:n], b[n:], nil
}

func (p *SA) parse(body []byte) *ParseError {
	if len(body) < 8 {
		return syntaxError(PayloadSA, len(body), "no DOI and situation")
	}
	p.DOI, p.Situation = DOI(binary.BigEndian.Uint32(body)), Situation(binary.BigEndian.Uint32(body[4:]))
	if p.DOI != DOIIPsec {
		return &ParseError{Payload: PayloadSA, Err: ErrDOI, Reason: p.DOI.String()}
	}
	if p.Situation == 0 || p.Situation&^(SituationIdentityOnly|SituationSecrecy|SituationIntegrity) != 0 {
		return &ParseError{Payload: PayloadSA, Offset: 4, Err: ErrSituation, Reason: p.Situation.String()}
	}
	start := 8
	if p.Situation&(SituationSecrecy|SituationIntegrity) != 0 {
		p.Labels = new(Labels)
		n, e := p.Labels.parse(body[8:], p.Situation)
		if e != nil {
			return e.at(8)
		}
		start += n
	}

	// First pass: sound, and how many; then one slice of each kind.
	proposals, transforms, attributes := 0, 0, 0
	for rest := body[start:]; len(rest) > 0; proposals++ {
		off := len(body) - len(rest)
		if proposals == MaxProposals {
			return syntaxError(PayloadSA, off, "more than "+strconv.Itoa(MaxProposals)+" proposals")
		}
		sub, next, e := substructure(rest, off, PayloadProposal)
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
			t, tnext, e := substructure(ts, toff, PayloadTransform)
			if e != nil {
				return e
			}
			n, e := countAttributes(PayloadSA, t[transformLen:], toff+transformLen, MaxAttributes)
			if e != nil {
				return e
			}
			attributes += n
			ts = tnext
		}
		if count != int(sub[7]) {
			return syntaxError(PayloadSA, off+7, "says "+strconv.Itoa(int(sub[7]))+" transforms, has "+strconv.Itoa(count))
		}
		transforms += count
		rest = next
	}
	if proposals == 0 {
		return syntaxError(PayloadSA, start, "no proposals")
	}

	p.Proposals = make([]Proposal, 0, proposals)
	allT := make([]Transform, 0, transforms)
	allA := make([]Attribute, 0, attributes)
	for rest := body[start:]; len(rest) > 0; {
		n := int(binary.BigEndian.Uint16(rest[2:]))
		sub := rest[:n:n]
		rest = rest[n:]
		spi := int(sub[6])
		tstart := len(allT)
		for ts := sub[proposalLen+spi:]; len(ts) > 0; {
			n := int(binary.BigEndian.Uint16(ts[2:]))
			astart := len(allA)
			allA = appendAttributes(allA, ts[transformLen:n:n])
			t := Transform{Num: ts[4], ID: ts[5]}
			if len(allA) > astart {
				t.Attributes = allA[astart:len(allA):len(allA)]
			}
			allT = append(allT, t)
			ts = ts[n:]
		}
		prop := Proposal{Num: sub[4], Protocol: spd.Protocol(sub[5])}
		if len(allT) > tstart {
			prop.Transforms = allT[tstart:len(allT):len(allT)]
		}
		if spi > 0 {
			prop.SPI = sub[proposalLen : proposalLen+spi : proposalLen+spi]
		}
		p.Proposals = append(p.Proposals, prop)
	}
	return nil
}

// AppendBody appends the payload without its generic header: SAi_b of RFC
// 2409.
func (p SA) AppendBody(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(p.DOI))
	dst = binary.BigEndian.AppendUint32(dst, uint32(p.Situation))
	if p.Labels != nil {
		dst = p.Labels.append(dst, p.Situation)
	}
	for i := range p.Proposals {
		dst = p.Proposals[i].append(dst, i == len(p.Proposals)-1)
	}
	return dst
}

func (p *Proposal) append(dst []byte, last bool) []byte {
	start := len(dst)
	dst = append(dst, nextPayload(last, PayloadProposal), 0, 0, 0,
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
	dst = append(dst, nextPayload(last, PayloadTransform), 0, 0, 0, t.Num, t.ID, 0, 0)
	for i := range t.Attributes {
		dst = t.Attributes[i].append(dst)
	}
	binary.BigEndian.PutUint16(dst[start+2:], uint16(len(dst)-start))
	return dst
}

func nextPayload(last bool, more PayloadType) byte {
	if last {
		return 0
	}
	return byte(more)
}

func (p *SA) fault() string {
	if n := len(p.Proposals); n == 0 || n > MaxProposals {
		return strconv.Itoa(n) + " proposals"
	}
	if labelled := p.Situation&(SituationSecrecy|SituationIntegrity) != 0; labelled != (p.Labels != nil) {
		return "situation and labels do not fit"
	}
	if p.Labels != nil {
		if f := p.Labels.fault(); f != "" {
			return f
		}
	}
	for i := range p.Proposals {
		pr := &p.Proposals[i]
		if len(pr.SPI) > 255 || len(pr.Transforms) > 255 {
			return "proposal " + strconv.Itoa(int(pr.Num)) + ": SPI or transforms above 255"
		}
		for j := range pr.Transforms {
			t := &pr.Transforms[j]
			if n := len(t.Attributes); n > MaxAttributes {
				return strconv.Itoa(n) + " attributes"
			}
			size := 0
			for k := range t.Attributes {
				if f := t.Attributes[k].fault(); f != "" {
					return f
				}
				size += 4 + len(t.Attributes[k].Data)
			}
			if size > 0xff00 {
				return "attributes are too long"
			}
		}
	}
	return ""
}
