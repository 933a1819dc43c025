package netstack

import "sync/atomic"

// Stats are what a [Stack] has counted. The SAs and the engine have counters
// of their own.
type Stats struct {
	Sent       uint64 // datagrams sent to peers
	SendDrops  uint64 // datagrams without a writer, or that it could not send
	QueueDrops uint64 // packets that found the queue full; TCP ones may be large
	Bypassed   uint64 // packets that policy lets pass unprotected; here they are dropped
	Received   uint64 // ESP packets received
	Delivered  uint64 // packets taken out of them
}

type counters struct {
	sent, sendDrops, queueDrops, bypassed, received, delivered atomic.Uint64
}

func (c *counters) load() Stats {
	return Stats{
		Sent: c.sent.Load(), SendDrops: c.sendDrops.Load(), QueueDrops: c.queueDrops.Load(),
		Bypassed: c.bypassed.Load(), Received: c.received.Load(), Delivered: c.delivered.Load(),
	}
}
