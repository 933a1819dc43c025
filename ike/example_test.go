package ike_test

import (
	"context"
	"fmt"

	"github.com/racoon3/racoon/ike"
)

// The type of an identity is seen from its shape; a prefix says otherwise.
func ExampleParseIdentity() {
	for _, s := range []string{"gw.example.org", "user@example.org", "192.0.2.1", "C=CH, O=lab, CN=gw", "rfc4514:CN=gw,O=lab,C=CH", "keyid:0x0102", "fqdn:192.0.2.1"} {
		id, err := ike.ParseIdentity(s)
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(id.Type, id)
	}
	_, err := ike.ParseIdentity("gw\n.example.org")
	fmt.Println(err)
	// Output:
	// FQDN gw.example.org
	// RFC822_ADDR user@example.org
	// IPV4_ADDR 192.0.2.1
	// DER_ASN1_DN C=CH, O=lab, CN=gw
	// DER_ASN1_DN C=CH, O=lab, CN=gw
	// KEY_ID keyid:0x0102
	// FQDN fqdn:192.0.2.1
	// malformed identity "gw\n.example.org": FQDN has a control character at octet 2
}

// A pattern says which identities a peer may have.
func ExampleParseIdentityPattern() {
	p, err := ike.ParseIdentityPattern("C=CH, O=lab, CN=*")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, s := range []string{"C=CH, O=Lab, CN=alice", "C=CH, O=other, CN=alice", "alice.lab"} {
		id, _ := ike.ParseIdentity(s)
		fmt.Println(s, p.Match(id))
	}
	// Output:
	// C=CH, O=Lab, CN=alice true
	// C=CH, O=other, CN=alice false
	// alice.lab false
}

// The most specific entry counts.
func ExampleSharedKeys() {
	site, _ := ike.ParseIdentityPattern("*.site.example")
	alice, _ := ike.ParseIdentityPattern("alice.site.example")
	find := ike.SharedKeys(
		ike.SharedKey{Remote: site, Key: ike.Secret("of the site")},
		ike.SharedKey{Remote: alice, Key: ike.Secret("of alice only")},
	)
	gw, _ := ike.ParseIdentity("gw.example")
	for _, s := range []string{"alice.site.example", "bob.site.example", "mallory.example"} {
		remote, _ := ike.ParseIdentity(s)
		c, err := find(context.Background(), gw, remote)
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(s, c.PSK)
	}
	// Output:
	// alice.site.example [13 secret octets]
	// bob.site.example [11 secret octets]
	// no credential for gw.example with mallory.example
}
