package dh

import (
	"errors"
	"testing"
)

// FuzzRespond gives a public value to both roles of a group: either is refused with a *ValueError or
// yields a secret of the right size.
func FuzzRespond(f *testing.F) {
	for g := range Groups() {
		if g.InitiatorSize() > 384 && !g.ID().KEM() {
			continue // too slow for a seed corpus
		}
		k, err := g.Generate(make([]byte, g.SeedSize()))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint16(g.ID()), k.Public())
		f.Add(uint16(g.ID()), make([]byte, g.InitiatorSize()))
		f.Add(uint16(g.ID()), make([]byte, g.ResponderSize()))
	}
	f.Add(uint16(1025), []byte{1})
	f.Fuzz(func(t *testing.T, id uint16, peer []byte) {
		g, ok := ByID(ID(id))
		if !ok {
			return
		}
		seed := make([]byte, g.SeedSize())
		public, secret, err := g.Respond(seed, peer)
		check(t, g, secret, err)
		if err == nil && len(public) != g.ResponderSize() {
			t.Fatalf("%v: public value of %d octets", g.ID(), len(public))
		}
		k, err := g.Generate(seed)
		if err != nil {
			t.Fatal(err)
		}
		secret, err = k.Finish(peer)
		check(t, g, secret, err)
	})
}

func check(t *testing.T, g Group, secret []byte, err error) {
	if err == nil {
		if len(secret) != g.SecretSize() {
			t.Fatalf("%v: secret of %d octets", g.ID(), len(secret))
		}
		return
	}
	if v, ok := errors.AsType[*ValueError](err); !ok || v.Group != g.ID() || v.Reason == "" || secret != nil {
		t.Fatalf("%v: %v", g.ID(), err)
	}
}
