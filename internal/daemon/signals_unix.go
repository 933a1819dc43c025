//go:build unix

package daemon

import (
	"os"
	"syscall"
)

var (
	reloadSignals = []os.Signal{syscall.SIGHUP}
	statusSignals = []os.Signal{syscall.SIGUSR1}
	endSignals    = []os.Signal{os.Interrupt, syscall.SIGTERM}
	brokenPipe    = []os.Signal{syscall.SIGPIPE}
)
