package dh

import (
	"sync"

	"filippo.io/bigmod"
)

// scalars makes private keys in [1, order-1] of seeds that are 64 bits longer than the order, which leaves no
// bias to speak of (FIPS 186-5 A.2.1).
type scalars struct {
	orderLess1 *bigmod.Modulus
	wide       *bigmod.Modulus // larger than any seed
}

const extraSeed = 8 // octets of seed beyond the length of the order

func newScalars(order string) func() *scalars {
	return sync.OnceValue(func() *scalars {
		o := octets(order)
		wide := make([]byte, len(o)+extraSeed+1)
		wide[0], wide[len(wide)-1] = 1, 1
		o[len(o)-1]-- // orders are odd
		return &scalars{orderLess1: modulus(o), wide: modulus(wide)}
	})
}

// fromSeed returns seed mod (order-1), plus 1, as long as the order, in constant time.
func (s *scalars) fromSeed(seed []byte) []byte {
	c, err := bigmod.NewNat().SetBytes(seed, s.wide)
	if err != nil {
		panic("dh: " + err.Error()) // the size was checked
	}
	r := bigmod.NewNat().Mod(c, s.orderLess1)
	x := r.Bytes(s.orderLess1)
	clear(c.Bits())
	clear(r.Bits())

	carry := uint16(1)
	for i := len(x) - 1; i >= 0; i-- {
		carry += uint16(x[i])
		x[i] = byte(carry)
		carry >>= 8
	}
	return x
}
