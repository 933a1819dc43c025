package racoon_test

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/spd"
)

// A client and its gateway, here with data planes that only remember what they
// are told, and on free ports of the loopback interface. With a real data plane
// (packages esp, xfrm, pfkey) and no Listen they are whole programs.
func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	// The gateway: serves a network, and gives its clients addresses.
	pool, err := racoon.NewPool(racoon.PoolConfig{Addresses: []string{"10.99.0.0/24"}, DNS: []netip.Addr{netip.MustParseAddr("10.1.0.53")}})
	if err != nil {
		fmt.Println(err)
		return
	}
	gateway, err := racoon.NewManager(racoon.Config{
		DataPlane: spd.NewMemory(spd.MemoryConfig{}),
		Listen:    []racoon.Listen{{Address: "127.0.0.1:0"}, {Address: "127.0.0.1:0", NATT: true}},
		Peers: []racoon.Peer{{
			Name: "road warriors", LocalID: "gw.example.org", RemoteID: "*@example.org", PSK: ike.Secret("correct horse battery"),
			Assign:   pool,
			Children: []racoon.Child{{Name: "net", Local: []string{"10.1.0.0/16"}}},
		}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	go gateway.Serve(ctx)
	<-gateway.Ready()

	// The client: wants an address and that network.
	client, err := racoon.NewManager(racoon.Config{
		DataPlane: spd.NewMemory(spd.MemoryConfig{}),
		Listen:    []racoon.Listen{{Address: "127.0.0.1:0"}, {Address: "127.0.0.1:0", NATT: true}},
		Peers: []racoon.Peer{{
			Name: "office", Remote: gateway.Addrs()[0].String(), LocalID: "alice@example.org", RemoteID: "gw.example.org",
			PSK: ike.Secret("correct horse battery"), RequestAddress: true,
			Children: []racoon.Child{{Name: "net", Remote: []string{"10.1.0.0/16"}}},
		}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	go client.Serve(ctx)
	s, err := client.Initiate(ctx, "office")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("up:", s.Info().RemoteID, s.Info().Config.Addresses, s.Info().Config.DNS)
	for _, c := range s.ChildSAs() {
		fmt.Println(c.Name, c.LocalTS, c.RemoteTS)
	}
	fmt.Println("rekey:", s.Rekey(ctx))
	fmt.Println("shutdown:", client.Shutdown(ctx), gateway.Shutdown(ctx))
	// Output:
	// up: gw.example.org [10.99.0.1/32] [10.1.0.53]
	// net [10.99.0.1] [10.1.0.0/16]
	// rekey: <nil>
	// shutdown: <nil> <nil>
}

// Errors of a configuration name the field and what to do.
func ExampleNewManager() {
	_, err := racoon.NewManager(racoon.Config{
		DataPlane: spd.NewMemory(spd.MemoryConfig{}),
		Peers: []racoon.Peer{{
			Name: "office", Remote: "gw.example.org", PSK: ike.Secret("correct horse battery"),
			Children: []racoon.Child{{Remote: []string{"10.1.2.3/16"}}},
		}},
	})
	fmt.Println(err)
	// Output:
	// racoon: Peers[0] "office": Children[0] "office": Remote: [0]: spd: invalid traffic selector "10.1.2.3/16": bits are set after the prefix length; write 10.1.0.0/16 for the network or 10.1.2.3 for the address
}

// A program that reacts to what happens.
func ExampleManager_Subscribe() {
	m, err := racoon.NewManager(racoon.Config{DataPlane: spd.NewMemory(spd.MemoryConfig{})})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	events := m.Subscribe(ctx)
	cancel() // a program would go on until it ends
	for ev := range events {
		switch ev := ev.(type) {
		case ike.SessionUp:
			fmt.Println(ev.Peer, "is up as", ev.Info.RemoteID)
		case ike.SessionDown:
			fmt.Println(ev.Peer, "is down:", ev.Reason, ev.Err)
		case ike.SessionFailed:
			fmt.Println(ev.Peer, "did not come up:", ev.Err)
		case racoon.EventsLost:
			fmt.Println("too slow: lost", ev.Count)
		}
	}
	fmt.Println("done")
	// Output:
	// done
}

// A reload says what follows from each change; nothing else is touched.
func ExampleManager_Reload() {
	ctx := context.Background()
	cfg := racoon.Config{
		DataPlane: spd.NewMemory(spd.MemoryConfig{}),
		Peers: []racoon.Peer{
			{Name: "office", Remote: "gw.example.org", PSK: ike.Secret("correct horse battery")},
			{Name: "lab", Remote: "192.0.2.7", PSK: ike.Secret("correct horse battery")},
		},
	}
	m, err := racoon.NewManager(cfg)
	if err != nil {
		fmt.Println(err)
		return
	}
	cfg.Peers = []racoon.Peer{cfg.Peers[0]} // the lab is gone
	cfg.Peers[0].DeadAction = racoon.ActionRestart
	cfg.Peers[0].Proposals = []string{"aes256gcm16-prfsha384-ecp384"}
	cfg.Peers[0].PSK = ike.Secret("staple")
	changes, err := m.Reload(ctx, cfg)
	for _, c := range changes {
		fmt.Println(c)
	}
	fmt.Println(err)
	// Output:
	// peer "lab": deletes (0 sessions)
	// peer "office" PSK: at reauthentication (0 sessions)
	// peer "office" Proposals: at the next rekey (0 sessions)
	// peer "office" DeadAction: live (0 sessions)
	// <nil>
}
