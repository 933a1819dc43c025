package dh

import (
	"crypto/mlkem"
	"crypto/mlkem/mlkemtest"
	"fmt"
	"log/slog"
)

// kem is ML-KEM (FIPS 203): the initiator sends the encapsulation key, the responder the ciphertext.
//
// crypto/mlkem draws the randomness of an encapsulation by itself; mlkemtest has the one entry that takes it from the
// caller, as the rest of this package does. It is the same algorithm (ML-KEM.Encaps_internal), and as good as the seed.
type kem[E any] struct {
	id          ID
	public      int // octets of an encapsulation key
	ciphertext  int
	newKey      func(seed []byte) (decapsulator, error)
	newPeer     func(public []byte) (E, error)
	encapsulate func(E, []byte) (secret, ciphertext []byte, err error)
}

// decapsulator is what the decapsulation keys of crypto/mlkem have in common.
type decapsulator interface {
	Decapsulate(ciphertext []byte) (secret []byte, err error)
	Bytes() []byte
}

var mlkem768 = &kem[*mlkem.EncapsulationKey768]{
	id: MLKEM768, public: mlkem.EncapsulationKeySize768, ciphertext: mlkem.CiphertextSize768,
	newKey:      func(seed []byte) (decapsulator, error) { return mlkem.NewDecapsulationKey768(seed) },
	newPeer:     mlkem.NewEncapsulationKey768,
	encapsulate: mlkemtest.Encapsulate768,
}

var mlkem1024 = &kem[*mlkem.EncapsulationKey1024]{
	id: MLKEM1024, public: mlkem.EncapsulationKeySize1024, ciphertext: mlkem.CiphertextSize1024,
	newKey:      func(seed []byte) (decapsulator, error) { return mlkem.NewDecapsulationKey1024(seed) },
	newPeer:     mlkem.NewEncapsulationKey1024,
	encapsulate: mlkemtest.Encapsulate1024,
}

// encapsulationSeed is how much of a seed an encapsulation needs: m of FIPS 203.
const encapsulationSeed = 32

func (g *kem[E]) ID() ID             { return g.id }
func (g *kem[E]) InitiatorSize() int { return g.public }
func (g *kem[E]) ResponderSize() int { return g.ciphertext }
func (g *kem[E]) SecretSize() int    { return mlkem.SharedKeySize }
func (g *kem[E]) SeedSize() int      { return mlkem.SeedSize }

func (g *kem[E]) Generate(seed []byte) (PrivateKey, error) {
	if err := checkSeed(g, seed); err != nil {
		return nil, err
	}
	k, err := g.newKey(seed)
	if err != nil {
		return nil, fmt.Errorf("dh: %v: %w", g.id, err)
	}
	var public []byte
	switch k := k.(type) {
	case *mlkem.DecapsulationKey768:
		public = k.EncapsulationKey().Bytes()
	case *mlkem.DecapsulationKey1024:
		public = k.EncapsulationKey().Bytes()
	}
	return &kemKey{id: g.id, ciphertext: g.ciphertext, public: public, key: k}, nil
}

// Respond uses the first 32 octets of the seed.
func (g *kem[E]) Respond(seed, peer []byte) (public, secret []byte, err error) {
	if err := checkSeed(g, seed); err != nil {
		return nil, nil, err
	}
	if err := checkSize(g.id, peer, g.public); err != nil {
		return nil, nil, err
	}
	e, err := g.newPeer(peer)
	if err != nil {
		// FIPS 203 7.2, the modulus check.
		return nil, nil, &ValueError{Group: g.id, Reason: "not an encapsulation key: a coefficient is not reduced"}
	}
	secret, public, err = g.encapsulate(e, seed[:encapsulationSeed])
	if err != nil {
		return nil, nil, fmt.Errorf("dh: %v: %w", g.id, err)
	}
	return public, secret, nil
}

type kemKey struct {
	id         ID
	ciphertext int
	public     []byte
	key        decapsulator
}

func (k *kemKey) Public() []byte { return k.public }

// Finish of a KEM does not notice a forged ciphertext: the secret is then another one, and the exchange fails
// at its authentication (FIPS 203, implicit rejection).
func (k *kemKey) Finish(peer []byte) ([]byte, error) {
	if k.key == nil {
		return nil, ErrWiped
	}
	if err := checkSize(k.id, peer, k.ciphertext); err != nil {
		return nil, err
	}
	secret, err := k.key.Decapsulate(peer)
	if err != nil {
		return nil, fmt.Errorf("dh: %v: %w", k.id, err)
	}
	return secret, nil
}

// Wipe drops the key: crypto/mlkem gives no way to overwrite it.
func (k *kemKey) Wipe() { k.key = nil }

func (k *kemKey) Format(f fmt.State, _ rune) { redacted(k.id).format(f) }
func (k *kemKey) LogValue() slog.Value       { return redacted(k.id).value() }
