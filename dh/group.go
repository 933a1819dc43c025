package dh

import (
	"errors"
	"fmt"
	"iter"
	"log/slog"
)

// Group is one method of key exchange. Its methods may be called concurrently.
//
// The initiator calls Generate and sends the public value; the responder calls Respond with it and answers; the initiator
// calls Finish with the answer. Both then hold the same secret.
//
// Nothing here reads randomness: the caller passes SeedSize octets from a cryptographic source, fresh for each call, and the
// same seed gives the same values. A seed is as secret as the key made of it; neither method keeps or changes it.
type Group interface {
	// ID returns the number of the group.
	ID() ID
	// InitiatorSize is the number of octets of the initiator's Key Exchange Data.
	InitiatorSize() int
	// ResponderSize is the number of octets of the responder's Key Exchange Data: for a KEM the ciphertext.
	ResponderSize() int
	// SecretSize is the number of octets of the shared secret. MODP secrets are left-padded to the length of the
	// modulus (RFC 7296 2.14); those of ECP groups are the x coordinate (RFC 5903 9).
	SecretSize() int
	// SeedSize is the number of octets of randomness that Generate and Respond need.
	SeedSize() int
	// Generate makes the initiator's key. The error is a *SeedError, or what the standard library refuses
	// to do in FIPS 140 mode.
	Generate(seed []byte) (PrivateKey, error)
	// Respond checks the initiator's public value and returns the responder's one and the shared secret, both
	// newly allocated; wiping the secret is the caller's. The error is a *ValueError if the peer is at fault.
	Respond(seed, peer []byte) (public, secret []byte, err error)
}

// PrivateKey is the initiator's half of an exchange. It does not print itself. A key belongs to one
// goroutine at a time.
type PrivateKey interface {
	// Public is the value to send. The caller must not change it. It stays valid after Wipe.
	Public() []byte
	// Finish checks the responder's answer and returns the shared secret, newly allocated. It may be called again, so
	// that a forged answer does not end the exchange (RFC 7296 2.21.1). The error is a *ValueError if the
	// peer is at fault, and ErrWiped after Wipe.
	Finish(peer []byte) (secret []byte, err error)
	// Wipe forgets the private key.
	Wipe()
}

var (
	// ErrInvalidPublicValue is what every *ValueError wraps: the peer's value failed the tests of RFC 6989 or has
	// the wrong size. The exchange must not go on with it.
	ErrInvalidPublicValue = errors.New("invalid public value")
	// ErrSeed is what every *SeedError wraps.
	ErrSeed = errors.New("wrong size of seed")
	// ErrWiped is returned by Finish of a key that has been wiped.
	ErrWiped = errors.New("dh: private key has been wiped")
)

// ValueError says what is wrong with a peer's public value.
type ValueError struct {
	Group  ID
	Reason string
}

func (e *ValueError) Error() string {
	return "dh: " + e.Group.String() + ": " + ErrInvalidPublicValue.Error() + ": " + e.Reason
}

// Unwrap returns ErrInvalidPublicValue.
func (e *ValueError) Unwrap() error { return ErrInvalidPublicValue }

// SeedError reports a seed of the wrong size, which is a mistake of the caller's.
type SeedError struct {
	Group     ID
	Got, Want int // octets
}

func (e *SeedError) Error() string {
	return fmt.Sprintf("dh: %v: %v: %d octets, want %d", e.Group, ErrSeed, e.Got, e.Want)
}

// Unwrap returns ErrSeed.
func (e *SeedError) Unwrap() error { return ErrSeed }

// ByID returns the group of that number, and false if this package does not know it. It finds weak groups too: whether
// one may be used is for the caller to decide by ID.Grade.
func ByID(id ID) (Group, bool) {
	for _, g := range groups {
		if g.ID() == id {
			return g, true
		}
	}
	return nil, false
}

// Groups yields every group in the order of the numbers, the weak ones too.
func Groups() iter.Seq[Group] {
	return func(yield func(Group) bool) {
		for _, g := range groups {
			if !yield(g) {
				return
			}
		}
	}
}

var groups = [...]Group{
	modp768, modp1024, modp1536, modp2048, modp3072, modp4096, modp6144, modp8192,
	ecp256, ecp384, ecp521,
	modp1024s160, modp2048s224, modp2048s256,
	x25519,
	mlkem768, mlkem1024,
}

func checkSeed(g Group, seed []byte) error {
	if len(seed) != g.SeedSize() {
		return &SeedError{Group: g.ID(), Got: len(seed), Want: g.SeedSize()}
	}
	return nil
}

func checkSize(id ID, peer []byte, want int) error {
	if len(peer) != want {
		return &ValueError{Group: id, Reason: fmt.Sprintf("%d octets, want %d", len(peer), want)}
	}
	return nil
}

// redacted prints in place of a private key, whatever the verb.
type redacted ID

func (r redacted) String() string { return "dh.PrivateKey(" + ID(r).String() + ", redacted)" }

func (r redacted) format(f fmt.State) { _, _ = f.Write([]byte(r.String())) }

func (r redacted) value() slog.Value { return slog.StringValue(r.String()) }
