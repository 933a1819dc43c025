package dh_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/racoon3/racoon/dh"
)

// Both sides of a key exchange. The same code serves Diffie-Hellman groups and KEMs.
func Example() {
	group, ok := dh.ByID(dh.Curve25519)
	if !ok {
		return
	}
	seed := func() []byte {
		s := make([]byte, group.SeedSize())
		rand.Read(s)
		return s
	}

	// The initiator sends the public value in its KE payload.
	key, err := group.Generate(seed())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer key.Wipe()

	// The responder answers with its own.
	public, secretR, err := group.Respond(seed(), key.Public())
	if err != nil {
		fmt.Println(err)
		return
	}

	// The initiator finishes.
	secretI, err := key.Finish(public)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(key)
	fmt.Println(len(secretI), "octets, equal:", bytes.Equal(secretI, secretR))
	// Output:
	// dh.PrivateKey(x25519, redacted)
	// 32 octets, equal: true
}

func ExampleParseID() {
	for _, name := range []string{"modp2048", "group19", "31", "modp1024", "modp768"} {
		id, err := dh.ParseID(name)
		fmt.Println(int(id), id, id.Grade(), err)
	}
	// Output:
	// 14 modp2048 sound <nil>
	// 19 ecp256 sound <nil>
	// 31 x25519 sound <nil>
	// 2 modp1024 legacy <nil>
	// 1 modp768 weak <nil>
}

// A peer's public value that fails the tests of RFC 6989.
func ExampleValueError() {
	group, _ := dh.ByID(dh.MODP2048)
	one := make([]byte, group.InitiatorSize())
	one[len(one)-1] = 1
	_, _, err := group.Respond(make([]byte, group.SeedSize()), one)
	fmt.Println(err)
	fmt.Println(errors.Is(err, dh.ErrInvalidPublicValue))
	// Output:
	// dh: modp2048: invalid public value: 1
	// true
}

// What may be offered without being asked for.
func ExampleGroups() {
	for g := range dh.Groups() {
		if id := g.ID(); id.Grade() == dh.Sound && id.Strength() >= 128 && !id.KEM() {
			fmt.Println(id, g.InitiatorSize())
		}
	}
	// Output:
	// modp3072 384
	// modp4096 512
	// modp6144 768
	// modp8192 1024
	// ecp256 64
	// ecp384 96
	// ecp521 132
	// x25519 32
}
