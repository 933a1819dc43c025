package spd

import (
	"cmp"
	"hash/maphash"
	"iter"
	"math/bits"
	"slices"
)

// A PolicyTable is an SPD for looking up packets: an immutable snapshot, safe
// for any number of readers. [PolicyTable.With] makes the next snapshot and
// shares with it what does not change; a packet path keeps the current one in
// an atomic.Pointer. The nil *PolicyTable and its zero value are empty.
//
// How it works: policies are grouped by the prefix lengths of their two
// sides, and each group is a hash table of address pairs. A lookup probes the
// groups of its family one after the other, those that hold the first
// policies in precedence first, and stops as soon as no later group can
// hold a better match than the one found. A range that is no prefix is put
// under at most two prefixes, none twice as large as its part of the range.
// So the cost grows with the number of different prefix length pairs, not of
// policies; policies with the very same addresses are tried in turn.
type PolicyTable struct {
	groups [3][2][]*policyGroup // by direction and family (IPv4, IPv6); ascending in best
	count  int
	seq    uint64 // of the next policy
}

// rank is the precedence of a policy: lower is looked up first.
type rank struct {
	hi  uint64 // priority, specificity
	seq uint64 // order of installation
}

func (r rank) less(o rank) bool { return r.hi < o.hi || r.hi == o.hi && r.seq < o.seq }

// rankOf packs the priority, then the prefix lengths (longer first), then the
// number of ports (fewer first), then whether there is a protocol.
func rankOf(p *Policy, seq uint64) rank {
	width := func(r PortRange) uint64 {
		switch r {
		case OpaquePort:
			return 1
		case AnyPort:
			return 65537
		}
		return uint64(r.Last) - uint64(r.First) + 1
	}
	l, r := &p.Selector.Local, &p.Selector.Remote
	prefixes := uint64(l.SmallestPrefix().Bits() + r.SmallestPrefix().Bits())
	hi := uint64(p.Priority)<<32 | (256-prefixes)<<20 | (width(l.Ports)+width(r.Ports))<<1
	if l.Protocol == 0 && r.Protocol == 0 {
		hi |= 1
	}
	return rank{hi, seq}
}

// policyGroup holds the policies of one pair of prefix lengths. It is a hash
// table in pages, so that a change copies one page and the list of pages.
type policyGroup struct {
	localHost, remoteHost uint8 // host bits of each side
	is4                   bool
	best                  uint64 // no policy in it has a lower rank.hi
	entries               int
	cells                 int
	seed                  uint64
	pages                 []*policyPage // a power of two of them
}

const cellsPerPage = 64

type policyPage struct{ slots [cellsPerPage]*policyCell }

// policyCell is one pair of prefixes, with its policies in precedence.
type policyCell struct {
	local, remote addr128
	next          *policyCell
	entries       []policyEntry
}

type policyEntry struct {
	rank                    rank
	localFirst, localLast   addr128
	remoteFirst, remoteLast addr128
	localPorts, remotePorts PortRange
	localProto, remoteProto uint8
	policy                  *Policy
}

func familyIndex(is4 bool) int {
	if is4 {
		return 0
	}
	return 1
}

// NewPolicyTable returns a table of these policies; their order decides among
// equals. An invalid policy is an error.
func NewPolicyTable(policies []Policy) (*PolicyTable, error) {
	return (*PolicyTable)(nil).With(nil, policies)
}

// With returns a table without the policies of remove and with those of add,
// in this order. A policy that is there already is not added again and keeps
// its place; one that is not there is not removed. Its cost is that of the
// change, not of the table: some microseconds for each policy.
func (t *PolicyTable) With(remove, add []Policy) (*PolicyTable, error) {
	for i := range add {
		if err := add[i].Valid(); err != nil {
			return nil, err
		}
	}
	e := newTableEdit(t, len(add))
	for i := range remove {
		e.remove(&remove[i])
	}
	for i := range add {
		own := add[i]
		e.add(&own)
	}
	return e.finish(), nil
}

// Apply is With for a change that a [PolicySet] has returned. It takes half the
// memory: table and set share the policies.
func (t *PolicyTable) Apply(c PolicyChange) *PolicyTable {
	e := newTableEdit(t, len(c.added))
	for i := range c.Remove {
		e.remove(&c.Remove[i])
	}
	for _, p := range c.added {
		e.add(p)
	}
	return e.finish()
}

// Len returns the number of policies.
func (t *PolicyTable) Len() int {
	if t == nil {
		return 0
	}
	return t.count
}

// Lookup returns the policy for a packet, nil if none matches (RFC 4301 5.1,
// 5.2: it is then discarded). The flow's source is the Local side of Out
// policies and the Remote side of In and Forward ones. It allocates nothing;
// the policy belongs to the table and must not be changed.
func (t *PolicyTable) Lookup(d Direction, f *Flow) *Policy {
	best, _ := t.find(d, f)
	if best == nil {
		return nil
	}
	return best.policy
}

// LookupReqID is Lookup for a packet that came through an SA with a ReqID. Of
// policies that have the same selector and priority, as those of two sessions
// while one takes over from the other, it returns the one with that ReqID, and
// the first if none has it. What discards or bypasses keeps its precedence.
func (t *PolicyTable) LookupReqID(d Direction, f *Flow, reqID uint32) *Policy {
	best, cell := t.find(d, f)
	if best == nil {
		return nil
	}
	if a := best.policy.Action; best.policy.ReqID != reqID && (a == ActionProtect || a == ActionTrap) {
		for i := range cell.entries {
			p := cell.entries[i].policy
			if p.ReqID == reqID && p.Priority == best.policy.Priority && p.Selector == best.policy.Selector &&
				p.Mark == best.policy.Mark && p.InterfaceID == best.policy.InterfaceID {
				return p
			}
		}
	}
	return best.policy
}

// find returns the entry for a packet, and the cell that holds it.
func (t *PolicyTable) find(d Direction, f *Flow) (best *policyEntry, in *policyCell) {
	if t == nil || d > Forward || !f.Src.IsValid() || f.Src.BitLen() != f.Dst.BitLen() {
		return nil, nil
	}
	local, remote := toAddr128(f.Dst), toAddr128(f.Src)
	if d == Out {
		local, remote = remote, local
	}
	for _, g := range t.groups[d][familyIndex(f.Src.Is4())] {
		if best != nil && best.rank.hi < g.best {
			break
		}
		c := g.cell(local.firstOfBlock(int(g.localHost)), remote.firstOfBlock(int(g.remoteHost)))
		if c == nil {
			continue
		}
		for i := range c.entries {
			e := &c.entries[i]
			if best != nil && best.rank.less(e.rank) {
				break
			}
			if e.matches(d, f, local, remote) {
				best, in = e, c
				break
			}
		}
	}
	return best, in
}

func (e *policyEntry) matches(d Direction, f *Flow, local, remote addr128) bool {
	if e.localProto != 0 && e.localProto != f.Protocol || e.remoteProto != 0 && e.remoteProto != f.Protocol {
		return false
	}
	src, dst := e.remotePorts, e.localPorts
	if d == Out {
		src, dst = dst, src
	}
	if !src.Has(f.SrcPort, f.Opaque) || !dst.Has(f.DstPort, f.Opaque) && !hasMessageType(f.Protocol) {
		return false
	}
	p := e.policy
	return !local.less(e.localFirst) && !e.localLast.less(local) &&
		!remote.less(e.remoteFirst) && !e.remoteLast.less(remote) &&
		f.Mark&p.Mark.Mask == p.Mark.Value&p.Mark.Mask && (p.InterfaceID == 0 || p.InterfaceID == f.InterfaceID)
}

// All returns the policies in precedence, direction by direction. It sorts
// them, so it is not for every packet.
func (t *PolicyTable) All() iter.Seq[*Policy] {
	return func(yield func(*Policy) bool) {
		if t == nil {
			return
		}
		for d := range t.groups {
			for _, e := range t.sorted(Direction(d)) {
				if !yield(e.policy) {
					return
				}
			}
		}
	}
}

func (t *PolicyTable) sorted(d Direction) []policyEntry {
	var all []policyEntry
	for _, family := range t.groups[d] {
		for _, g := range family {
			for _, p := range g.pages {
				if p == nil {
					continue
				}
				for _, c := range p.slots {
					for ; c != nil; c = c.next {
						all = append(all, c.entries...)
					}
				}
			}
		}
	}
	slices.SortFunc(all, func(a, b policyEntry) int {
		return cmp.Or(cmp.Compare(a.rank.hi, b.rank.hi), cmp.Compare(a.rank.seq, b.rank.seq))
	})
	// A range may be under several prefixes.
	return slices.CompactFunc(all, func(a, b policyEntry) bool { return a.policy == b.policy })
}

// hash spreads keys over slots. The seed is random, since peers have a say
// in selectors.
func (g *policyGroup) hash(local, remote addr128) uint64 {
	if g.is4 {
		return mix(local.lo<<32|remote.lo, g.seed)
	}
	return mix(local.hi^g.seed, local.lo^0x9e3779b97f4a7c15) ^ mix(remote.hi^0xd6e8feb86659fd93, remote.lo^bits.RotateLeft64(g.seed, 32))
}

func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a^0xa0761d6478bd642f, b)
	h := hi ^ lo
	hi, lo = bits.Mul64(h, 0xe7037ed1a0b428db)
	return hi ^ lo
}

func (g *policyGroup) slot(h uint64) (page int, slot int) {
	return int(h / cellsPerPage & uint64(len(g.pages)-1)), int(h % cellsPerPage)
}

func (g *policyGroup) cell(local, remote addr128) *policyCell {
	page, slot := g.slot(g.hash(local, remote))
	p := g.pages[page]
	if p == nil {
		return nil
	}
	for c := p.slots[slot]; c != nil; c = c.next {
		if c.local == local && c.remote == remote {
			return c
		}
	}
	return nil
}

func newSeed() uint64 { return maphash.String(maphash.MakeSeed(), "") | 1 }
