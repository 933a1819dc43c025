package quickmode

import (
	"fmt"
	"slices"
	"strings"

	"github.com/racoon3/racoon/ike"
)

// MaxTexts bounds how much of an offer an error collects.
const MaxTexts = 6

// Nearer reports whether a transform with n mismatches comes nearer than those
// before.
func Nearer(e *ike.NegotiationError, n int) bool { return e.Transform < 0 || n < len(e.Mismatches) }

// Names joins what a list of alternatives is called, each once.
func Names[T fmt.Stringer](all []T) string {
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

func mismatch(attribute, offered, wanted string) ike.Mismatch {
	return ike.Mismatch{Attribute: attribute, Offered: offered, Wanted: wanted}
}
