package spd

import (
	"cmp"
	"slices"
)

// tableEdit builds a PolicyTable from another. What it has copied or made
// itself it changes in place.
type tableEdit struct {
	t      *PolicyTable
	groups map[*policyGroup]bool
	pages  map[*policyPage]bool
	cells  map[*policyCell]bool
}

func newTableEdit(from *PolicyTable, size int) *tableEdit {
	t := &PolicyTable{}
	if from != nil {
		*t = *from
	}
	for d := range t.groups {
		for f := range t.groups[d] {
			t.groups[d][f] = slices.Clone(t.groups[d][f])
		}
	}
	return &tableEdit{t: t, groups: map[*policyGroup]bool{}, pages: map[*policyPage]bool{}, cells: make(map[*policyCell]bool, size)}
}

// cover is a prefix as address and host bits.
type cover struct {
	addr addr128
	host int
}

// covers returns one or two prefixes that together include the range. A range
// is cut at the highest bit in which its ends differ; the parts touch the cut,
// so that each fills more than half of its smallest prefix.
func covers(ts *TrafficSelector) (c [2]cover, n int) {
	first, last := toAddr128(ts.First), toAddr128(ts.Last)
	host := 128 - first.commonBits(last)
	if first == first.firstOfBlock(host) && last == first.lastOfBlock(host) {
		return [2]cover{{first, host}}, 1
	}
	middle := last.firstOfBlock(host - 1)
	left := 128 - first.commonBits(middle.prev())
	right := 128 - middle.commonBits(last)
	return [2]cover{{first.firstOfBlock(left), left}, {middle, right}}, 2
}

func (e *tableEdit) eachCover(p *Policy, f func(local, remote cover)) {
	ls, nl := covers(&p.Selector.Local)
	rs, nr := covers(&p.Selector.Remote)
	for _, l := range ls[:nl] {
		for _, r := range rs[:nr] {
			f(l, r)
		}
	}
}

// add takes p as it is: it must not change any more.
func (e *tableEdit) add(p *Policy) {
	if e.find(p) != nil {
		return
	}
	entry := policyEntry{
		rank:        rankOf(p, e.t.seq),
		localFirst:  toAddr128(p.Selector.Local.First),
		localLast:   toAddr128(p.Selector.Local.Last),
		remoteFirst: toAddr128(p.Selector.Remote.First),
		remoteLast:  toAddr128(p.Selector.Remote.Last),
		localPorts:  p.Selector.Local.Ports,
		remotePorts: p.Selector.Remote.Ports,
		localProto:  p.Selector.Local.Protocol,
		remoteProto: p.Selector.Remote.Protocol,
		policy:      p,
	}
	e.t.seq++
	e.t.count++
	e.eachCover(p, func(l, r cover) {
		g := e.group(p, l, r, true)
		c := e.cell(g, l.addr, r.addr)
		at, _ := slices.BinarySearchFunc(c.entries, entry, func(a, b policyEntry) int {
			return cmp.Or(cmp.Compare(a.rank.hi, b.rank.hi), cmp.Compare(a.rank.seq, b.rank.seq))
		})
		c.entries = slices.Insert(c.entries, at, entry)
		g.entries++
		g.best = min(g.best, entry.rank.hi)
	})
}

func (e *tableEdit) remove(p *Policy) {
	found := e.find(p)
	if found == nil {
		return
	}
	e.t.count--
	e.eachCover(p, func(l, r cover) {
		g := e.group(p, l, r, false)
		c := e.cell(g, l.addr, r.addr)
		c.entries = slices.DeleteFunc(c.entries, func(x policyEntry) bool { return x.policy == found })
		g.entries--
		if len(c.entries) == 0 {
			e.unlink(g, c)
		}
		if g.entries == 0 {
			family := &e.t.groups[p.Direction][familyIndex(g.is4)]
			*family = slices.DeleteFunc(*family, func(x *policyGroup) bool { return x == g })
		}
	})
}

// find returns the table's own copy of p, nil if it has none.
func (e *tableEdit) find(p *Policy) *Policy {
	if p.Valid() != nil {
		return nil
	}
	ls, _ := covers(&p.Selector.Local)
	rs, _ := covers(&p.Selector.Remote)
	g := e.group(p, ls[0], rs[0], false)
	if g == nil {
		return nil
	}
	if c := g.cell(ls[0].addr, rs[0].addr); c != nil {
		hi := rankOf(p, 0).hi
		l, r := &p.Selector.Local, &p.Selector.Remote
		for i := range c.entries {
			// Most differ in what the entry itself holds, without a look at
			// the policy: with thousands of ports for one pair of hosts that
			// is what the time goes into.
			x := &c.entries[i]
			if x.rank.hi == hi && x.localPorts == l.Ports && x.remotePorts == r.Ports && *x.policy == *p {
				return x.policy
			}
		}
	}
	return nil
}

// group returns the group of two covers as one that may be changed, or nil if
// there is none and it shall not be made.
func (e *tableEdit) group(p *Policy, l, r cover, create bool) *policyGroup {
	is4 := p.Selector.Local.Is4()
	family := &e.t.groups[p.Direction][familyIndex(is4)]
	for i, g := range *family {
		if int(g.localHost) == l.host && int(g.remoteHost) == r.host {
			if !e.groups[g] {
				own := *g
				own.pages = slices.Clone(g.pages)
				g = &own
				e.groups[g] = true
				(*family)[i] = g
			}
			return g
		}
	}
	if !create {
		return nil
	}
	g := &policyGroup{localHost: uint8(l.host), remoteHost: uint8(r.host), is4: is4, best: ^uint64(0), seed: newSeed(), pages: make([]*policyPage, 1)}
	e.groups[g] = true
	*family = append(*family, g)
	return g
}

// page makes a page of an own group one that may be changed.
func (e *tableEdit) page(g *policyGroup, i int) *policyPage {
	p := g.pages[i]
	if p == nil || !e.pages[p] {
		own := &policyPage{}
		if p != nil {
			*own = *p
		}
		e.pages[own] = true
		g.pages[i] = own
		p = own
	}
	return p
}

// cell returns the cell of two prefixes as one that may be changed; it makes
// it if need be.
func (e *tableEdit) cell(g *policyGroup, local, remote addr128) *policyCell {
	if g.cells >= len(g.pages)*cellsPerPage {
		e.grow(g)
	}
	page, slot := g.slot(g.hash(local, remote))
	p := e.page(g, page)
	for link := &p.slots[slot]; *link != nil; {
		c := e.ownCell(link)
		if c.local == local && c.remote == remote {
			return c
		}
		link = &c.next
	}
	c := &policyCell{local: local, remote: remote, next: p.slots[slot]}
	e.cells[c] = true
	p.slots[slot] = c
	g.cells++
	return c
}

func (e *tableEdit) ownCell(link **policyCell) *policyCell {
	c := *link
	if !e.cells[c] {
		own := *c
		own.entries = slices.Clone(c.entries)
		e.cells[&own] = true
		*link = &own
		c = &own
	}
	return c
}

func (e *tableEdit) unlink(g *policyGroup, gone *policyCell) {
	page, slot := g.slot(g.hash(gone.local, gone.remote))
	for link := &e.page(g, page).slots[slot]; *link != nil; {
		if *link == gone {
			*link = gone.next
			g.cells--
			return
		}
		link = &e.ownCell(link).next
	}
}

// grow doubles the pages of a group.
func (e *tableEdit) grow(g *policyGroup) {
	old := g.pages
	g.pages = make([]*policyPage, 2*len(old))
	for _, p := range old {
		if p == nil {
			continue
		}
		for _, c := range p.slots {
			for c != nil {
				next := c.next
				if !e.cells[c] {
					own := *c
					own.entries = slices.Clone(c.entries)
					c = &own
					e.cells[c] = true
				}
				page, slot := g.slot(g.hash(c.local, c.remote))
				to := e.page(g, page)
				c.next = to.slots[slot]
				to.slots[slot] = c
				c = next
			}
		}
	}
}

func (e *tableEdit) finish() *PolicyTable {
	for d := range e.t.groups {
		for f := range e.t.groups[d] {
			slices.SortStableFunc(e.t.groups[d][f], func(a, b *policyGroup) int { return cmp.Compare(a.best, b.best) })
		}
	}
	return e.t
}
