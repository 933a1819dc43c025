package ikev1

import "slices"

// Warnings tells what an operator should know about a configuration that is
// valid: what it gives away. The errors name the risk.
func (p *Peer) Warnings() (all []error) {
	psk := slices.ContainsFunc(p.policy(false).methods, func(m AuthMethod) bool { return m.Base() == AuthPSK })
	if psk && p.accepts(AggressiveMode) {
		all = append(all, errAggressivePSK)
	}
	return all
}
