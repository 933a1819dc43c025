package core

import (
	"context"
	"time"

	"github.com/racoon3/racoon/dh"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/secret"
)

// KeyExchange is the result of a key-exchange job.
type KeyExchange struct {
	Private dh.PrivateKey
	Public  []byte
	Secret  secret.Bytes
}

// Wipe forgets the secrets.
func (k KeyExchange) Wipe() {
	k.Secret.Wipe()
	if k.Private != nil {
		k.Private.Wipe()
	}
}

// abandonKeyExchange wipes a result that nobody waits for.
func abandonKeyExchange(v any) {
	if k, ok := v.(KeyExchange); ok {
		k.Wipe()
	}
}

// group returns a group that configurations have been checked for.
func group(id dh.ID) dh.Group {
	g, ok := dh.ByID(id)
	if !ok {
		panic("core: proposal with an unknown group passed the check")
	}
	return g
}

// seed draws the randomness of a key pair.
func (s *Session) seed(g dh.Group) (secret.Bytes, error) {
	b := make(secret.Bytes, g.SeedSize())
	return b, s.core.Random(b)
}

// Generate makes an initiator's key.
func (s *Session) Generate(id dh.ID, done func(now time.Time, k KeyExchange, err error)) {
	s.GenerateIn(group(id), done)
}

// GenerateIn is Generate in a group that the caller has.
func (s *Session) GenerateIn(g dh.Group, done func(now time.Time, k KeyExchange, err error)) {
	seed, seedErr := s.seed(g)
	s.Job(ike.JobKeyExchange, 0, func(context.Context) (any, error) {
		defer seed.Wipe()
		if seedErr != nil {
			return nil, seedErr
		}
		p, err := g.Generate(seed)
		if err != nil {
			return nil, err
		}
		return KeyExchange{Private: p, Public: p.Public()}, nil
	}, keyExchangeDone(done), abandonKeyExchange)
}

// RespondTo answers an initiator's public value.
func (s *Session) RespondTo(id dh.ID, peer []byte, done func(now time.Time, k KeyExchange, err error)) {
	s.RespondIn(group(id), peer, done)
}

// RespondIn is RespondTo in a group that the caller has.
func (s *Session) RespondIn(g dh.Group, peer []byte, done func(now time.Time, k KeyExchange, err error)) {
	seed, seedErr := s.seed(g)
	peer = append([]byte(nil), peer...)
	s.Job(ike.JobKeyExchange, 0, func(context.Context) (any, error) {
		defer seed.Wipe()
		if seedErr != nil {
			return nil, seedErr
		}
		public, shared, err := g.Respond(seed, peer)
		if err != nil {
			return nil, err
		}
		return KeyExchange{Public: public, Secret: shared}, nil
	}, keyExchangeDone(done), abandonKeyExchange)
}

// Conclude derives the initiator's shared secret.
func (s *Session) Conclude(private dh.PrivateKey, peer []byte, done func(now time.Time, k KeyExchange, err error)) {
	peer = append([]byte(nil), peer...)
	s.Job(ike.JobKeyExchange, 0, func(context.Context) (any, error) {
		defer private.Wipe()
		shared, err := private.Finish(peer)
		if err != nil {
			return nil, err
		}
		return KeyExchange{Secret: shared}, nil
	}, keyExchangeDone(done), abandonKeyExchange)
}

func keyExchangeDone(done func(now time.Time, k KeyExchange, err error)) func(time.Time, any, error) {
	return func(now time.Time, v any, err error) {
		k, _ := v.(KeyExchange)
		done(now, k, err)
	}
}
