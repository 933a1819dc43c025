// Package pool leases addresses to peers: the virtual addresses that a
// gateway hands out through the configuration payload (RFC 7296 2.19).
//
// Each identity keeps its address as long as it can: a lease that is released
// stays reserved for its identity, or is at least the last to go to somebody
// else. A pool has one address family; a gateway that serves both has two.
// It reads no clock: the time is a parameter.
package pool
