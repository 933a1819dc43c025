package spd

import "slices"

// A PolicySet is the bookkeeping behind [DataPlane.SetPolicies]: who owns
// which policies, and what a change means for the SPD. Equal policies of
// several owners are one. The zero value is ready; it is not safe for
// concurrent use.
type PolicySet struct {
	owners map[Owner][]Policy
	refs   map[Policy]int
}

// A PolicyChange is what has to be done to an SPD. Whoever applies it adds
// first and removes then, so that a packet which both the old and the new
// policies protect is never without one.
type PolicyChange struct {
	Add, Remove []Policy

	// Previous are the owner's policies before. If the change cannot be
	// applied, Set with them takes it back.
	Previous []Policy
}

// Set replaces the policies of one owner; none removes the owner. It returns
// the difference for the SPD, in the order given. A policy that is invalid is
// an error, and then nothing is changed.
func (s *PolicySet) Set(owner Owner, policies []Policy) (PolicyChange, error) {
	for i := range policies {
		if err := policies[i].Valid(); err != nil {
			return PolicyChange{}, err
		}
	}
	if s.refs == nil {
		s.owners, s.refs = map[Owner][]Policy{}, map[Policy]int{}
	}
	c := PolicyChange{Previous: s.owners[owner]}
	own := make([]Policy, 0, len(policies))
	seen := make(map[Policy]bool, len(policies))
	for _, p := range policies {
		if seen[p] {
			continue
		}
		seen[p] = true
		own = append(own, p)
		if s.refs[p]++; s.refs[p] == 1 {
			c.Add = append(c.Add, p)
		}
	}
	for _, p := range c.Previous {
		if s.refs[p]--; s.refs[p] == 0 {
			delete(s.refs, p)
			c.Remove = append(c.Remove, p)
		}
	}
	if len(own) == 0 {
		delete(s.owners, owner)
	} else {
		s.owners[owner] = own
	}
	return c, nil
}

// Get returns the policies of one owner.
func (s *PolicySet) Get(owner Owner) []Policy { return slices.Clone(s.owners[owner]) }

// Has reports whether any owner has the policy.
func (s *PolicySet) Has(p Policy) bool { return s.refs[p] > 0 }

// Len returns the number of different policies.
func (s *PolicySet) Len() int { return len(s.refs) }

// Owners returns the number of owners.
func (s *PolicySet) Owners() int { return len(s.owners) }
