package ike

// ProposalCheck says what a responder makes of an offered lifetime that is not
// its own. Everything else that is negotiated, key lengths included, has to be
// equal at every level.
type ProposalCheck uint8

const (
	// CheckClaim takes a lifetime that is not longer than the own one; of a
	// longer one it uses the own, and says so by a RESPONDER-LIFETIME
	// notification where there is room for it (Quick Mode). It is the default:
	// peers' lifetimes differ, and nobody is worse off.
	CheckClaim ProposalCheck = iota
	// CheckObey takes whatever is offered.
	CheckObey
	// CheckStrict takes a lifetime that is not longer than the own one, and
	// refuses others.
	CheckStrict
	// CheckExact takes an equal lifetime only.
	CheckExact
)

func (c ProposalCheck) String() string {
	switch c {
	case CheckStrict:
		return "strict"
	case CheckObey:
		return "obey"
	case CheckClaim:
		return "claim"
	case CheckExact:
		return "exact"
	}
	return "unknown"
}
