package esp

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/racoon3/racoon/spd"
)

// A peer may send on an SPI of ours as soon as it has the keys, which can be
// before they are installed here: the message that completes the exchange may
// be lost or be late, and a certificate takes its time. So packets on a
// reserved SPI wait for its SA a little, and only on those: what else has no SA
// is dropped at once.
const (
	// earlyTime is how long, beginning with the first packet of an SPI. A lost
	// message comes again within it.
	earlyTime = 3 * time.Second
	// earlyPackets bounds the packets of one SPI, and earlyShare its part of
	// all octets held.
	earlyPackets = 16
	earlyShare   = 16
	// earlyOverhead is about what a packet takes beside its own octets.
	earlyOverhead = Headroom + 128
)

// larvals are the SPIs that have been promised and have no SA yet, with the
// packets that wait for one. Packets of SAs that are there do not come here.
type larvals struct {
	mu     sync.RWMutex
	bySPI  map[spd.SPI]*larval
	octets int // held, in larval and in ready
	limit  int
	begun  []waiting // in order of time; some do not wait any more

	ready []Datagram // packets whose SA is there now
	any   atomic.Bool
	wake  chan<- struct{}

	held, drops atomic.Uint64
}

// larval is one reserved SPI.
type larval struct {
	until  int64 // end of the reservation
	since  int64 // when the first of the packets came
	octets int
	early  []Datagram
}

type waiting struct {
	spi   spd.SPI
	since int64
}

func (l *larvals) init(limit int, wake chan<- struct{}) {
	l.bySPI = make(map[spd.SPI]*larval)
	l.limit, l.wake = limit, wake
}

// reserve promises an SPI, unless that has been done.
func (l *larvals) reserve(spi spd.SPI, now, until int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if w := l.bySPI[spi]; w != nil {
		if now < w.until {
			return false
		}
		l.drop(w)
	}
	l.bySPI[spi] = &larval{until: until}
	return true
}

// sweep looks at some reservations, in Go's random order, and ends those whose
// time is over: each AllocSPI adds one and removes several.
func (l *larvals) sweep(now int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.expire(now)
	n := 0
	for spi, w := range l.bySPI {
		if now >= w.until {
			l.drop(w)
			delete(l.bySPI, spi)
		}
		if n++; n == 8 {
			return
		}
	}
}

// release gives an SPI back.
func (l *larvals) release(spi spd.SPI) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.bySPI[spi]
	if w == nil {
		return false
	}
	l.drop(w)
	delete(l.bySPI, spi)
	return true
}

// matured ends a reservation whose SA is installed: its packets are ready for
// Release.
func (l *larvals) matured(spi spd.SPI, now int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.bySPI[spi]
	if w == nil {
		return
	}
	delete(l.bySPI, spi)
	if len(w.early) == 0 {
		return
	}
	if now-w.since >= int64(earlyTime) {
		l.drop(w)
		return
	}
	l.ready = append(l.ready, w.early...)
	l.any.Store(true)
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// hold keeps a copy of a packet if its SPI is reserved, which it reports.
func (l *larvals) hold(d *Datagram, spi spd.SPI, now int64) bool {
	l.mu.RLock()
	w := l.bySPI[spi]
	l.mu.RUnlock()
	if w == nil {
		return false // a flood of SPIs that nobody promised ends here
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if w = l.bySPI[spi]; w == nil || now >= w.until {
		return false
	}
	l.expire(now)
	size := d.Len() + earlyOverhead
	if len(w.early) >= earlyPackets || w.octets+size > l.limit/earlyShare || l.octets+size > l.limit {
		l.drops.Add(1)
		return true
	}
	if len(w.early) == 0 {
		w.since = now
		l.begun = append(l.begun, waiting{spi, now})
	}
	early := *d
	early.Buf = make([]byte, Headroom+d.Len())
	early.Start, early.End = Headroom, len(early.Buf)
	copy(early.Bytes(), d.Bytes())
	w.early = append(w.early, early)
	w.octets += size
	l.octets += size
	l.held.Add(1)
	return true
}

// expire drops what has waited too long. l.mu is held.
func (l *larvals) expire(now int64) {
	n := 0
	for _, b := range l.begun {
		w := l.bySPI[b.spi]
		if w != nil && len(w.early) > 0 && w.since == b.since {
			if now-b.since < int64(earlyTime) {
				break
			}
			l.drop(w)
		}
		n++
	}
	if l.begun = l.begun[n:]; len(l.begun) == 0 {
		l.begun = nil
	}
}

// drop drops the packets of a reservation. l.mu is held.
func (l *larvals) drop(w *larval) {
	l.drops.Add(uint64(len(w.early)))
	l.octets -= w.octets
	w.early, w.octets = nil, 0
}

// take returns the packets whose SA is there now.
func (l *larvals) take() []Datagram {
	if !l.any.Load() {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	ready := l.ready
	l.ready = nil
	l.any.Store(false)
	for i := range ready {
		l.octets -= ready[i].Len() + earlyOverhead
	}
	return ready
}

func (l *larvals) clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range l.bySPI {
		l.drop(w)
	}
	clear(l.bySPI)
	l.drops.Add(uint64(len(l.ready)))
	l.ready, l.begun, l.octets = nil, nil, 0
	l.any.Store(false)
}
