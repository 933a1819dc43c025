package ikev1

import "github.com/racoon3/racoon/ike"

// What both this package and its callers call by these names.
type (
	// NegotiationError says why no offered transform was accepted.
	NegotiationError = ike.NegotiationError
	// Mismatch is one attribute of it.
	Mismatch = ike.Mismatch
	// ProposalCheck says what a responder makes of an offered lifetime that is
	// not its own.
	ProposalCheck = ike.ProposalCheck
)

// The levels of ProposalCheck.
const (
	CheckClaim  = ike.CheckClaim
	CheckObey   = ike.CheckObey
	CheckStrict = ike.CheckStrict
	CheckExact  = ike.CheckExact
)

func mismatch(attribute, offered, wanted string) Mismatch {
	return Mismatch{Attribute: attribute, Offered: offered, Wanted: wanted}
}
