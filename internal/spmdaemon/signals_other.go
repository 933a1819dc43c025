//go:build !unix

package spmdaemon

import "os"

var reloadSignals = []os.Signal{nothing{}}

// nothing is a signal that never comes; without any, all would.
type nothing struct{}

func (nothing) Signal()        {}
func (nothing) String() string { return "none" }
