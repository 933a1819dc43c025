package ikev1

import (
	"fmt"
	"slices"
)

// Warnings tells what an operator should know about a configuration that is
// valid: what it gives away. The errors name the risk.
func (p *Peer) Warnings() (all []error) {
	psk := slices.ContainsFunc(p.policy(false).methods, func(m AuthMethod) bool { return m.Base() == AuthPSK })
	if psk && p.accepts(AggressiveMode) {
		all = append(all, errAggressivePSK)
	}
	for _, g := range p.PrivateGroups {
		if g.Bits() < 2048 {
			all = append(all, fmt.Errorf("private group %v: less than 2048 bits are no longer enough (RFC 8247 2.4)", g))
		}
	}
	return all
}
