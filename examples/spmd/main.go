// Spmd is the policy daemon: it installs the policies of the configuration into
// the kernel, follows the addresses of the names in them, serves the policy
// service to key management daemons (racoon2's protocol), and forwards DNS
// questions. docs/man/spmd.8 describes it.
//
//	spmd -c /etc/racoon/racoon.toml
package main

import (
	"os"

	"github.com/racoon3/racoon/internal/spmdaemon"
)

func main() { os.Exit(spmdaemon.Main()) }
