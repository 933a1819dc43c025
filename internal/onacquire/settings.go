// Package onacquire sets what a Linux kernel does while there is no SA yet: for how
// long it does not ask again, and what becomes of the packets that wait. XFRM and
// PF_KEY have that in common.
package onacquire

import "time"

// Settings are those of the network namespace of the calling thread.
type Settings struct {
	// AcquireExpires is how long the kernel keeps a reserved SPI, and does not ask
	// again for an SA that it has asked for: net.core.xfrm_acq_expires, in whole
	// seconds. 0 leaves it as it is.
	AcquireExpires time.Duration
	// HoldPackets has the kernel keep the packets that wait, and send them when the
	// SA is there: net.core.xfrm_larval_drop is 0. false leaves it as it is.
	HoldPackets bool
}
