package conf_test

import (
	"fmt"

	"github.com/racoon3/racoon/internal/conf"
)

const file = `
[macros]
OFFICE = "192.0.2.1"

[defaults]
psk-file = "office.psk"
timing.rekey = "4h"

[peer.office]
remote = "${OFFICE}"
local-id = "alice@example.org"
[peer.office.child.net]
local = "10.1.0.0/16"
remote = "10.2.0.0/16"
`

// What a file says, with macros, inheritance and defaults resolved.
func ExampleParse() {
	c, err := conf.Parse("racoon.toml", []byte(file))
	if err != nil {
		fmt.Println(err)
		return
	}
	office := c.Peer("office")
	fmt.Println(office.Remote, office.PSKFile, office.Timing.Rekey)
	fmt.Println(office.Children[0].Remote, office.Children[0].Mode)

	// Mistakes are told all at once, each with its place.
	_, err = conf.Parse("racoon.toml", []byte(file+"remote-port = 500\nmode = \"tunel\"\n"))
	fmt.Println(err)
	// Output:
	// 192.0.2.1 office.psk 4h
	// [10.2.0.0/16] tunnel
	// racoon.toml:15:1: peer.office.child.net.remote-port: is unknown in [peer.office.child.net]; did you mean "remote"?
	// racoon.toml:16:8: peer.office.child.net.mode: is "tunel", but can be "tunnel" or "transport" only; did you mean "tunnel"?
}
