package policy_test

import (
	"fmt"

	"github.com/racoon3/racoon/pfkey"
	"github.com/racoon3/racoon/pfkey/policy"
)

// What ipsec_set_policy(3) does: a policy's text becomes the value of a socket
// option.
func ExampleParse() {
	p, err := policy.Parse("out ipsec esp/transport//require")
	if err != nil {
		fmt.Println(err)
		return
	}
	b, err := pfkey.NetBSD.AppendPolicy(nil, p)
	fmt.Println(len(b), err)
	fmt.Println(policy.String(p))
	_, err = policy.Parse("out ipsec esp/transport//must")
	fmt.Println(err)
	// Output:
	// 24 <nil>
	// out ipsec esp/transport//require
	// policy: syntax: column 26: "must" is no level: default, use, require, unique or unique:number
}
