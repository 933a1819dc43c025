package ikev1_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/netip"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1"
	"github.com/racoon3/racoon/spd"
)

// sitePeer is a peer that shares a key with this side.
func sitePeer(own, other string, local, remote string) *ikev1.Peer {
	id, _ := ike.ParseIdentity(own)
	peerID, _ := ike.ParseIdentityPattern(other)
	return &ikev1.Peer{
		Name:    other,
		Modes:   []ikev1.Mode{ikev1.MainMode},
		Methods: []ikev1.AuthMethod{ikev1.AuthPSK},
		Local:   ikev1.LocalAuth{ID: id},
		Remote: ikev1.RemoteAuth{ID: peerID,
			Credential: (&ike.Credential{PSK: ike.Secret("correct horse battery staple")}).Source()},
		Proposals: []spd.Proposal{spd.MustParseProposal(spd.ProtoIKE, "aes256-sha256-prfsha256-ecp256")},
		Children: []*ike.ChildConfig{{
			Name:      "net",
			Local:     []spd.TrafficSelector{spd.MustParseTrafficSelector(local)},
			Remote:    []spd.TrafficSelector{spd.MustParseTrafficSelector(remote)},
			Proposals: []spd.Proposal{spd.MustParseProposal(spd.ProtoESP, "aes128gcm16")},
		}},
	}
}

// newEndpoint makes a core that knows one peer.
func newEndpoint(peer *ikev1.Peer) *ikev1.Endpoint {
	e, err := ikev1.NewEndpoint(ikev1.Config{Rand: rand.Reader, DataPlane: spd.NewMemory(spd.MemoryConfig{})})
	if err != nil {
		panic(err)
	}
	peers, err := ikev1.NewPeerSet([]*ikev1.Peer{peer})
	if err != nil {
		panic(err)
	}
	e.SetPeers(peers)
	return e
}

// drive carries datagrams from one core to the other and runs jobs at once,
// until both are quiet. A driver of its own would have sockets, timers and a
// pool of goroutines for the jobs.
func drive(now time.Time, a, b *ikev1.Endpoint, event func(name string, ev ike.Event)) {
	for busy := true; busy; {
		busy = false
		for _, end := range []struct {
			name      string
			me, other *ikev1.Endpoint
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
				event(end.name, ev)
			}
		}
	}
}

var examplePath = ike.Path{Local: netip.MustParseAddrPort("192.0.2.1:500"), Remote: netip.MustParseAddrPort("192.0.2.2:500")}

// Two sites: Main Mode with a pre-shared key, then Quick Mode.
func ExampleEndpoint() {
	toB := sitePeer("a.example", "b.example", "10.1.0.0/16", "10.2.0.0/16")
	a, b := newEndpoint(toB), newEndpoint(sitePeer("b.example", "a.example", "10.2.0.0/16", "10.1.0.0/16"))
	now := time.Now()
	if _, err := a.Initiate(now, ikev1.Initiation{Peer: toB, Path: examplePath}); err != nil {
		fmt.Println(err)
		return
	}
	drive(now, a, b, func(name string, ev ike.Event) {
		switch ev := ev.(type) {
		case ike.SessionUp:
			fmt.Printf("%s: session with %v, %v\n", name, ev.Info.RemoteID, ev.Info.Proposal)
		case ike.ChildUp:
			fmt.Printf("%s: %v === %v, %v\n", name, ev.Child.LocalTS[0], ev.Child.RemoteTS[0], ev.Child.Proposal)
		}
	})
	// Output:
	// b: session with a.example, aes256-prfsha256-ecp256
	// a: session with b.example, aes256-prfsha256-ecp256
	// a: 10.1.0.0/16 === 10.2.0.0/16, aes128gcm16
	// b: 10.2.0.0/16 === 10.1.0.0/16, aes128gcm16
}

// A user logs in with XAuth, and the gateway assigns an address. The client's
// prompter answers what the gateway asks; here with a fixed password.
func ExamplePeer_roadwarrior() {
	users, err := ike.NewMemoryUsers(map[string]ike.User{"alice": {Password: ike.Secret("wonderland")}})
	if err != nil {
		fmt.Println(err)
		return
	}
	client := sitePeer("laptop.example", "gw.example", "0.0.0.0/0", "10.2.0.0/16")
	client.Methods = []ikev1.AuthMethod{ikev1.AuthXAuthInitPSK} // whoever begins is the one who logs in
	client.Prompt = ike.StaticUser("alice", ike.Secret("wonderland"))
	client.Request = &ike.ConfigRequest{IPv4: true, DNS: true}
	client.Children[0].Local, client.Children[0].LocalDynamic = nil, true

	gateway := sitePeer("gw.example", "laptop.example", "10.2.0.0/16", "0.0.0.0/0")
	gateway.Methods = client.Methods
	gateway.Users = users
	gateway.Assign = oneAddress{}
	gateway.Children[0].Remote, gateway.Children[0].RemoteDynamic = nil, true

	a, b := newEndpoint(client), newEndpoint(gateway)
	now := time.Now()
	if _, err := a.Initiate(now, ikev1.Initiation{Peer: client, Path: examplePath}); err != nil {
		fmt.Println(err)
		return
	}
	drive(now, a, b, func(name string, ev ike.Event) {
		switch ev := ev.(type) {
		case ike.SessionUp:
			if name == "a" {
				fmt.Println("client: address", ev.Info.Config.Addresses[0], "DNS", ev.Info.Config.DNS[0])
			} else {
				fmt.Println("gateway: user", ev.Info.User)
			}
		case ike.ChildUp:
			if name == "a" {
				fmt.Println("client:", ev.Child.LocalTS[0], "===", ev.Child.RemoteTS[0])
			}
		}
	})
	// Output:
	// gateway: user alice
	// client: address 10.9.0.7/32 DNS 10.2.0.53
	// client: 10.9.0.7 === 10.2.0.0/16
}

// oneAddress is an address pool with one address in it.
type oneAddress struct{}

func (oneAddress) Assign(context.Context, ike.AddressRequest) (*ike.NetworkConfig, error) {
	return &ike.NetworkConfig{
		Addresses: []netip.Prefix{netip.MustParsePrefix("10.9.0.7/32")},
		DNS:       []netip.Addr{netip.MustParseAddr("10.2.0.53")},
	}, nil
}

func (oneAddress) Release(context.Context, ike.AddressRequest, *ike.NetworkConfig) {}

// What a configuration risks, it says itself.
func ExamplePeer_Warnings() {
	p := sitePeer("gw.example", "laptop.example", "10.2.0.0/16", "0.0.0.0/0")
	p.Modes = append(p.Modes, ikev1.AggressiveMode)
	for _, w := range p.Warnings() {
		fmt.Println(w)
	}
	// Output:
	// Aggressive Mode with a pre-shared key: whoever knows an identity is given a hash to guess the key by, offline (CVE-2018-5389)
}
