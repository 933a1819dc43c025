package ike

import (
	"fmt"
	"strings"

	"github.com/racoon3/racoon/spd"
)

// A NegotiationError says why no offered transform was accepted, in phase 1 of
// IKEv1, in its Quick Mode or in KINK. It wraps [spd.ErrNoProposalChosen].
type NegotiationError struct {
	// Proposal and Transform are the numbers, on the wire, of the transform that
	// came nearest, and Mismatches what did not fit. With none at all both are
	// -1.
	Proposal, Transform int
	Mismatches          []Mismatch
	Offered, Wanted     []string // what both sides have, as text
}

// A Mismatch is one attribute for which an offered transform and the own
// configuration have nothing in common.
type Mismatch struct {
	Attribute       string // "Hash-Algorithm", "Lifetime"
	Offered, Wanted string
}

func (m Mismatch) String() string {
	return fmt.Sprintf("%s: offered %s; wanted %s", m.Attribute, m.Offered, m.Wanted)
}

func (e *NegotiationError) Unwrap() error { return spd.ErrNoProposalChosen }

// Error tells the mismatches of the nearest transform, then all that was
// offered and wanted. It is bounded in length.
func (e *NegotiationError) Error() string {
	var b strings.Builder
	b.WriteString(spd.ErrNoProposalChosen.Error())
	if e.Transform >= 0 {
		fmt.Fprintf(&b, ": nearest was transform %d of proposal %d", e.Transform, e.Proposal)
	}
	for i, m := range e.Mismatches {
		if i == 8 {
			fmt.Fprintf(&b, "; %d more", len(e.Mismatches)-i)
			break
		}
		b.WriteString([]string{": ", "; "}[min(i, 1)])
		b.WriteString(clipText(m.String()))
	}
	for _, l := range []struct {
		title string
		texts []string
	}{{"offered", e.Offered}, {"wanted", e.Wanted}} {
		fmt.Fprintf(&b, " [%s: ", l.title)
		for i, s := range l.texts {
			if i == maxNegotiationTexts {
				fmt.Fprintf(&b, ", %d more", len(l.texts)-i)
				break
			}
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(clipText(s))
		}
		if len(l.texts) == 0 {
			b.WriteString("nothing")
		}
		b.WriteString("]")
	}
	return b.String()
}

// maxNegotiationTexts bounds how much of an offer an error shows.
const maxNegotiationTexts = 6

func clipText(s string) string {
	if len(s) > 240 {
		return s[:237] + "..."
	}
	return s
}
