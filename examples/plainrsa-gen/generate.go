package main

import (
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"math/big"
)

// What keys have unless told: racoon's plainrsa-gen had 1024 bits and 3.
const (
	defaultBits     = 3072
	defaultExponent = 65537

	minBits = 1024
	maxBits = 16384
)

// generate makes an RSA key. The standard library's has the usual exponent; for
// another one, which a peer may insist on, primes are looked for that it fits.
func generate(bits, exponent int) (*rsa.PrivateKey, error) {
	if exponent == defaultExponent {
		return rsa.GenerateKey(rand.Reader, bits)
	}
	e, one := big.NewInt(int64(exponent)), big.NewInt(1)
	prime := func(bits int) (p, less *big.Int, err error) {
		for {
			// Its two highest bits are set, so that the product has all its bits.
			if p, err = rand.Prime(rand.Reader, bits); err != nil {
				return nil, nil, err
			}
			less = new(big.Int).Sub(p, one)
			if new(big.Int).GCD(nil, nil, e, less).Cmp(one) == 0 {
				return p, less, nil
			}
		}
	}
	p, p1, err := prime(bits / 2)
	if err != nil {
		return nil, err
	}
	q, q1, err := prime(bits / 2)
	if err != nil {
		return nil, err
	}
	if p.Cmp(q) == 0 {
		return nil, errors.New("the system's randomness has repeated itself")
	}
	lcm := new(big.Int).Mul(p1, q1)
	lcm.Quo(lcm, new(big.Int).GCD(nil, nil, p1, q1))
	k := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: new(big.Int).Mul(p, q), E: exponent}, D: new(big.Int).ModInverse(e, lcm), Primes: []*big.Int{p, q}}
	if err := k.Validate(); err != nil {
		return nil, err
	}
	k.Precompute()
	return k, nil
}
