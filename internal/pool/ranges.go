package pool

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"net/netip"
	"slices"
	"strings"
)

// A Range is the addresses from First to Last, both included.
type Range struct{ First, Last netip.Addr }

// FromPrefix returns the addresses of a prefix that hosts can have. Without
// the network and the broadcast address of an IPv4 subnet, and without the
// subnet-router anycast address of an IPv6 one (RFC 4291 2.6.1). A /31 or /32,
// a /127 or /128 has no such addresses (RFC 3021, RFC 6164): they are whole.
func FromPrefix(p netip.Prefix) Range {
	p = p.Masked()
	r := Range{p.Addr(), lastOf(p)}
	if host := p.Addr().BitLen() - p.Bits(); p.IsValid() && host >= 2 {
		r.First = r.First.Next()
		if p.Addr().Is4() {
			r.Last = r.Last.Prev()
		}
	}
	return r
}

// ParseRange reads "10.3.0.0/16" (see [FromPrefix]), "10.3.0.10-10.3.0.99"
// (just that) or a single address.
func ParseRange(s string) (Range, error) {
	if strings.Contains(s, "/") {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return Range{}, fmt.Errorf("pool: %q is not a prefix", s)
		}
		if p != p.Masked() {
			return Range{}, fmt.Errorf("pool: %q has bits after the prefix length; did you mean %v?", s, p.Masked())
		}
		r := FromPrefix(p)
		return r, r.valid()
	}
	first, last, ok := strings.Cut(s, "-")
	if !ok {
		last = first
	}
	var r Range
	var err1, err2 error
	r.First, err1 = netip.ParseAddr(first)
	r.Last, err2 = netip.ParseAddr(last)
	if err1 != nil || err2 != nil {
		return Range{}, fmt.Errorf("pool: %q is not a prefix, a range of addresses or an address", s)
	}
	return r, r.valid()
}

func (r Range) valid() error {
	switch {
	case !r.First.IsValid() || !r.Last.IsValid() || r.First.Is4() != r.Last.Is4() || r.Last.Less(r.First):
		return fmt.Errorf("pool: %v-%v is not a range of addresses", r.First, r.Last)
	case r.First.Is4In6() || r.Last.Is4In6() || r.First.Zone() != "" || r.Last.Zone() != "":
		return fmt.Errorf("pool: %v-%v: addresses must not be IPv4-mapped nor have a zone", r.First, r.Last)
	}
	return nil
}

func (r Range) contains(a netip.Addr) bool {
	return a.BitLen() == r.First.BitLen() && !a.Less(r.First) && !r.Last.Less(a)
}

func lastOf(p netip.Prefix) netip.Addr {
	if !p.IsValid() {
		return netip.Addr{}
	}
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// size is the number of addresses, at most 1<<64-1.
func (r Range) size() uint64 {
	half := func(a netip.Addr) (hi, lo uint64) {
		b := a.As16()
		return binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
	}
	ahi, alo := half(r.First)
	bhi, blo := half(r.Last)
	lo, borrow := bits.Sub64(blo, alo, 0)
	if bhi-ahi-borrow != 0 || lo == 1<<64-1 {
		return 1<<64 - 1
	}
	return lo + 1
}

// merge sorts ranges and joins those that touch.
func merge(in []Range) []Range {
	in = slices.Clone(in)
	slices.SortFunc(in, func(a, b Range) int { return a.First.Compare(b.First) })
	var r []Range
	for _, x := range in {
		if n := len(r); n > 0 && (!r[n-1].Last.Less(x.First) || r[n-1].Last.Next() == x.First) {
			if r[n-1].Last.Less(x.Last) {
				r[n-1].Last = x.Last
			}
			continue
		}
		r = append(r, x)
	}
	return r
}

// without cuts a hole out of ranges.
func without(in []Range, hole Range) []Range {
	var r []Range
	for _, x := range in {
		if hole.First.BitLen() != x.First.BitLen() || hole.Last.Less(x.First) || x.Last.Less(hole.First) {
			r = append(r, x)
			continue
		}
		if x.First.Less(hole.First) {
			r = append(r, Range{x.First, hole.First.Prev()})
		}
		if hole.Last.Less(x.Last) {
			r = append(r, Range{hole.Last.Next(), x.Last})
		}
	}
	return r
}
