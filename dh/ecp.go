package dh

import (
	"crypto/ecdh"
	"fmt"
	"log/slog"
)

// ecp is a curve over a prime field (RFC 5903). A public value is x and y, each padded to the length of the field; the
// secret is x alone.
type ecp struct {
	id      ID
	curve   ecdh.Curve
	field   int // octets of a coordinate, and of the order
	scalars func() *scalars
}

var (
	ecp256 = &ecp{ECP256, ecdh.P256(), 32, newScalars("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551")}
	ecp384 = &ecp{ECP384, ecdh.P384(), 48, newScalars("ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf" +
		"581a0db248b0a77aecec196accc52973")}
	ecp521 = &ecp{ECP521, ecdh.P521(), 66, newScalars("01ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff" +
		"fa51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409")}
)

func (g *ecp) ID() ID             { return g.id }
func (g *ecp) InitiatorSize() int { return 2 * g.field }
func (g *ecp) ResponderSize() int { return 2 * g.field }
func (g *ecp) SecretSize() int    { return g.field }
func (g *ecp) SeedSize() int      { return g.field + extraSeed }

func (g *ecp) privateKey(seed []byte) (*ecdh.PrivateKey, error) {
	if err := checkSeed(g, seed); err != nil {
		return nil, err
	}
	d := g.scalars().fromSeed(seed)
	defer clear(d)
	k, err := g.curve.NewPrivateKey(d)
	if err != nil {
		return nil, fmt.Errorf("dh: %v: %w", g.id, err)
	}
	return k, nil
}

// peerValue makes the test of RFC 6989 2.3. The point at infinity and compressed points have no encoding here.
func (g *ecp) peerValue(peer []byte) (*ecdh.PublicKey, error) {
	if err := checkSize(g.id, peer, 2*g.field); err != nil {
		return nil, err
	}
	var buf [1 + 2*66]byte
	buf[0] = 4 // uncompressed
	y, err := g.curve.NewPublicKey(buf[:1+copy(buf[1:], peer)])
	if err != nil {
		return nil, &ValueError{Group: g.id, Reason: "not a point on the curve"}
	}
	return y, nil
}

func (g *ecp) Generate(seed []byte) (PrivateKey, error) {
	k, err := g.privateKey(seed)
	if err != nil {
		return nil, err
	}
	return &ecpKey{group: g, public: k.PublicKey().Bytes()[1:], key: k}, nil
}

func (g *ecp) Respond(seed, peer []byte) (public, secret []byte, err error) {
	y, err := g.peerValue(peer)
	if err != nil {
		return nil, nil, err
	}
	k, err := g.privateKey(seed)
	if err != nil {
		return nil, nil, err
	}
	secret, err = k.ECDH(y)
	if err != nil {
		return nil, nil, &ValueError{Group: g.id, Reason: err.Error()}
	}
	return k.PublicKey().Bytes()[1:], secret, nil
}

type ecpKey struct {
	group  *ecp
	public []byte
	key    *ecdh.PrivateKey
}

func (k *ecpKey) Public() []byte { return k.public }

func (k *ecpKey) Finish(peer []byte) ([]byte, error) {
	if k.key == nil {
		return nil, ErrWiped
	}
	y, err := k.group.peerValue(peer)
	if err != nil {
		return nil, err
	}
	secret, err := k.key.ECDH(y)
	if err != nil {
		return nil, &ValueError{Group: k.group.id, Reason: err.Error()}
	}
	return secret, nil
}

// Wipe drops the key: crypto/ecdh gives no way to overwrite it.
func (k *ecpKey) Wipe() { k.key = nil }

func (k *ecpKey) Format(f fmt.State, _ rune) { redacted(k.group.id).format(f) }
func (k *ecpKey) LogValue() slog.Value       { return redacted(k.group.id).value() }
