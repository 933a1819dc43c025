//go:build linux

package interop_test

import (
	"os"
	"testing"

	"github.com/racoon3/racoon/internal/daemon"
	"github.com/racoon3/racoon/internal/spmdaemon"
)

// runDaemon in the environment makes the test binary the daemon of that name:
// so the daemons run as processes of their own, in the lab's kernel too.
const runDaemon = "RACOON_RUN_DAEMON"

func TestMain(m *testing.M) {
	switch name := os.Getenv(runDaemon); name {
	case "":
		os.Exit(m.Run())
	case "spmd":
		os.Exit(spmdaemon.Main())
	case "spmif-client":
		os.Exit(crashingClient(os.Args[1:]))
	case "kinkd":
		os.Exit(daemon.Main(daemon.Program{Name: name, Protocols: []string{"kink"}}))
	default:
		os.Exit(daemon.Main(daemon.Program{Name: name}))
	}
}
