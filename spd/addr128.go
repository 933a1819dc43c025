package spd

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
)

// addr128 is an address as a number: IPv4 in the low 32 bits, IPv6 in all
// 128. Which of the two it is, its user knows.
type addr128 struct{ hi, lo uint64 }

func toAddr128(a netip.Addr) addr128 {
	if a.Is4() {
		b := a.As4()
		return addr128{0, uint64(binary.BigEndian.Uint32(b[:]))}
	}
	b := a.As16()
	return addr128{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

func (a addr128) addr(is4 bool) netip.Addr {
	if is4 {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], uint32(a.lo))
		return netip.AddrFrom4(b)
	}
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], a.hi)
	binary.BigEndian.PutUint64(b[8:], a.lo)
	return netip.AddrFrom16(b)
}

func (a addr128) less(b addr128) bool {
	return a.hi < b.hi || a.hi == b.hi && a.lo < b.lo
}

// next is a+1; it wraps around at the end.
func (a addr128) next() addr128 {
	lo, carry := bits.Add64(a.lo, 1, 0)
	return addr128{a.hi + carry, lo}
}

// prev is a-1; it wraps around at zero.
func (a addr128) prev() addr128 {
	lo, borrow := bits.Sub64(a.lo, 1, 0)
	return addr128{a.hi - borrow, lo}
}

// lastOfBlock is a with its n lowest bits set: the last address of the
// aligned block of 2^n addresses that a is in.
func (a addr128) lastOfBlock(n int) addr128 {
	switch {
	case n >= 128:
		return addr128{^uint64(0), ^uint64(0)}
	case n >= 64:
		return addr128{a.hi | (1<<(n-64) - 1), ^uint64(0)}
	}
	return addr128{a.hi, a.lo | (1<<n - 1)}
}

// firstOfBlock is a with its n lowest bits cleared.
func (a addr128) firstOfBlock(n int) addr128 {
	switch {
	case n >= 128:
		return addr128{}
	case n >= 64:
		return addr128{a.hi &^ (1<<(n-64) - 1), 0}
	}
	return addr128{a.hi, a.lo &^ (1<<n - 1)}
}

func (a addr128) trailingZeros() int {
	if a.lo != 0 {
		return bits.TrailingZeros64(a.lo)
	}
	return 64 + bits.TrailingZeros64(a.hi)
}

// commonBits returns how many leading bits of the 128 a and b share.
func (a addr128) commonBits(b addr128) int {
	if x := a.hi ^ b.hi; x != 0 {
		return bits.LeadingZeros64(x)
	}
	return 64 + bits.LeadingZeros64(a.lo^b.lo)
}
