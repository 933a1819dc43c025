package racoon

import (
	"context"
	"reflect"

	"github.com/racoon3/racoon/ike"
)

// Stats are a Manager's counters.
type Stats struct {
	Sessions   int // established now
	HalfOpen   int // responder handshakes under way
	Calls      int // attempts of this side under way
	JobsQueued int // jobs that wait or run

	Received    uint64 // datagrams
	Sent        uint64
	SendErrors  uint64
	ReadErrors  uint64
	Keepalives  uint64 // received
	ESP         uint64 // ESP packets received
	Malformed   uint64 // dropped: no protocol that is known here
	QueueFull   uint64 // dropped: a worker's mailbox was full
	EventsLost  uint64 // over all subscribers
	Jobs        uint64 // handed to the pools
	IKEReceived uint64 // IKE messages that reached a core
	IKE         ike.CoreStats
}

// Stats returns the counters. Those of the protocol cores are missing if ctx
// ends before all workers have answered.
func (m *Manager) Stats(ctx context.Context) Stats {
	s := Stats{Sessions: m.load.Sessions(), HalfOpen: m.load.HalfOpen(), EventsLost: m.events.lost.Load(), JobsQueued: m.runner.busy()}
	unlock := m.reg.lock()
	s.Calls = len(m.reg.calls)
	unlock()
	if !m.isReady() {
		return s
	}
	for _, k := range m.sockets.all {
		s.Received += k.stats.received.Load()
		s.Sent += k.stats.sent.Load()
		s.SendErrors += k.stats.sendErrors.Load()
		s.ReadErrors += k.stats.readErrors.Load()
		s.Keepalives += k.stats.keepalives.Load()
		s.ESP += k.stats.esp.Load()
		s.Malformed += k.stats.malformed.Load()
	}
	for _, w := range m.workers {
		s.IKEReceived += w.stats.datagrams.Load()
		s.QueueFull += w.stats.dropped.Load()
		s.Jobs += w.stats.submitted.Load()
		if c, err := ask(ctx, w, func(c core) (ike.CoreStats, error) { return c.Stats(), nil }); err == nil {
			addStats(&s.IKE, &c)
		}
	}
	return s
}

// addStats adds up the counters of two cores: all their fields are numbers.
func addStats(sum, s *ike.CoreStats) {
	a, b := reflect.ValueOf(sum).Elem(), reflect.ValueOf(s).Elem()
	for i := range a.NumField() {
		switch f := a.Field(i); {
		case f.CanInt():
			f.SetInt(f.Int() + b.Field(i).Int())
		case f.CanUint():
			f.SetUint(f.Uint() + b.Field(i).Uint())
		}
	}
}
