package core

import (
	"slices"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/spd"
)

// deflate is the only IPComp transform in use (RFC 2394).
const deflate = 2

// Compresses reports whether IPComp is offered and accepted for a Child: it is
// configured, the data plane has it, and a tunnel has packets of one address
// family, its own, alone. No kernel finds the SAs of a bundle for others.
func (s *Session) Compresses(c *ike.ChildConfig, caps spd.Capabilities) bool {
	if !c.IPComp || !slices.Contains(caps.IPComp, deflate) {
		return false
	}
	if c.Mode == spd.ModeTransport {
		return true
	}
	outer4 := s.LocalAddr().Is4()
	local, remote := s.OfferedSelectors(c)
	return !slices.ContainsFunc(slices.Concat(local, remote), func(ts spd.TrafficSelector) bool { return ts.Is4() != outer4 })
}
