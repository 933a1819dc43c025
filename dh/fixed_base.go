package dh

import (
	"crypto/subtle"

	"filippo.io/bigmod"
)

// fixedBase raises one base to many exponents, two to three times faster than bigmod's Exp, by a table of
//
//	base^(d * 16^i)  for every 4-bit digit d > 0 of an exponent and its place i
//
// which leaves one multiplication a digit and no squaring. The table is read whole for each digit, so neither the time nor
// the addresses depend on the exponent.
type fixedBase struct {
	p      *bigmod.Modulus
	limbs  int
	places int    // digits of the longest exponent
	table  []uint // the entry of (i, d) is at (15*i + d-1) * limbs
}

const perPlace = 15 // entries for a 4-bit digit

// newFixedBase makes the table for exponents of the given octets. It takes as long as some six exponentiations, and
// 15 * 2 * octets times the size of the modulus: 300 KiB for MODP 2048.
func newFixedBase(base *bigmod.Nat, p *bigmod.Modulus, octets int) *fixedBase {
	f := &fixedBase{p: p, limbs: len(p.Nat().Bits()), places: 2 * octets}
	f.table = make([]uint, 0, f.places*perPlace*f.limbs)
	step := bigmod.NewNat().ExpandFor(p).Add(base, p) // base^(16^i)
	for range f.places {
		power := bigmod.NewNat().ExpandFor(p).Add(step, p)
		for range perPlace {
			f.table = append(f.table, power.Bits()...)
			power.Mul(step, p)
		}
		step = power
	}
	return f
}

// exp returns base^x mod p, padded to the length of p. x must not be longer than the table was made for.
func (f *fixedBase) exp(x []byte) []byte {
	product := bigmod.NewNat().SetUint(1).ExpandFor(f.p)
	factor := bigmod.NewNat().SetUint(1).ExpandFor(f.p)
	for i := range 2 * len(x) {
		digit := x[len(x)-1-i/2] >> (4 * (i % 2)) & 15
		f.choose(factor.Bits(), i, digit)
		product.Mul(factor, f.p)
	}
	out := product.Bytes(f.p)
	clear(product.Bits())
	clear(factor.Bits())
	return out
}

// choose sets factor to base^(digit * 16^place).
func (f *fixedBase) choose(factor []uint, place int, digit byte) {
	clear(factor)
	factor[0] = uint(subtle.ConstantTimeByteEq(digit, 0))
	entries := f.table[place*perPlace*f.limbs:][:perPlace*f.limbs]
	for d := range perPlace {
		mask := -uint(subtle.ConstantTimeByteEq(digit, byte(d+1)))
		entry := entries[d*f.limbs:][:len(factor)]
		for j, limb := range entry {
			factor[j] |= limb & mask
		}
	}
}

// fixedBaseMax is the largest modulus for which a table is worth its memory: 0.9 MiB at 4096 bits.
const fixedBaseMax = 4096 / 8

// fixedBaseAfter is how many times a generator is used before its table is made, so that a program which makes a few
// exchanges does not pay for many.
const fixedBaseAfter = 6
