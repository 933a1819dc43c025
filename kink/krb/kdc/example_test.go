package kdc_test

import (
	"fmt"

	"github.com/racoon3/racoon/kink/krb/kdc"
)

// A host whose keys are in a keytab. Nothing is asked of a KDC yet, and the
// file may come later: Reload looks for it.
func ExampleNew() {
	k, err := kdc.New(kdc.Config{
		Principal: "kink/a.example.com@EXAMPLE.COM",
		Keytab:    "/nonexistent/krb5.keytab",
		KDCs:      map[string][]string{"EXAMPLE.COM": {"kdc1.example.com", "tcp/kdc2.example.com:8888"}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(k.Principal())
	// k is a krb.Kerberos, for a KINK endpoint.
	// Output: kink/a.example.com@EXAMPLE.COM
}

// What krb5.conf says, without the rest of the environment.
func ExampleParseKrb5Conf() {
	c, err := kdc.ParseKrb5Conf(`
[libdefaults]
	default_realm = EXAMPLE.COM
	dns_lookup_kdc = false
[realms]
	EXAMPLE.COM = {
		kdc = kdc.example.com
	}
[domain_realm]
	.example.com = EXAMPLE.COM
`)
	if err != nil {
		fmt.Println(err)
		return
	}
	realm, _ := c.Realm("a.example.com")
	fmt.Println(realm, c.KDCs[realm])
	// Output: EXAMPLE.COM [kdc.example.com]
}
