package kink_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/netip"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/kink"
	"github.com/racoon3/racoon/kink/krb"
	"github.com/racoon3/racoon/kink/krb/krbtest"
	"github.com/racoon3/racoon/spd"
)

// hostPeer is another principal of the realm, with one tunnel between the
// networks behind both hosts.
func hostPeer(principal, local, remote string) *kink.Peer {
	return &kink.Peer{
		Name:      principal,
		Principal: principal,
		Children: []*ike.ChildConfig{{
			Name:      "net",
			Local:     []spd.TrafficSelector{spd.MustParseTrafficSelector(local)},
			Remote:    []spd.TrafficSelector{spd.MustParseTrafficSelector(remote)},
			Proposals: []spd.Proposal{spd.MustParseProposal(spd.ProtoESP, "aes128gcm16")},
		}},
	}
}

// newEndpoint makes a core that is a principal of the realm and knows one peer.
func newEndpoint(host *krbtest.Host, started time.Time, peer *kink.Peer) *kink.Endpoint {
	e, err := kink.NewEndpoint(kink.Config{
		Rand: rand.Reader, DataPlane: spd.NewMemory(spd.MemoryConfig{}), Kerberos: host, Started: started,
	})
	if err != nil {
		panic(err)
	}
	peers, err := kink.NewPeerSet([]*kink.Peer{peer})
	if err != nil {
		panic(err)
	}
	e.SetPeers(peers)
	return e
}

// drive carries datagrams from one core to the other and runs jobs at once,
// until both are quiet. A driver of its own would have a socket, timers and a
// pool of goroutines for the jobs.
func drive(now time.Time, a, b *kink.Endpoint, event func(name string, ev ike.Event)) {
	for busy := true; busy; {
		busy = false
		for _, end := range []struct {
			name      string
			me, other *kink.Endpoint
		}{{"alpha", a, b}, {"beta", b, a}} {
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

// Two hosts of a realm: a ticket, and a Child SA with one CREATE and one REPLY.
// The realm is one in memory; package kink/krb/kdc has those that are not.
func Example() {
	realm := krbtest.NewRealm("EXAMPLE.COM", rand.Reader, krb.AES256SHA384)
	started := time.Now()
	toBeta := hostPeer("kink/beta.example.com@EXAMPLE.COM", "10.1.0.0/16", "10.2.0.0/16")
	toAlpha := hostPeer("kink/alpha.example.com@EXAMPLE.COM", "10.2.0.0/16", "10.1.0.0/16")
	alpha := newEndpoint(realm.Host("kink/alpha.example.com"), started, toBeta)
	beta := newEndpoint(realm.Host("kink/beta.example.com"), started, toAlpha)

	now := started.Add(time.Second)
	path := ike.Path{Local: netip.MustParseAddrPort("192.0.2.1:910"), Remote: netip.MustParseAddrPort("192.0.2.2:910")}
	if _, err := alpha.Initiate(now, kink.Initiation{Peer: toBeta, Path: path}); err != nil {
		fmt.Println(err)
		return
	}
	drive(now, alpha, beta, func(name string, ev ike.Event) {
		switch ev := ev.(type) {
		case ike.SessionUp:
			fmt.Printf("%s: session with %v\n", name, ev.Info.RemoteID)
		case ike.ChildUp:
			fmt.Printf("%s: %v === %v, %v\n", name, ev.Child.LocalTS[0], ev.Child.RemoteTS[0], ev.Child.Proposal)
		case ike.SessionDown:
			fmt.Printf("%s: %v\n", name, ev.Err)
		}
	})
	// Output:
	// beta: session with krb5:kink/alpha.example.com@EXAMPLE.COM
	// beta: 10.2.0.0/16 === 10.1.0.0/16, aes128gcm16
	// alpha: session with krb5:kink/beta.example.com@EXAMPLE.COM
	// alpha: 10.1.0.0/16 === 10.2.0.0/16, aes128gcm16
}
