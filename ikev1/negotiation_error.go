package ikev1

import (
	"fmt"
	"slices"
	"strings"

	"github.com/racoon3/racoon/spd"
)

// A NegotiationError says why no offered transform was accepted, in phase 1 or
// in Quick Mode. It wraps [spd.ErrNoProposalChosen].
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
		b.WriteString(clip(m.String()))
	}
	for _, l := range []struct {
		title string
		texts []string
	}{{"offered", e.Offered}, {"wanted", e.Wanted}} {
		fmt.Fprintf(&b, " [%s: ", l.title)
		for i, s := range l.texts {
			if i == maxTexts {
				fmt.Fprintf(&b, ", %d more", len(l.texts)-i)
				break
			}
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(clip(s))
		}
		if len(l.texts) == 0 {
			b.WriteString("nothing")
		}
		b.WriteString("]")
	}
	return b.String()
}

// maxTexts bounds how much of an offer an error shows.
const maxTexts = 6

func clip(s string) string {
	if len(s) > 240 {
		return s[:237] + "..."
	}
	return s
}

// nearer reports whether a transform with n mismatches comes nearer than those
// before.
func (e *NegotiationError) nearer(n int) bool { return e.Transform < 0 || n < len(e.Mismatches) }

// names joins what a list of alternatives is called, each once.
func names[T fmt.Stringer](all []T) string {
	var out []string
	for _, x := range all {
		if s := x.String(); !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	if len(out) == 0 {
		return "none"
	}
	return strings.Join(out, ", ")
}
