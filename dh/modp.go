package dh

import (
	"encoding/hex"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"filippo.io/bigmod"
)

// modp is a group of integers modulo a prime. All arithmetic on secrets is bigmod's, which takes constant time.
//
// Where the prime is safe ((p-1)/2 is prime too) the private exponent is twice as long as the group is strong, after the
// generous estimate of RFC 3526 section 8 and never below the 200 bits of RFC 7296 section 5. In the groups of RFC 5114 it is
// less than the order of the subgroup.
type modp struct {
	id     ID
	size   int // octets of the modulus
	seed   int
	params func() *modpParams

	uses  atomic.Uint32 // of the generator
	table atomic.Pointer[fixedBase]
}

// modpParams is made at the first use of a group and only read afterwards.
type modpParams struct {
	p *bigmod.Modulus
	g *bigmod.Nat
	q []byte   // order of the subgroup of RFC 5114, else nil
	x *scalars // beside q
}

var (
	modp768      = safePrime(MODP768, prime768, 25)
	modp1024     = safePrime(MODP1024, prime1024, 25)
	modp1536     = safePrime(MODP1536, prime1536, 30)
	modp2048     = safePrime(MODP2048, prime2048, 40)
	modp3072     = safePrime(MODP3072, prime3072, 53)
	modp4096     = safePrime(MODP4096, prime4096, 60)
	modp6144     = safePrime(MODP6144, prime6144, 68)
	modp8192     = safePrime(MODP8192, prime8192, 78)
	modp1024s160 = subgroup(MODP1024Sub160, prime1024s160, generator1024s160, order1024s160)
	modp2048s224 = subgroup(MODP2048Sub224, prime2048s224, generator2048s224, order2048s224)
	modp2048s256 = subgroup(MODP2048Sub256, prime2048s256, generator2048s256, order2048s256)
)

func safePrime(id ID, p string, exponent int) *modp {
	return &modp{
		id: id, size: len(p) / 2, seed: exponent,
		params: sync.OnceValue(func() *modpParams {
			m := &modpParams{p: modulus(octets(p))}
			m.g = bigmod.NewNat().SetUint(2).ExpandFor(m.p)
			return m
		}),
	}
}

func subgroup(id ID, p, g, q string) *modp {
	exponents := newScalars(q)
	return &modp{
		id: id, size: len(p) / 2, seed: len(q)/2 + extraSeed,
		params: sync.OnceValue(func() *modpParams {
			m := &modpParams{p: modulus(octets(p)), q: octets(q), x: exponents()}
			var err error
			if m.g, err = bigmod.NewNat().SetBytes(octets(g), m.p); err != nil {
				panic("dh: " + err.Error())
			}
			return m
		}),
	}
}

// octets and modulus read constants of this package, so their errors are mistakes in it.
func octets(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic("dh: " + err.Error())
	}
	return b
}

func modulus(b []byte) *bigmod.Modulus {
	m, err := bigmod.NewModulus(b)
	if err != nil {
		panic("dh: " + err.Error())
	}
	return m
}

func (g *modp) ID() ID             { return g.id }
func (g *modp) InitiatorSize() int { return g.size }
func (g *modp) ResponderSize() int { return g.size }
func (g *modp) SecretSize() int    { return g.size }
func (g *modp) SeedSize() int      { return g.seed }

func (g *modp) Generate(seed []byte) (PrivateKey, error) {
	if err := checkSeed(g, seed); err != nil {
		return nil, err
	}
	m := g.params()
	k := &modpKey{group: g, x: m.privateExponent(seed)}
	k.public = g.power(m, k.x)
	return k, nil
}

func (g *modp) Respond(seed, peer []byte) (public, secret []byte, err error) {
	if err := checkSeed(g, seed); err != nil {
		return nil, nil, err
	}
	m := g.params()
	y, err := g.peerValue(m, peer)
	if err != nil {
		return nil, nil, err
	}
	x := m.privateExponent(seed)
	defer clear(x)
	return g.power(m, x), m.exp(y, x), nil
}

// privateExponent makes an exponent of a seed of the right size. It is never 0.
func (m *modpParams) privateExponent(seed []byte) []byte {
	if m.q == nil {
		x := append([]byte(nil), seed...)
		x[0] |= 0x80
		return x
	}
	return m.x.fromSeed(seed)
}

// power returns the generator to the x.
func (g *modp) power(m *modpParams, x []byte) []byte {
	if f := g.table.Load(); f != nil {
		return f.exp(x)
	}
	if g.size <= fixedBaseMax && g.uses.Add(1) == fixedBaseAfter {
		g.table.Store(newFixedBase(m.g, m.p, len(x)))
	}
	return m.exp(m.g, x)
}

// exp returns base^x mod p, padded to the length of p. Time depends on the length of x only.
func (m *modpParams) exp(base *bigmod.Nat, x []byte) []byte {
	n := bigmod.NewNat().Exp(base, x, m.p)
	out := n.Bytes(m.p)
	clear(n.Bits())
	return out
}

// peerValue makes the tests of RFC 6989 2.1 and 2.2. They need not take constant time: the value is public.
func (g *modp) peerValue(m *modpParams, peer []byte) (*bigmod.Nat, error) {
	if err := checkSize(g.id, peer, g.size); err != nil {
		return nil, err
	}
	y, err := bigmod.NewNat().SetBytes(peer, m.p)
	if err != nil {
		return nil, &ValueError{Group: g.id, Reason: "not less than the modulus"}
	}
	switch {
	case y.IsZero() == 1:
		return nil, &ValueError{Group: g.id, Reason: "0"}
	case y.IsOne() == 1:
		return nil, &ValueError{Group: g.id, Reason: "1"}
	case y.IsMinusOne(m.p) == 1:
		return nil, &ValueError{Group: g.id, Reason: "the modulus less 1"}
	}
	// This costs an exponentiation more, which lets a key serve in a retried exchange.
	if m.q != nil && bigmod.NewNat().Exp(y, m.q, m.p).IsOne() != 1 {
		return nil, &ValueError{Group: g.id, Reason: "not in the subgroup of the generator"}
	}
	return y, nil
}

type modpKey struct {
	group  *modp
	public []byte
	x      []byte
}

func (k *modpKey) Public() []byte { return k.public }

func (k *modpKey) Finish(peer []byte) ([]byte, error) {
	if k.x == nil {
		return nil, ErrWiped
	}
	m := k.group.params()
	y, err := k.group.peerValue(m, peer)
	if err != nil {
		return nil, err
	}
	return m.exp(y, k.x), nil
}

func (k *modpKey) Wipe() {
	clear(k.x)
	k.x = nil
}

func (k *modpKey) Format(f fmt.State, _ rune) { redacted(k.group.id).format(f) }
func (k *modpKey) LogValue() slog.Value       { return redacted(k.group.id).value() }
