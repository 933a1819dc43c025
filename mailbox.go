package racoon

import (
	"sync"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/spd"
)

// Bounds of a worker's mailbox. What exceeds them is dropped and counted:
// datagrams come again, and lost data plane events are made good by an
// OverflowEvent.
const (
	mailboxDatagrams = 8192
	mailboxOctets    = 8 << 20
	mailboxCommands  = 1 << 16
	mailboxPlane     = 1 << 16
	mailboxKeep      = 256 << 10 // octets of buffer kept after a burst
)

// A mailbox is how everybody else talks to a worker. Senders append to one
// half while the worker works on the other, so that a burst is handled as a
// batch and nothing is allocated for a datagram.
type mailbox struct {
	wake chan struct{} // holds a token while the mailbox may be filled

	mu        sync.Mutex
	in        inbox
	lostPlane uint64
}

// inbox is one half of a mailbox.
type inbox struct {
	octets    []byte // the datagrams' contents, one after the other
	datagrams []datagram
	results   []ike.Result
	commands  []command
	plane     []spd.Event
}

// datagram is an IKE message (without marker) in inbox.octets.
type datagram struct {
	path       ike.Path
	begin, end int
	kink       bool
}

// command runs on the worker's goroutine with its core.
type command func(now time.Time, c core)

func newMailbox() mailbox { return mailbox{wake: make(chan struct{}, 1)} }

func (b *mailbox) signal() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// putDatagram copies a datagram in. It reports false if the mailbox is full.
// The caller calls signal when it has put its batch.
func (b *mailbox) putDatagram(path ike.Path, data []byte, kink bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.in.datagrams) >= mailboxDatagrams || len(b.in.octets)+len(data) > mailboxOctets {
		return false
	}
	begin := len(b.in.octets)
	b.in.octets = append(b.in.octets, data...)
	b.in.datagrams = append(b.in.datagrams, datagram{path, begin, len(b.in.octets), kink})
	return true
}

// putResult is never refused: a worker has only so many jobs outstanding.
func (b *mailbox) putResult(r ike.Result) {
	b.mu.Lock()
	b.in.results = append(b.in.results, r)
	b.mu.Unlock()
	b.signal()
}

// putCommand reports false if the mailbox is full.
func (b *mailbox) putCommand(c command) bool {
	b.mu.Lock()
	ok := len(b.in.commands) < mailboxCommands
	if ok {
		b.in.commands = append(b.in.commands, c)
	}
	b.mu.Unlock()
	if ok {
		b.signal()
	}
	return ok
}

// postCommand puts a command that is never refused.
func (b *mailbox) postCommand(c command) {
	b.mu.Lock()
	b.in.commands = append(b.in.commands, c)
	b.mu.Unlock()
	b.signal()
}

func (b *mailbox) putPlane(ev spd.Event) {
	b.mu.Lock()
	if len(b.in.plane) < mailboxPlane {
		b.in.plane = append(b.in.plane, ev)
	} else {
		b.lostPlane++
	}
	b.mu.Unlock()
	b.signal()
}

// swap takes what has come and leaves the emptied half behind. It reports
// false if nothing has come.
func (b *mailbox) swap(half *inbox) bool {
	half.reset()
	b.mu.Lock()
	*half, b.in = b.in, *half
	if b.lostPlane > 0 {
		half.plane = append(half.plane, spd.OverflowEvent{Lost: b.lostPlane})
		b.lostPlane = 0
	}
	b.mu.Unlock()
	return len(half.datagrams)+len(half.results)+len(half.commands)+len(half.plane) > 0
}

func (h *inbox) reset() {
	if cap(h.octets) > mailboxKeep {
		*h = inbox{}
		return
	}
	clear(h.results)
	clear(h.commands)
	clear(h.plane)
	h.octets, h.datagrams = h.octets[:0], h.datagrams[:0]
	h.results, h.commands, h.plane = h.results[:0], h.commands[:0], h.plane[:0]
}
