package dh

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/big"

	"filippo.io/bigmod"
)

// FirstPrivate is the lowest number of a private group of IKEv1 (RFC 2409 5.6: 2^15 or more). What one means is between two
// peers.
const FirstPrivate ID = 1 << 15

// Private reports whether the number is one of a private group of IKEv1.
func (id ID) Private() bool { return id >= FirstPrivate }

// Sizes of the prime of a [PrivateGroup], in bits.
const (
	MinPrivateBits = 1024
	MaxPrivateBits = 8192
)

// ErrPrivateGroup is what every refusal of [NewPrivateGroup] wraps.
var ErrPrivateGroup = errors.New("dh: unfit private group")

// PrivateGroup is a MODP group that two peers have agreed to use beside those with a number of IANA's (RFC 2409 5.6). It is a
// [Group] that ByID does not know. It cannot be changed, and may be used concurrently.
type PrivateGroup struct {
	*modp
	prime, generator []byte
}

// NewPrivateGroup makes a group of its prime and generator, big-endian; leading zeros do not count. id is its number,
// at least FirstPrivate.
//
// The prime must have MinPrivateBits to MaxPrivateBits bits and be a safe one: (p-1)/2 is prime too, so there is no small
// subgroup to be led into (RFC 6989 2.1). The generator must be from 2 to p-2. Below 2048 bits a group is no better than
// the legacy ones.
//
// For 4096 bits that takes a second, for 8192 ten, so it is for configurations, never for what comes from a peer. It finds mistakes, not malice: a prime can be chosen so that it passes every such test and its maker can still compute
// logarithms. Take a group only from whom you would take a key. The error wraps [ErrPrivateGroup].
func NewPrivateGroup(id ID, prime, generator []byte) (*PrivateGroup, error) {
	fail := func(format string, args ...any) (*PrivateGroup, error) {
		return nil, fmt.Errorf("%w: %v: %s", ErrPrivateGroup, id, fmt.Sprintf(format, args...))
	}
	if !id.Private() {
		return fail("the number must be %d or more", FirstPrivate)
	}
	prime, generator = bytes.TrimLeft(prime, "\x00"), bytes.TrimLeft(generator, "\x00")
	if limit := MaxPrivateBits / 8; len(prime) > limit || len(generator) > limit {
		return fail("the prime has %d octets and the generator %d; the prime may have %d, and the generator is less", len(prime), len(generator), limit)
	}
	p, g := new(big.Int).SetBytes(prime), new(big.Int).SetBytes(generator)
	one := big.NewInt(1)
	minusOne := new(big.Int).Sub(p, one)
	switch {
	case p.BitLen() < MinPrivateBits:
		return fail("the prime has %d bits; it needs %d, and should have 2048", p.BitLen(), MinPrivateBits)
	case p.Bit(0) == 0:
		return fail("the prime is even")
	case g.Cmp(one) <= 0 || g.Cmp(minusOne) >= 0:
		return fail("the generator must be greater than 1 and less than the prime less 1")
	}
	// Most numbers fail the first of these, which costs one exponentiation; see ProbablyPrime.
	half := new(big.Int).Rsh(p, 1)
	switch {
	case !p.ProbablyPrime(0):
		return fail("the modulus of %d bits is no prime", p.BitLen())
	case !half.ProbablyPrime(primeRounds) || !p.ProbablyPrime(primeRounds):
		return fail("the prime is not a safe one: less 1, half of it is no prime")
	}
	group := &modp{id: id, size: len(prime), seed: privateExponent(p.BitLen())}
	m := &modpParams{}
	var err error
	if m.p, err = bigmod.NewModulus(prime); err == nil {
		m.g, err = bigmod.NewNat().SetBytes(g.FillBytes(make([]byte, len(prime))), m.p)
	}
	if err != nil {
		return fail("%v", err)
	}
	group.params = func() *modpParams { return m }
	return &PrivateGroup{modp: group, prime: p.Bytes(), generator: g.Bytes()}, nil
}

// primeRounds of Miller-Rabin, beside a Baillie-PSW test: 2^-32 is left for a composite number at the very most, and far less for
// one that nobody made for the purpose.
const primeRounds = 16

// privateExponent is how many octets a secret exponent has: what the next larger group of RFC 3526 has.
func privateExponent(bits int) int {
	for _, g := range [...]*modp{modp1024, modp1536, modp2048, modp3072, modp4096, modp6144} {
		if bits <= 8*g.size {
			return g.seed
		}
	}
	return modp8192.seed
}

// Bits is the size of the prime.
func (g *PrivateGroup) Bits() int { return new(big.Int).SetBytes(g.prime).BitLen() }

// Prime returns the prime, big-endian, without leading zeros. The caller must not change it.
func (g *PrivateGroup) Prime() []byte { return g.prime }

// Generator returns the generator in the same form.
func (g *PrivateGroup) Generator() []byte { return g.generator }

// Is reports whether the group has that prime and generator; leading zeros do not count. It takes no arithmetic, so it
// may be asked about anything.
func (g *PrivateGroup) Is(prime, generator []byte) bool {
	return bytes.Equal(bytes.TrimLeft(prime, "\x00"), g.prime) && bytes.Equal(bytes.TrimLeft(generator, "\x00"), g.generator)
}

// String names the group: its number, size, and what tells its prime from others.
func (g *PrivateGroup) String() string {
	sum := sha256.Sum256(g.prime)
	return fmt.Sprintf("%v (MODP, %d bits, prime with SHA-256 %x..., generator %x)", g.id, g.Bits(), sum[:4], g.generator)
}
