package spd

import (
	"cmp"
	"slices"
)

// MaxSelectors is how many traffic selectors a TS payload can carry (RFC 7296
// 3.13).
const MaxSelectors = 255

// Narrow returns the traffic that is in both sets, in the order of offered
// (RFC 7296 2.9): the responder's answer for one of TSi and TSr. A selector
// that another one of the result contains is left out. Invalid selectors are
// ignored. The result has at most [MaxSelectors] entries; what comes after
// in the order of offered is dropped, which is narrowing too. It is nil if
// there is no common traffic.
func Narrow(offered, own []TrafficSelector) []TrafficSelector {
	var r []TrafficSelector
	for _, o := range offered {
		for _, w := range own {
			if both, ok := o.Intersect(w); ok {
				r = addSelector(r, both)
			}
		}
	}
	return r
}

// addSelector appends ts unless set has it, and removes what it contains.
func addSelector(set []TrafficSelector, ts TrafficSelector) []TrafficSelector {
	for _, s := range set {
		if s.Contains(ts) {
			return set
		}
	}
	set = slices.DeleteFunc(set, ts.Contains)
	if len(set) == MaxSelectors {
		return set
	}
	return append(set, ts)
}

// Narrowed is the answer to an offer of traffic selectors.
type Narrowed struct {
	TSi, TSr []TrafficSelector

	// First: the first selectors of TSi and TSr, which tell the packet that
	// made the initiator ask, are accepted as a whole (RFC 7296 2.9).
	First bool
	// All: nothing of the offer was taken away.
	All bool
}

// NarrowPair narrows the offered TSi and TSr to the policy ownI and ownR (the
// traffic that the responder accepts for the initiator's side and for its
// own), and leaves out selectors that have no partner of their address family
// and protocol on the other side. It reports false if no traffic is left:
// the responder then answers TS_UNACCEPTABLE.
//
// Whoever has several policies takes the one whose result says First, else
// the first with a result; see [Narrowed.Single] for peers with which each
// Child SA has one selector pair.
func NarrowPair(tsi, tsr, ownI, ownR []TrafficSelector) (Narrowed, bool) {
	n := Narrowed{TSi: Narrow(tsi, ownI), TSr: Narrow(tsr, ownR)}
	// A selector dropped for want of a partner is nobody's only partner: the
	// relation is symmetric, so one round each is enough.
	before := len(n.TSi) + len(n.TSr)
	i := slices.Clone(n.TSi)
	n.TSi = slices.DeleteFunc(n.TSi, func(ts TrafficSelector) bool { return !slices.ContainsFunc(n.TSr, ts.pairs) })
	n.TSr = slices.DeleteFunc(n.TSr, func(ts TrafficSelector) bool { return !slices.ContainsFunc(i, ts.pairs) })
	if len(n.TSi) == 0 || len(n.TSr) == 0 {
		return Narrowed{}, false
	}
	n.First = Covers(n.TSi, tsi[0]) && Covers(n.TSr, tsr[0]) && tsi[0].pairs(tsr[0])
	// Against the own policy rather than the result, which a peer can make long.
	n.All = len(n.TSi)+len(n.TSr) == before && len(n.TSi) < MaxSelectors && len(n.TSr) < MaxSelectors &&
		coversAll(ownI, tsi) && coversAll(ownR, tsr)
	return n, true
}

// Single reduces n to one selector pair, for a policy or a peer that takes
// one pair for each Child SA: the pair with the initiator's first choice when
// it is accepted, else the first that fits together. More reports that
// other pairs would have been acceptable (ADDITIONAL_TS_POSSIBLE).
func (n Narrowed) Single(tsi, tsr []TrafficSelector) (s Narrowed, more bool) {
	s = n
	more = len(n.TSi) > 1 || len(n.TSr) > 1
	s.All = n.All && !more
	if n.First {
		for _, i := range n.TSi {
			for _, r := range n.TSr {
				if i.pairs(r) && i.Contains(tsi[0]) && r.Contains(tsr[0]) {
					s.TSi, s.TSr = []TrafficSelector{i}, []TrafficSelector{r}
					return s, more
				}
			}
		}
	}
	s.First = false
	for _, i := range n.TSi {
		for _, r := range n.TSr {
			if i.pairs(r) {
				s.TSi, s.TSr = []TrafficSelector{i}, []TrafficSelector{r}
				return s, more
			}
		}
	}
	return s, more
}

// Covers reports whether all traffic of ts belongs to the set, be it to
// several of its selectors together. It is what a rekeyed Child SA must do
// with the selectors of the old one (RFC 7296 2.9.2), and an initiator's
// offer with the responder's answer.
func Covers(set []TrafficSelector, ts TrafficSelector) bool {
	if ts.Valid() != nil {
		return false
	}
	var parts []addrPorts
	for _, s := range set {
		if s.Contains(ts) {
			return true
		}
		// A selector of a narrower protocol covers no part of ts: there is no
		// list of all protocols which together would be any.
		if s.Protocol == 0 || s.Protocol == ts.Protocol {
			if p, ok := s.Intersect(ts); ok {
				parts = append(parts, addrPorts{toAddr128(p.First), toAddr128(p.Last), p.Ports})
			}
		}
	}
	// Walk along the addresses from one edge of a part to the next; between two
	// edges the same parts apply to every address. In the order of their first
	// ports, the parts of such a stretch tell in one pass whether they leave a
	// hole.
	slices.SortFunc(parts, func(a, b addrPorts) int { return cmp.Compare(a.ports.First, b.ports.First) })
	last := toAddr128(ts.Last)
	for at := toAddr128(ts.First); ; {
		end := last // of the stretch that begins at 'at'
		next := uint32(ts.Ports.First)
		whole, opaque := false, false
		for i := range parts {
			p := &parts[i]
			if at.less(p.first) {
				if e := p.first.prev(); e.less(end) {
					end = e
				}
				continue
			}
			if p.last.less(at) {
				continue
			}
			if p.last.less(end) {
				end = p.last
			}
			switch {
			case p.ports == ts.Ports:
				whole = true
			case p.ports == OpaquePort:
				opaque = true
			case uint32(p.ports.First) <= next:
				next = max(next, uint32(p.ports.Last)+1)
			}
		}
		if whole = whole || next > uint32(ts.Ports.Last) && (opaque || ts.Ports != AnyPort) && ts.Ports != OpaquePort; !whole {
			return false
		}
		if end == last {
			return true
		}
		at = end.next()
	}
}

// addrPorts is what Covers works on.
type addrPorts struct {
	first, last addr128
	ports       PortRange
}

// CoversSet reports whether the set covers all of the others.
func CoversSet(set, others []TrafficSelector) bool { return coversAll(set, others) }

func coversAll(set, others []TrafficSelector) bool {
	for _, o := range others {
		if !Covers(set, o) {
			return false
		}
	}
	return true
}

// Merge returns the selectors of all sets in order, without those that
// another one contains, at most [MaxSelectors].
func Merge(sets ...[]TrafficSelector) []TrafficSelector {
	var r []TrafficSelector
	for _, set := range sets {
		for _, ts := range set {
			if ts.Valid() == nil {
				r = addSelector(r, ts)
			}
		}
	}
	return r
}
