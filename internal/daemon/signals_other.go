//go:build !unix

package daemon

import "os"

var (
	reloadSignals = []os.Signal{nothing{}}
	statusSignals = []os.Signal{nothing{}}
	endSignals    = []os.Signal{os.Interrupt}
	brokenPipe    = []os.Signal{nothing{}}
)

// nothing is a signal that never comes; without any, all would.
type nothing struct{}

func (nothing) Signal()        {}
func (nothing) String() string { return "none" }
