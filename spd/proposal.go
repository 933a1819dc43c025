package spd

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A Proposal is what one side would accept for an IKE SA or for one protocol
// of a Child SA: any one transform of each type that it lists, in order of
// preference (RFC 7296 3.3). Its number and SPI on the wire are not part of
// it.
type Proposal struct {
	Protocol   Protocol
	Transforms []Transform
}

// ErrProposal is what all errors about proposals that are wrong in
// themselves wrap.
var ErrProposal = errors.New("spd: invalid proposal")

// TransformIDUnacceptable is the ID to give to an offered transform that
// carries an attribute one does not understand: it keeps its place and type,
// and is never selected (RFC 7296 3.3.6).
const TransformIDUnacceptable uint16 = 65535

// typesOf tells which transform types a protocol must and may have (RFC 7296
// 3.3.3). INTEG is seen to apart, as it hangs on ENCR.
func typesOf(p Protocol) (mandatory, optional []TransformType) {
	switch p {
	case ProtoIKE:
		return []TransformType{TransformENCR, TransformPRF, TransformKE}, []TransformType{TransformINTEG}
	case ProtoESP:
		return []TransformType{TransformENCR, TransformESN}, []TransformType{TransformINTEG, TransformKE}
	case ProtoAH:
		return []TransformType{TransformINTEG, TransformESN}, []TransformType{TransformKE}
	}
	return nil, nil
}

// Valid returns nil if the proposal can be offered and selected from, else
// an error that wraps [ErrProposal]: a mandatory transform type is missing or
// a type does not belong to the protocol (RFC 7296 3.3.3), a transform is
// unknown or has a wrong key length, ciphers with and without an integrity
// algorithm of their own are mixed (RFC 5282 8), or there is a double.
func (p Proposal) Valid() error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s: %s", ErrProposal, p.Protocol, fmt.Sprintf(format, args...))
	}
	mandatory, optional := typesOf(p.Protocol)
	if mandatory == nil {
		return fail("no protocol that is negotiated by proposals")
	}
	for i, t := range p.Transforms {
		if !slices.Contains(mandatory, t.Type) && !slices.Contains(optional, t.Type) && !(t.Type >= TransformADDKE1 && t.Type <= TransformADDKE7) {
			return fail("%v does not belong here", t.Type)
		}
		a := known(t.Type, t.ID)
		switch {
		case t.Type == TransformKE && t.ID >= FirstPrivateKE:
			// What it is the peers know.
		case a == nil:
			return fail("%v is unknown", t)
		case a.only != 0 && a.only != p.Protocol:
			return fail("%v is for %v only", t, a.only)
		case a.word == "" && !(t.Type == TransformINTEG && t.ID == IntegNone):
			return fail("%v is not supported, but %s", t, strings.Join(wordsOf(p.Protocol, t.Type), ", "))
		case len(a.keyLens) == 0 && t.KeyLen != 0:
			return fail("%s has no key length", a.name)
		case len(a.keyLens) > 0 && !slices.Contains(a.keyLens, t.KeyLen):
			return fail("%s has keys of %v bits, not of %d", a.name, a.keyLens, t.KeyLen)
		case slices.Contains(p.Transforms[:i], t):
			return fail("%v is there twice", t)
		}
	}
	for _, t := range mandatory {
		if !p.has(t) {
			return fail("no %v transform", t)
		}
	}
	if p.Protocol == ProtoIKE && p.hasID(TransformKE, KENone) {
		return fail("an IKE SA needs a key exchange, NONE will not do")
	}
	if p.Protocol == ProtoAH {
		if p.hasID(TransformINTEG, IntegNone) {
			return fail("AH needs an integrity algorithm, NONE will not do")
		}
		return nil
	}
	combined, plain := 0, 0
	for _, t := range p.Transforms {
		if t.Type == TransformENCR && IsCombinedMode(t) {
			combined++
		} else if t.Type == TransformENCR {
			plain++
		}
	}
	integ := 0
	for _, t := range p.Transforms {
		if t.Type == TransformINTEG && t.ID != IntegNone {
			integ++
		}
	}
	switch {
	case combined > 0 && plain > 0:
		return fail("combined-mode ciphers and others need proposals of their own")
	case combined > 0 && integ > 0:
		return fail("combined-mode ciphers go without an integrity algorithm")
	case plain > 0 && (integ == 0 || p.hasID(TransformINTEG, IntegNone)):
		return fail("%v needs an integrity algorithm", p.first(TransformENCR))
	}
	return nil
}

// Get returns the first transform of a type. In a selected proposal it is the
// only one.
func (p Proposal) Get(t TransformType) (Transform, bool) {
	for _, x := range p.Transforms {
		if x.Type == t {
			return x, true
		}
	}
	return Transform{}, false
}

// KeyExchange returns the first key exchange method; KENone if there is none.
func (p Proposal) KeyExchange() uint16 { return p.first(TransformKE).ID }

// ESN reports whether the first choice is 64-bit sequence numbers.
func (p Proposal) ESN() bool { return p.first(TransformESN).ID == ESNExtended }

// All returns the transforms of one type in order of preference.
func (p Proposal) All(t TransformType) []Transform { return p.appendAll(nil, t) }

func (p Proposal) appendAll(dst []Transform, t TransformType) []Transform {
	for _, x := range p.Transforms {
		if x.Type == t {
			dst = append(dst, x)
		}
	}
	return dst
}

// Equal reports whether both have the same transforms in the same order.
func (p Proposal) Equal(o Proposal) bool {
	return p.Protocol == o.Protocol && slices.Equal(p.Transforms, o.Transforms)
}

// Clone returns a copy that shares nothing with p.
func (p Proposal) Clone() Proposal {
	p.Transforms = slices.Clone(p.Transforms)
	return p
}

// WithKE returns p with these key exchange methods in place of its own:
// for a Child SA, perfect forward secrecy. Without groups there is none, as
// in the IKE_AUTH exchange, whose Child SA has no key exchange of its own
// (RFC 7296 1.2); additional key exchanges are removed then too.
func (p Proposal) WithKE(groups ...uint16) Proposal {
	r := Proposal{Protocol: p.Protocol}
	for _, t := range p.Transforms {
		if t.Type != TransformKE && (len(groups) > 0 || !isKE(t.Type)) {
			r.Transforms = append(r.Transforms, t)
		}
	}
	for _, g := range groups {
		r.Transforms = append(r.Transforms, Transform{Type: TransformKE, ID: g})
	}
	return r
}

// Weak returns the transforms that should no longer be used; see [Weak].
func (p Proposal) Weak() []Transform {
	return slices.DeleteFunc(slices.Clone(p.Transforms), func(t Transform) bool { return Weak(t) == "" })
}

func (p Proposal) first(t TransformType) Transform {
	x, _ := p.Get(t)
	return x
}

func (p Proposal) has(t TransformType) bool {
	_, ok := p.Get(t)
	return ok
}

func (p Proposal) hasID(t TransformType, id uint16) bool {
	return slices.ContainsFunc(p.Transforms, func(x Transform) bool { return x.Type == t && x.ID == id })
}

// KEGroups returns all key exchange methods that the proposals name, in
// order, NONE excepted.
func KEGroups(ps []Proposal) []uint16 {
	var r []uint16
	for _, p := range ps {
		for _, t := range p.Transforms {
			if t.Type == TransformKE && t.ID != KENone && !slices.Contains(r, t.ID) {
				r = append(r, t.ID)
			}
		}
	}
	return r
}

// A Removed transform is one that a data plane cannot install.
type Removed struct {
	Proposal  int // its index in the list given to RestrictTo
	Transform Transform
}

// RestrictTo takes out of proposals what a data plane cannot install, so
// that nothing is negotiated which will not work. A proposal that has no
// choice left for a type is left out as a whole. Proposals for IKE SAs are
// returned as they are.
func RestrictTo(caps Capabilities, proposals []Proposal) (kept []Proposal, removed []Removed) {
	for i, p := range proposals {
		if p.Protocol == ProtoIKE {
			kept = append(kept, p)
			continue
		}
		q := Proposal{Protocol: p.Protocol}
		for _, t := range p.Transforms {
			if isKE(t.Type) || caps.Supports(p.Protocol, t) {
				q.Transforms = append(q.Transforms, t)
			} else {
				removed = append(removed, Removed{i, t})
			}
		}
		if !slices.ContainsFunc(p.Transforms, func(t Transform) bool { return !q.has(t.Type) }) {
			kept = append(kept, q)
		}
	}
	return kept, removed
}
