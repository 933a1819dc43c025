package krb_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/racoon3/racoon/kink/krb"
	"github.com/racoon3/racoon/kink/krb/krbtest"
)

// The AP exchange between two hosts, with a realm in memory in the place of a
// KDC: afterwards both know each other and share the session key.
func Example() {
	now := time.Date(2030, 1, 2, 12, 0, 0, 0, time.UTC)
	random := rand.NewChaCha8([32]byte{}) // crypto/rand.Reader in a program
	realm := krbtest.NewRealm("EXAMPLE.COM", random, krb.AES256SHA384)
	a, b := realm.Host("kink/a.example.com"), realm.Host("kink/b.example.com")

	// The client.
	ticket, err := a.ServiceTicket(context.Background(), now, b.Principal(), krb.TicketOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(ticket)
	var stamps krb.Stamper
	stamp := stamps.Next(now)
	request, _ := ticket.APReq(nil, stamp, random)

	// The server.
	acceptor := krb.Acceptor{Keys: b, Replays: krb.NewReplayCache(krb.DefaultSkew, 0, 0)}
	req, err := krb.ParseAPReq(request)
	if err != nil {
		fmt.Println(err)
		return
	}
	peer, err := acceptor.Accept(now, netip.Addr{}, req)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("from", peer.Client)
	_, err = acceptor.Accept(now, netip.Addr{}, req)
	fmt.Println("again:", err)
	reply, _ := krb.AppendAPRep(nil, peer.Key, peer.Stamp, random)

	// The client.
	answered, err := krb.OpenAPRep(reply, ticket.Key)
	fmt.Println(answered == stamp, err)

	// Both.
	seed := []byte("protocol, SPI and nonce")
	fmt.Println(string(ticket.Key.AppendKeyMat(nil, 36, krb.PRFStandard, seed)) == string(peer.Key.AppendKeyMat(nil, 36, krb.PRFStandard, seed)))
	// Output:
	// ticket of kink/a.example.com@EXAMPLE.COM for kink/b.example.com@EXAMPLE.COM until 2030-01-02T22:00:00Z
	// from kink/a.example.com@EXAMPLE.COM
	// again: krb: KRB_AP_ERR_REPEAT: authenticator of kink/a.example.com@EXAMPLE.COM at 2030-01-02T12:00:00.000000Z
	// true <nil>
	// true
}

// Names of principals.
func ExampleServicePrincipal() {
	p := krb.ServicePrincipal("kink", "Gateway.Example.com", "EXAMPLE.COM")
	fmt.Println(p, p.Components())
	q, err := krb.ParsePrincipal("kink/gateway.example.com", "EXAMPLE.COM")
	fmt.Println(p == q, err)
	// Output:
	// kink/gateway.example.com@EXAMPLE.COM [kink gateway.example.com]
	// true <nil>
}
