package coretest_test

import (
	"crypto/rand"
	"fmt"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev2"
	"github.com/racoon3/racoon/internal/coretest"
	"github.com/racoon3/racoon/internal/nullplane"
	"github.com/racoon3/racoon/spd"
)

// endpoint is a core with one peer, which shares a key with it.
func endpoint(own, other string) (*ikev2.Endpoint, *ikev2.Peer) {
	id, _ := ike.ParseIdentity(own)
	peerID, _ := ike.ParseIdentityPattern(other)
	key := (&ike.Credential{PSK: ike.Secret("a secret of both")}).Source()
	p := &ikev2.Peer{Name: other, Proposals: spd.DefaultIKEProposals(), Childless: true,
		Local:  ikev2.LocalAuth{ID: id, Method: ikev2.AuthPSK, Credential: key},
		Remote: ikev2.RemoteAuth{ID: peerID, Methods: []ikev2.AuthMethod{ikev2.AuthPSK}, Credential: key}}
	e, err := ikev2.NewEndpoint(ikev2.Config{Rand: rand.Reader, DataPlane: nullplane.New()})
	if err != nil {
		panic(err)
	}
	peers, err := ikev2.NewPeerSet([]*ikev2.Peer{p})
	if err != nil {
		panic(err)
	}
	e.SetPeers(peers)
	return e, p
}

// The first message is lost: the next one goes out when its timer fires.
func ExampleLink() {
	a, toB := endpoint("a.example", "b.example")
	b, _ := endpoint("b.example", "a.example")
	now := time.Unix(1_700_000_000, 0)
	begun, sent := now, 0
	link := coretest.Link[*ikev2.Endpoint]{
		Ends: [2]*ikev2.Endpoint{a, b},
		Filter: func(from *ikev2.Endpoint, tx ike.Transmit) bool {
			sent++
			return sent > 1
		},
		Event: func(of *ikev2.Endpoint, ev ike.Event) {
			if up, ok := ev.(ike.SessionUp); ok {
				fmt.Println("session with", up.Info.RemoteID, "after", now.Sub(begun).Round(time.Second))
			}
		},
	}
	path := ike.Path{Local: coretest.AddrA, Remote: coretest.AddrB}
	if _, err := a.Initiate(now, ikev2.Initiation{Peer: toB, Path: path}); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(link.Advance(&now, time.Minute))
	fmt.Println(sent, "datagrams")
	// Output:
	// session with a.example after 1s
	// session with b.example after 1s
	// <nil>
	// 7 datagrams
}
