package pump

import (
	"errors"
	"fmt"
	"os"

	"github.com/racoon3/racoon/esp"
	"github.com/racoon3/racoon/esp/internal/outer"
)

// readDevice takes packets from the device, protects and sends them.
func (p *Pump) readDevice() {
	src := p.inner.newSource()
	out := &sender{sink: p.inner.newSink()}
	more := false
	for {
		if !more {
			p.reading.Lock()
		}
		var list []esp.Packet
		var err error
		list, more, err = src.read()
		if err != nil {
			ended := p.readFailed(err)
			more = false
			p.reading.Unlock()
			if ended {
				return
			}
			continue
		}
		p.failures = 0
		p.protecting.Lock()
		if !more {
			p.reading.Unlock()
		}
		p.stats.fromDevice.Add(uint64(len(list)))
		out.batch.Reset()
		p.engine.Outbound(&out.batch, list...)
		p.sending.Lock()
		p.protecting.Unlock()
		p.send(out, 0)
		p.sending.Unlock()
	}
}

// readFailed reports whether the device is at its end.
func (p *Pump) readFailed(err error) bool {
	if p.closing.Load() || errors.Is(err, os.ErrClosed) {
		p.end(nil)
		return true
	}
	// A single packet may be at fault; the device is when nothing else comes.
	p.stats.deviceErrors.Add(1)
	if p.failures++; p.failures < maxFailures {
		return false
	}
	p.end(fmt.Errorf("pump: reading the TUN device: %w", err))
	return true
}

// maxFailures is how many reads of the device may fail one after the other.
const maxFailures = 100

// sender is what a goroutine that sends works with.
type sender struct {
	batch esp.Batch
	outer outer.Sender
	sink  sink
}

// send sends what a batch has become; so many of its packets were opened, and
// not made here.
func (p *Pump) send(s *sender, opened int) {
	if n := len(s.batch.Datagrams); n > 0 {
		w := p.writers.Load()
		s.outer.UDP, s.outer.Raw = w.udp, w.raw
		sent, _ := s.outer.Send(s.batch.Datagrams)
		p.stats.sent.Add(uint64(sent))
		if sent < n {
			p.stats.sendDrops.Add(uint64(n - sent))
		}
	}
	if n := len(s.batch.Bypass); n > 0 {
		p.stats.bypassed.Add(uint64(n))
	}
	if n := len(s.batch.Packets); n > 0 {
		p.deliver(s.sink, s.batch.Packets)
		p.stats.answered.Add(uint64(n - opened)) // ICMP errors
	}
}

// releaseHeld sends and delivers packets that waited for an SA.
func (p *Pump) releaseHeld() {
	out := &sender{sink: p.inner.newSink()}
	for {
		select {
		case <-p.engine.Ready():
			out.batch.Reset()
			opened := p.engine.Release(&out.batch)
			p.send(out, opened)
		case <-p.quit:
			return
		}
	}
}
