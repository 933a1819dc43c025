package spd

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// SelectOptions direct [Select].
type SelectOptions struct {
	// PreferOffered takes the initiator's order of preference instead of one's
	// own, for proposals and for transforms within one.
	PreferOffered bool

	// KE is the key exchange method that the initiator has sent a KE payload
	// for. It is preferred to other methods of the same proposal, which would
	// cost a round trip (INVALID_KE_PAYLOAD). KENone for no preference.
	KE uint16

	// NoKE: the exchange has no place for a key exchange (the Child SA of
	// IKE_AUTH, RFC 7296 1.2); methods are ignored on both sides, and none is
	// selected.
	NoKE bool

	// OptionalKE are methods that are accepted where the own proposal has
	// none: for a Child SA, perfect forward secrecy only if the initiator wants
	// it.
	OptionalKE []uint16
}

// Selected is the outcome of [Select].
type Selected struct {
	// Proposal has exactly one transform of each type. A type whose choice is
	// NONE (no key exchange, no integrity algorithm) is there if and only if it
	// was offered.
	Proposal
	OfferedIndex, OwnIndex int // the proposals it was selected from
}

// ErrNoProposalChosen is what a failed negotiation of algorithms wraps.
var ErrNoProposalChosen = errors.New("spd: no proposal chosen")

// A NegotiationError says why there is no common proposal. It wraps
// [ErrNoProposalChosen].
type NegotiationError struct {
	Offered, Wanted []Proposal

	// OfferedIndex and OwnIndex are the pair of proposals that came nearest,
	// and Mismatches what did not fit between them. Without such a pair (nothing
	// offered for this protocol) the indices are -1.
	OfferedIndex, OwnIndex int
	Mismatches             []Mismatch
}

// A Mismatch is a transform type for which two proposals have nothing in
// common.
type Mismatch struct {
	Type            TransformType
	Offered, Wanted []Transform // empty: the side has no transform of this type
}

func (m Mismatch) String() string {
	names := func(ts []Transform) string {
		if len(ts) == 0 {
			return "none"
		}
		var s []string
		for i, t := range ts {
			if i == 8 {
				s = append(s, fmt.Sprintf("%d more", len(ts)-i))
				break
			}
			s = append(s, t.String())
		}
		return strings.Join(s, ", ")
	}
	return fmt.Sprintf("%v: offered %s; wanted %s", m.Type, names(m.Offered), names(m.Wanted))
}

func (e *NegotiationError) Unwrap() error { return ErrNoProposalChosen }

// Error tells the mismatch of the nearest pair, then all that was offered and
// wanted. It is bounded in length.
func (e *NegotiationError) Error() string {
	var b strings.Builder
	b.WriteString(ErrNoProposalChosen.Error())
	for i, m := range e.Mismatches {
		if i == 8 {
			fmt.Fprintf(&b, "; %d more", len(e.Mismatches)-i)
			break
		}
		b.WriteString([]string{": ", "; "}[min(i, 1)])
		b.WriteString(m.String())
	}
	list := func(title string, ps []Proposal) {
		fmt.Fprintf(&b, " [%s", title)
		for i, p := range ps {
			if i == 4 {
				fmt.Fprintf(&b, ", %d more", len(ps)-i)
				break
			}
			s := p.String()
			if len(s) > 200 {
				s = s[:197] + "..."
			}
			fmt.Fprintf(&b, "%s %v:%s", []string{":", ","}[min(i, 1)], p.Protocol, s)
		}
		if len(ps) == 0 {
			b.WriteString(" nothing")
		}
		b.WriteString("]")
	}
	list("offered", e.Offered)
	list("wanted", e.Wanted)
	return b.String()
}

// Select is the responder's choice from the offered proposals (RFC 7296
// 3.3.6): the first pair, in order of preference, of an offered proposal and
// one of the own which have a transform of every type in common. Types that a
// proposal leaves out count as NONE where the protocol allows. Offered
// proposals with a transform type that is unknown, or without a mandatory
// one, are passed over; so are transforms that are unknown. The own ones
// should be Valid.
//
// Both lists may hold several protocols. The error is a [NegotiationError].
func Select(offered, own []Proposal, opt SelectOptions) (Selected, error) {
	fail := &NegotiationError{Offered: offered, Wanted: own, OfferedIndex: -1, OwnIndex: -1}
	outer, inner := len(own), len(offered)
	if opt.PreferOffered {
		outer, inner = inner, outer
	}
	for x := range outer {
		for y := range inner {
			i, j := y, x // offered, own
			if opt.PreferOffered {
				i, j = x, y
			}
			if offered[i].Protocol != own[j].Protocol {
				continue
			}
			chosen, mismatches := match(offered[i], own[j], opt)
			if mismatches == nil {
				return Selected{chosen, i, j}, nil
			}
			if fail.OwnIndex < 0 || len(mismatches) < len(fail.Mismatches) {
				fail.OfferedIndex, fail.OwnIndex, fail.Mismatches = i, j, mismatches
			}
		}
	}
	return Selected{}, fail
}

// match selects one transform of each type, or tells which types do not fit.
func match(offered, own Proposal, opt SelectOptions) (Proposal, []Mismatch) {
	chosen := Proposal{Protocol: own.Protocol}
	var bad []Mismatch
	var used []uint16 // key exchange methods already chosen: none serves twice (RFC 9370 2.2.1)
	var types [usualTypes]TransformType
	var t1, t2 [usualTransforms]Transform
	for _, typ := range sortedTypes(types[:0], offered, own) {
		if opt.NoKE && isKE(typ) {
			continue
		}
		theirs, ours := offered.appendAll(t1[:0], typ), own.appendAll(t2[:0], typ)
		if typ == TransformKE && len(ours) == 0 {
			ours = append(transforms(TransformKE, KENone), transforms(TransformKE, opt.OptionalKE...)...)
			if opt.KE != KENone {
				// The initiator asks for perfect forward secrecy: it shall have it.
				ours = append(transforms(TransformKE, opt.OptionalKE...), Transform{Type: TransformKE})
			}
		}
		t, ok := pick(typ, theirs, ours, own.Protocol, chosen, opt, used)
		if !ok {
			bad = append(bad, Mismatch{typ, offered.All(typ), own.All(typ)})
			continue
		}
		if isKE(typ) && t.ID != KENone {
			used = append(used, t.ID)
		}
		if len(theirs) > 0 {
			chosen.Transforms = append(chosen.Transforms, t)
		}
	}
	if bad != nil {
		return Proposal{}, bad
	}
	return chosen, nil
}

// Usual numbers of transform types in two proposals, and of transforms of one
// type: for so many there is memory on the stack.
const (
	usualTypes      = 8
	usualTransforms = 16
)

// sortedTypes appends to dst the transform types in either proposal and those
// that the protocol must have, ENCR first, as INTEG hangs on it.
func sortedTypes(dst []TransformType, a, b Proposal) []TransformType {
	var present [256]bool
	mandatory, _ := typesOf(a.Protocol)
	for _, t := range mandatory {
		present[t] = true
	}
	for _, p := range [2]Proposal{a, b} {
		for _, t := range p.Transforms {
			present[t.Type] = true
		}
	}
	for t, there := range present {
		if there {
			dst = append(dst, TransformType(t))
		}
	}
	return dst
}

func pick(typ TransformType, theirs, ours []Transform, p Protocol, chosen Proposal, opt SelectOptions, used []uint16) (Transform, bool) {
	mandatory, optional := typesOf(p)
	needed := slices.Contains(mandatory, typ)
	if !needed && !slices.Contains(optional, typ) && !isKE(typ) || needed && len(theirs) == 0 {
		return Transform{}, false // unknown type, or a mandatory one is missing
	}
	// An optional type that is left out is NONE.
	none := []Transform{{Type: typ}}
	if len(theirs) == 0 {
		theirs = none
	}
	if len(ours) == 0 {
		ours = none
	}
	fits := func(t Transform) bool {
		switch {
		case t.ID == TransformIDUnacceptable:
			return false
		case typ == TransformINTEG && chosen.has(TransformENCR):
			// The cipher decides: both lists may hold NONE and others. Where no
			// cipher fits, only that shall be reported.
			return (t.ID == IntegNone) == IsCombinedMode(chosen.first(TransformENCR))
		case isKE(typ) && t.ID != KENone:
			return !slices.Contains(used, t.ID)
		}
		return true
	}
	if typ == TransformKE && opt.KE != KENone {
		t := Transform{Type: TransformKE, ID: opt.KE}
		if slices.Contains(theirs, t) && slices.Contains(ours, t) {
			return t, true
		}
	}
	first, second := ours, theirs
	if opt.PreferOffered {
		first, second = theirs, ours
	}
	for _, t := range first {
		if slices.Contains(second, t) && fits(t) {
			return t, true
		}
	}
	return Transform{}, false
}

// CheckSelected is the initiator's check of the responder's choice (RFC 7296
// 3.3.6): it must have one transform of each type, all from one and the same
// proposal that was offered, with nothing left out but NONE. It returns the
// index of that proposal. Proposal numbers do not matter. Anything else is a
// downgrade or nonsense; the error, a [NegotiationError], has the roles the
// other way round: Wanted is what we offered, Offered what came back.
func CheckSelected(own []Proposal, selected Proposal) (int, error) {
	var fail *NegotiationError
	failed := func() *NegotiationError {
		if fail == nil {
			fail = &NegotiationError{Offered: []Proposal{selected}, Wanted: own, OfferedIndex: -1, OwnIndex: -1}
		}
		return fail
	}
	for i, p := range own {
		if p.Protocol != selected.Protocol {
			continue
		}
		bad := checkAgainst(p, selected)
		if bad == nil {
			return i, nil
		}
		if fail := failed(); fail.OwnIndex < 0 || len(bad) < len(fail.Mismatches) {
			fail.OfferedIndex, fail.OwnIndex, fail.Mismatches = 0, i, bad
		}
	}
	return -1, failed()
}

func checkAgainst(own, selected Proposal) (bad []Mismatch) {
	var types [usualTypes]TransformType
	var t1, t2 [usualTransforms]Transform
	for _, typ := range sortedTypes(types[:0], selected, own) {
		theirs, ours := selected.appendAll(t1[:0], typ), own.appendAll(t2[:0], typ)
		none := Transform{Type: typ}
		mandatory, _ := typesOf(own.Protocol)
		var ok bool
		switch {
		case len(theirs) == 1 && slices.Contains(ours, theirs[0]):
			// Among the additional key exchanges none serves twice.
			ok = true
			for _, t := range selected.Transforms {
				if isKE(typ) && isKE(t.Type) && t.Type != typ && t.ID == theirs[0].ID && t.ID != KENone {
					ok = false
				}
			}
		case slices.Contains(mandatory, typ):
		case len(theirs) == 0:
			ok = len(ours) == 0 || slices.Contains(ours, none)
		case len(theirs) == 1:
			ok = len(ours) == 0 && theirs[0] == none && (typ == TransformINTEG || isKE(typ))
		}
		if ok && typ == TransformINTEG && own.Protocol != ProtoAH {
			ok = (selected.first(TransformINTEG).ID == IntegNone) == IsCombinedMode(selected.first(TransformENCR))
		}
		if !ok {
			bad = append(bad, Mismatch{typ, selected.All(typ), own.All(typ)})
		}
	}
	return bad
}
