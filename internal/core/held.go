package core

import "maps"

// Held is all that a Core holds, for tests that look for leaks.
type Held struct {
	Jobs, Timers int
	HalfOpen     int
	Addresses    int // that have half-open responders
	ChildSAs     int
	SAs          map[SAKey]bool // installed ones that events are dispatched by
}

// Held returns what the core holds.
func (c *Core) Held() Held {
	h := Held{Jobs: len(c.jobs), Timers: c.timers.Len(), HalfOpen: c.halfOpen, Addresses: len(c.perIP), ChildSAs: c.childSAs,
		SAs: make(map[SAKey]bool, len(c.owners))}
	for k := range maps.Keys(c.owners) {
		h.SAs[k] = true
	}
	return h
}
