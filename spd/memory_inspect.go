package spd

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

func compareSAID(a, b SAID) int {
	return cmp.Or(cmp.Compare(a.Direction, b.Direction), cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.SPI, b.SPI), a.Dst.Compare(b.Dst),
		cmp.Compare(a.Mark.Value, b.Mark.Value), cmp.Compare(a.Mark.Mask, b.Mark.Mask))
}

// SAs returns the SAIDs of all mature SAs, in order.
func (m *Memory) SAs() []SAID {
	m.mu.Lock()
	defer m.mu.Unlock()
	var r []SAID
	for _, sa := range m.in {
		r = append(r, sa.id)
	}
	for id := range m.out {
		r = append(r, id)
	}
	slices.SortFunc(r, compareSAID)
	return r
}

// Larval returns the SAIDs of all SPIs that are allocated and not installed.
func (m *Memory) Larval() []SAID {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.endLarval()
	var r []SAID
	for _, l := range m.larval {
		r = append(r, l.id)
	}
	slices.SortFunc(r, compareSAID)
	return r
}

// Installed is a direction of a Child SA as a [Memory] holds it.
type Installed struct {
	Direction Direction
	Bundle    *Bundle // a copy
	Counters  []Counters
	Since     time.Time
}

// Bundles returns copies of all bundles that are installed as a whole, in the
// order of their outermost SAID. The caller may wipe them.
func (m *Memory) Bundles() []Installed {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []*memorySA
	for _, sa := range m.in {
		all = append(all, sa)
	}
	for _, sa := range m.out {
		all = append(all, sa)
	}
	slices.SortFunc(all, func(a, b *memorySA) int { return compareSAID(a.id, b.id) })
	var r []Installed
	for _, sa := range all {
		if sa != sa.bundle.sas[len(sa.bundle.sas)-1] || slices.ContainsFunc(sa.bundle.sas, func(x *memorySA) bool { return m.find(x.id) != x }) {
			continue
		}
		i := Installed{Direction: sa.id.Direction, Bundle: sa.bundle.Clone(), Since: sa.since}
		for _, x := range sa.bundle.sas {
			i.Counters = append(i.Counters, x.counters)
		}
		r = append(r, i)
	}
	return r
}

// Policies returns all policies in precedence.
func (m *Memory) Policies() []Policy {
	m.mu.Lock()
	defer m.mu.Unlock()
	var r []Policy
	for p := range m.table.All() {
		r = append(r, *p)
	}
	return r
}

// PendingAcquires returns how many acquires wait for AcquireDone.
func (m *Memory) PendingAcquires() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.acquires)
}

// Leaks returns what is left in the plane, in words: nothing after a clean
// shutdown.
func (m *Memory) Leaks() []string {
	var r []string
	for _, id := range m.SAs() {
		r = append(r, fmt.Sprintf("SA %v %v SPI %#x to %v", id.Direction, id.Protocol, uint32(id.SPI), id.Dst))
	}
	for _, id := range m.Larval() {
		r = append(r, fmt.Sprintf("larval %v SPI %#x", id.Protocol, uint32(id.SPI)))
	}
	for _, p := range m.Policies() {
		r = append(r, "policy "+p.String())
	}
	if n := m.PendingAcquires(); n > 0 {
		r = append(r, fmt.Sprintf("%d acquires without an answer", n))
	}
	return r
}

// CompareMemory returns in words what the SAs of two peers' planes do not
// have in common: each outbound bundle of one must be an inbound bundle of
// the other, with the same SPIs, algorithms, keys and mirrored selectors, and
// the reverse. It is for two peers that have no others. Nothing
// means that both hold the same.
func CompareMemory(a, b *Memory) []string {
	var r []string
	fromA, fromB := a.Bundles(), b.Bundles()
	compare := func(x, y string, outs, ins []Installed) {
		matched := map[int]bool{}
	next:
		for _, out := range outs {
			if out.Direction != Out {
				continue
			}
			last := out.Bundle.SAs[len(out.Bundle.SAs)-1]
			for i, in := range ins {
				if in.Direction != In || in.Bundle.SAs[len(in.Bundle.SAs)-1].SPI != last.SPI {
					continue
				}
				matched[i] = true
				if len(in.Bundle.SAs) != len(out.Bundle.SAs) {
					r = append(r, fmt.Sprintf("SPI %#x: %d transforms at %s, %d at %s", uint32(last.SPI), len(out.Bundle.SAs), x, len(in.Bundle.SAs), y))
					continue next
				}
				for j := range in.Bundle.SAs {
					if s := differSA(&out.Bundle.SAs[j], &in.Bundle.SAs[j]); s != "" {
						r = append(r, fmt.Sprintf("SPI %#x from %s to %s: %s", uint32(last.SPI), x, y, s))
					}
				}
				if !coversAll(in.Bundle.RemoteTS, out.Bundle.LocalTS) || !coversAll(in.Bundle.LocalTS, out.Bundle.RemoteTS) ||
					!coversAll(out.Bundle.LocalTS, in.Bundle.RemoteTS) || !coversAll(out.Bundle.RemoteTS, in.Bundle.LocalTS) {
					r = append(r, fmt.Sprintf("SPI %#x from %s to %s: selectors %v === %v at one, %v === %v at the other", uint32(last.SPI), x, y,
						out.Bundle.LocalTS, out.Bundle.RemoteTS, in.Bundle.LocalTS, in.Bundle.RemoteTS))
				}
				continue next
			}
			r = append(r, fmt.Sprintf("outbound SPI %#x at %s has no inbound SA at %s", uint32(last.SPI), x, y))
		}
		for i, in := range ins {
			if in.Direction == In && !matched[i] {
				r = append(r, fmt.Sprintf("inbound SPI %#x at %s has no outbound SA at %s", uint32(in.Bundle.SAs[len(in.Bundle.SAs)-1].SPI), y, x))
			}
		}
	}
	compare("the first", "the second", fromA, fromB)
	compare("the second", "the first", fromB, fromA)
	for _, set := range [][]Installed{fromA, fromB} {
		for _, i := range set {
			i.Bundle.Wipe()
		}
	}
	return r
}
