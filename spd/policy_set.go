package spd

import "hash/maphash"

// A PolicySet is the bookkeeping behind [DataPlane.SetPolicies]: who owns
// which policies, and what a change means for the SPD. Equal policies of
// several owners are one. The zero value is ready; it is not safe for
// concurrent use.
type PolicySet struct {
	owners map[Owner][]*ownedPolicy
	// byHash has each policy once, by its hash: as keys of a map they would
	// take twice the memory of the rest.
	byHash map[uint64]*ownedPolicy
	seed   maphash.Seed
	n      int
	sets   uint64 // calls of Set
}

// ownedPolicy is a policy and how many owners have it.
type ownedPolicy struct {
	Policy
	owners int
	set    uint64       // the call of Set that had it last
	next   *ownedPolicy // of the same hash
}

// A PolicyChange is what has to be done to an SPD. Whoever applies it adds
// first and removes then, so that a packet which both the old and the new
// policies protect is never without one.
type PolicyChange struct {
	Add, Remove []Policy

	// Previous are the owner's policies before. If the change cannot be
	// applied, Set with them takes it back.
	Previous []Policy

	added []*Policy // the set's own ones of Add, which never change
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
	if s.owners == nil {
		s.owners, s.byHash, s.seed = map[Owner][]*ownedPolicy{}, map[uint64]*ownedPolicy{}, maphash.MakeSeed()
	}
	s.sets++
	previous := s.owners[owner]
	var c PolicyChange
	own := make([]*ownedPolicy, 0, len(policies))
	for i := range policies {
		p := s.find(&policies[i])
		if p == nil {
			p = s.insert(&policies[i])
			c.Add = append(c.Add, p.Policy)
			c.added = append(c.added, &p.Policy)
		} else if p.set == s.sets {
			continue // given twice
		}
		p.set = s.sets
		p.owners++
		own = append(own, p)
	}
	for _, p := range previous {
		c.Previous = append(c.Previous, p.Policy)
		if p.owners--; p.owners == 0 {
			s.delete(p)
			c.Remove = append(c.Remove, p.Policy)
		}
	}
	if len(own) == 0 {
		delete(s.owners, owner)
	} else {
		s.owners[owner] = own
	}
	return c, nil
}

func (s *PolicySet) hash(p *Policy) uint64 { return maphash.Comparable(s.seed, *p) }

func (s *PolicySet) find(p *Policy) *ownedPolicy {
	if s.n == 0 {
		return nil
	}
	o := s.byHash[s.hash(p)]
	for o != nil && o.Policy != *p {
		o = o.next
	}
	return o
}

func (s *PolicySet) insert(p *Policy) *ownedPolicy {
	h := s.hash(p)
	o := &ownedPolicy{Policy: *p, next: s.byHash[h]}
	s.byHash[h] = o
	s.n++
	return o
}

func (s *PolicySet) delete(p *ownedPolicy) {
	s.n--
	h := s.hash(&p.Policy)
	if s.byHash[h] == p {
		if p.next == nil {
			delete(s.byHash, h)
		} else {
			s.byHash[h] = p.next
		}
		return
	}
	for o := s.byHash[h]; ; o = o.next {
		if o.next == p {
			o.next = p.next
			return
		}
	}
}

// Get returns the policies of one owner.
func (s *PolicySet) Get(owner Owner) []Policy {
	var list []Policy
	for _, p := range s.owners[owner] {
		list = append(list, p.Policy)
	}
	return list
}

// Has reports whether any owner has the policy.
func (s *PolicySet) Has(p Policy) bool { return s.find(&p) != nil }

// Len returns the number of different policies.
func (s *PolicySet) Len() int { return s.n }

// Owners returns the number of owners.
func (s *PolicySet) Owners() int { return len(s.owners) }
