package pump

import "sync/atomic"

// Stats are what a [Pump] has counted, in packets unless it says otherwise.
// The SAs and the engine have counters of their own.
type Stats struct {
	FromDevice   uint64 // read from the TUN device
	Sent         uint64 // datagrams sent to peers
	SendDrops    uint64 // datagrams without a writer, or that it could not send
	Bypassed     uint64 // policy lets them pass unprotected; they are dropped, since the device is no way out
	Received     uint64 // ESP packets received
	ToDevice     uint64 // written to the TUN device
	Answered     uint64 // of those, ICMP errors for packets too big to be sent
	DeviceErrors uint64 // reads and writes of the device that failed
}

type counters struct {
	fromDevice, sent, sendDrops, bypassed, received, toDevice, answered, deviceErrors atomic.Uint64
}

func (c *counters) load() Stats {
	return Stats{
		FromDevice: c.fromDevice.Load(), Sent: c.sent.Load(), SendDrops: c.sendDrops.Load(), Bypassed: c.bypassed.Load(),
		Received: c.received.Load(), ToDevice: c.toDevice.Load(), Answered: c.answered.Load(), DeviceErrors: c.deviceErrors.Load(),
	}
}
