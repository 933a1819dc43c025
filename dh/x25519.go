package dh

import (
	"crypto/ecdh"
	"fmt"
	"log/slog"
)

// curve25519 is X25519 as RFC 8031 uses it: the seed is the private key before clamping.
type curve25519 struct{}

var x25519 = curve25519{}

const curve25519Size = 32

func (curve25519) ID() ID             { return Curve25519 }
func (curve25519) InitiatorSize() int { return curve25519Size }
func (curve25519) ResponderSize() int { return curve25519Size }
func (curve25519) SecretSize() int    { return curve25519Size }
func (curve25519) SeedSize() int      { return curve25519Size }

func (g curve25519) privateKey(seed []byte) (*ecdh.PrivateKey, error) {
	if err := checkSeed(g, seed); err != nil {
		return nil, err
	}
	k, err := ecdh.X25519().NewPrivateKey(seed)
	if err != nil {
		return nil, fmt.Errorf("dh: %v: %w", Curve25519, err)
	}
	return k, nil
}

// secret refuses the all-zero result that a peer's value of small order gives (RFC 8031 3.2 leaves it to us, RFC 7748 6.1).
func (curve25519) secret(k *ecdh.PrivateKey, peer []byte) ([]byte, error) {
	y, err := ecdh.X25519().NewPublicKey(peer)
	if err != nil {
		return nil, fmt.Errorf("dh: %v: %w", Curve25519, err)
	}
	s, err := k.ECDH(y)
	if err != nil {
		return nil, &ValueError{Group: Curve25519, Reason: "a point of small order"}
	}
	return s, nil
}

func (g curve25519) Generate(seed []byte) (PrivateKey, error) {
	k, err := g.privateKey(seed)
	if err != nil {
		return nil, err
	}
	return &curve25519Key{public: k.PublicKey().Bytes(), key: k}, nil
}

func (g curve25519) Respond(seed, peer []byte) (public, secret []byte, err error) {
	if err := checkSize(Curve25519, peer, curve25519Size); err != nil {
		return nil, nil, err
	}
	k, err := g.privateKey(seed)
	if err != nil {
		return nil, nil, err
	}
	if secret, err = g.secret(k, peer); err != nil {
		return nil, nil, err
	}
	return k.PublicKey().Bytes(), secret, nil
}

type curve25519Key struct {
	public []byte
	key    *ecdh.PrivateKey
}

func (k *curve25519Key) Public() []byte { return k.public }

func (k *curve25519Key) Finish(peer []byte) ([]byte, error) {
	if k.key == nil {
		return nil, ErrWiped
	}
	if err := checkSize(Curve25519, peer, curve25519Size); err != nil {
		return nil, err
	}
	return x25519.secret(k.key, peer)
}

// Wipe drops the key: crypto/ecdh gives no way to overwrite it.
func (k *curve25519Key) Wipe() { k.key = nil }

func (k *curve25519Key) Format(f fmt.State, _ rune) { redacted(Curve25519).format(f) }
func (k *curve25519Key) LogValue() slog.Value       { return redacted(Curve25519).value() }
