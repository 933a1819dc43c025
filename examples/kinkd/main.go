// Kinkd is the key management daemon for KINK (RFC 4430) alone: keys come from
// Kerberos. It is iked that leaves the other peers of its configuration to
// somebody else. docs/man/kinkd.8 describes it.
//
//	kinkd -c /etc/racoon/racoon.toml
package main

import (
	"os"

	"github.com/racoon3/racoon/internal/daemon"
)

func main() {
	os.Exit(daemon.Main(daemon.Program{Name: "kinkd", Protocols: []string{"kink"}}))
}
