package ikev2_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/netip"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev2"
	"github.com/racoon3/racoon/spd"
)

// newEndpoint makes a core with one peer that shares a key with it.
func newEndpoint(own, other string, local, remote string) (*ikev2.Endpoint, *ikev2.Peer) {
	id, _ := ike.ParseIdentity(own)
	peerID, _ := ike.ParseIdentityPattern(other)
	key := (&ike.Credential{PSK: ike.Secret("correct horse battery staple")}).Source()
	peer := &ikev2.Peer{
		Name:      other,
		Local:     ikev2.LocalAuth{ID: id, Method: ikev2.AuthPSK, Credential: key},
		Remote:    ikev2.RemoteAuth{ID: peerID, Methods: []ikev2.AuthMethod{ikev2.AuthPSK}, Credential: key},
		Proposals: spd.DefaultIKEProposals(),
		Children: []*ike.ChildConfig{{
			Name:      "net",
			Local:     []spd.TrafficSelector{spd.MustParseTrafficSelector(local)},
			Remote:    []spd.TrafficSelector{spd.MustParseTrafficSelector(remote)},
			Proposals: []spd.Proposal{spd.MustParseProposal(spd.ProtoESP, "aes256gcm16")},
		}},
	}
	e, err := ikev2.NewEndpoint(ikev2.Config{Rand: rand.Reader, DataPlane: spd.NewMemory(spd.MemoryConfig{})})
	if err != nil {
		panic(err)
	}
	peers, err := ikev2.NewPeerSet([]*ikev2.Peer{peer})
	if err != nil {
		panic(err)
	}
	e.SetPeers(peers)
	return e, peer
}

// Two cores, driven by hand: datagrams are carried from one to the other, jobs
// are run at once, events are printed.
func ExampleEndpoint() {
	a, toB := newEndpoint("a.example", "b.example", "10.1.0.0/16", "10.2.0.0/16")
	b, _ := newEndpoint("b.example", "a.example", "10.2.0.0/16", "10.1.0.0/16")
	now := time.Now()
	path := ike.Path{Local: netip.MustParseAddrPort("192.0.2.1:500"), Remote: netip.MustParseAddrPort("192.0.2.2:500")}
	if _, err := a.Initiate(now, ikev2.Initiation{Peer: toB, Path: path}); err != nil {
		fmt.Println(err)
		return
	}
	for busy := true; busy; {
		busy = false
		for _, end := range []struct {
			name      string
			me, other *ikev2.Endpoint
		}{{"a", a, b}, {"b", b, a}} {
			for job, ok := end.me.PollJob(); ok; job, ok = end.me.PollJob() {
				end.me.HandleResult(now, job.Do(context.Background()))
				busy = true
			}
			for tx, ok := end.me.PollTransmit(); ok; tx, ok = end.me.PollTransmit() {
				back := ike.Path{Local: tx.Path.Remote, Remote: tx.Path.Local}
				end.other.HandleDatagram(now, back, tx.Packet)
				busy = true
			}
			for ev, ok := end.me.PollEvent(); ok; ev, ok = end.me.PollEvent() {
				switch ev := ev.(type) {
				case ike.SessionUp:
					fmt.Printf("%s: session with %v, %v\n", end.name, ev.Info.RemoteID, ev.Info.Proposal)
				case ike.ChildUp:
					fmt.Printf("%s: %v === %v, %v\n", end.name, ev.Child.LocalTS[0], ev.Child.RemoteTS[0], ev.Child.Proposal)
				}
			}
		}
	}
	// Output:
	// b: session with a.example, aes256gcm16-prfsha256-x25519
	// b: 10.2.0.0/16 === 10.1.0.0/16, aes256gcm16
	// a: session with b.example, aes256gcm16-prfsha256-x25519
	// a: 10.1.0.0/16 === 10.2.0.0/16, aes256gcm16
}
