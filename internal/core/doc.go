// Package core is what the protocol cores (ikev1, ikev2, kink) are built on:
// the queues that a driver drains, jobs, timers and numbers (Core); a session
// with a peer, apart from what its protocol says on the wire (Session); and the
// peers that a program has configured, found by address and identity (Index).
//
// Nothing here does I/O, and everything is used by one goroutine at a time,
// except that an Index does not change and may be shared.
package core
