// Iked is the key management daemon: IKEv2, IKEv1 and, for peers with
// protocol = "kink", KINK, with the IPsec of the kernel (XFRM or PF_KEY) or with
// its own behind a TUN device. docs/man/iked.8 describes it, and
// docs/configuration.md its configuration.
//
//	iked -check -c site-to-site.toml
//	iked -c /etc/racoon/racoon.toml
package main

import (
	"os"

	"github.com/racoon3/racoon/internal/daemon"
)

func main() { os.Exit(daemon.Main(daemon.Program{Name: "iked"})) }
