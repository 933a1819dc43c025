package ikev2

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net/netip"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev2/message"
	"github.com/racoon3/racoon/internal/child"
	"github.com/racoon3/racoon/internal/schedule"
	"github.com/racoon3/racoon/spd"
)

// An Endpoint is an IKEv2 core: the state machine of any number of IKE SAs, in
// both roles. It does no I/O: package ike tells how it is driven. It is used
// by one goroutine at a time.
type Endpoint struct {
	cfg   Config
	peers *PeerSet

	sessions map[ike.SessionID]*session
	sas      map[message.SPI]*ikeSA // by our SPI
	initial  map[initKey]*ikeSA     // half-open responders by what their first message is known by
	perIP    map[netip.Addr]int     // half-open responders
	perPeer  map[string]int         // established sessions by the peer's name
	halfOpen int
	children map[childKey]*session // by SPI, for events of the data plane
	cookies  cookieJar

	timers schedule.Queue[func(now time.Time)]
	jobs   map[ike.JobID]pendingJob

	childSAs int

	nextJob     ike.JobID
	nextSession uint64
	nextChild   uint64
	nextReqID   uint32

	transmits fifo[ike.Transmit]
	jobsOut   fifo[ike.Job]
	events    fifo[ike.Event]

	algorithms []*algorithms // see algorithmsOf

	scratch []byte // payloads on their way into a message

	stats Stats
}

// initKey is what an IKE_SA_INIT request is known by before the responder has
// an SPI.
type initKey struct {
	spi    message.SPI
	remote netip.AddrPort
}

type pendingJob struct {
	sa      *session // nil: cleanup, outlives any session
	done    func(now time.Time, v any, err error)
	abandon func(v any)
}

// NewEndpoint returns a core without peers; SetPeers gives it some.
func NewEndpoint(cfg Config) (*Endpoint, error) {
	if cfg.Rand == nil {
		return nil, errors.New("ikev2: Config.Rand is nil; use crypto/rand.Reader")
	}
	if cfg.DataPlane == nil {
		return nil, errors.New("ikev2: Config.DataPlane is nil; use esp.NewEngine, xfrm, pfkey or spd.NewMemory")
	}
	cfg.Limits = cfg.Limits.withDefaults()
	if cfg.Load == nil {
		cfg.Load = new(Load)
	}
	e := &Endpoint{
		cfg:      cfg,
		peers:    &PeerSet{},
		sessions: make(map[ike.SessionID]*session),
		sas:      make(map[message.SPI]*ikeSA),
		initial:  make(map[initKey]*ikeSA),
		perIP:    make(map[netip.Addr]int),
		perPeer:  make(map[string]int),
		children: make(map[childKey]*session),
		jobs:     make(map[ike.JobID]pendingJob),
	}
	if err := e.cookies.rotate(cfg.Rand); err != nil {
		return nil, err
	}
	return e, nil
}

// Format keeps an endpoint's secrets out of any text.
func (e *Endpoint) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "ikev2.Endpoint(%d sessions, %d half-open)", len(e.sessions), e.halfOpen)
}

// SetPeers replaces the configured peers. Sessions keep the configuration they
// were made with.
func (e *Endpoint) SetPeers(ps *PeerSet) { e.peers = ps }

// HandleTimeout fires what is due.
func (e *Endpoint) HandleTimeout(now time.Time) {
	for {
		t, ok := e.timers.Pop(now)
		if !ok {
			return
		}
		t.Owner(now)
	}
}

// HandleResult takes the result of a job. Results that nobody waits for are
// given back.
func (e *Endpoint) HandleResult(now time.Time, r ike.Result) {
	j, ok := e.jobs[r.ID]
	if !ok {
		return
	}
	delete(e.jobs, r.ID)
	if j.sa != nil && j.sa.dead {
		if j.abandon != nil && r.Err == nil {
			j.abandon(r.Value)
		}
		return
	}
	if j.done != nil {
		j.done(now, r.Value, r.Err)
	}
}

// HandleDataPlane takes an event of the data plane. Events that concern no
// Child SA of this endpoint are ignored.
func (e *Endpoint) HandleDataPlane(now time.Time, ev spd.Event) {
	var id spd.SAID
	switch ev := ev.(type) {
	case spd.ExpireEvent:
		id = ev.ID
	case spd.FirstPacketEvent:
		id = ev.ID
	case spd.MappingEvent:
		id = ev.ID
	case spd.OverflowEvent:
		// Whatever was lost, the sessions find out by asking: an expired SA by
		// its time limit, a first packet by the Delete of the old SA.
		return
	default:
		return
	}
	if s := e.children[keyOf(id)]; s != nil {
		s.handleDataPlane(now, ev)
	}
}

// childKey names an installed SA: ours by its SPI alone, the peers' by their
// address too, since they choose their SPIs without regard to each other.
type childKey struct {
	spi    spd.SPI
	remote netip.Addr // of an outbound SA
}

func keyOf(id spd.SAID) childKey {
	if id.Direction == spd.In {
		return childKey{spi: id.SPI}
	}
	return childKey{spi: id.SPI, remote: id.Dst}
}

// PollTransmit returns the next datagram to send.
func (e *Endpoint) PollTransmit() (ike.Transmit, bool) { return e.transmits.pop() }

// PollJob returns the next job to run.
func (e *Endpoint) PollJob() (ike.Job, bool) { return e.jobsOut.pop() }

// PollEvent returns the next event. When Limits.Events are waiting, new ones
// are lost and counted in Stats.
func (e *Endpoint) PollEvent() (ike.Event, bool) { return e.events.pop() }

// PollTimeout returns when HandleTimeout is to be called next, and false when
// no timer is set.
func (e *Endpoint) PollTimeout() (time.Time, bool) { return e.timers.Next() }

// Route tells which endpoint a datagram is for: the Tag inside our SPI. With
// initial set it is an IKE_SA_INIT request, which names no endpoint yet; the
// driver picks one, always the same for one initiator SPI and source. It
// reports false for what is no IKE message.
func Route(b []byte) (tag uint8, initial, ok bool) {
	if len(b) < message.HeaderLen {
		return 0, false, false
	}
	flags := message.Flags(b[19])
	if message.ExchangeType(b[18]) == message.ExchangeIKESAInit && flags&message.FlagResponse == 0 {
		return 0, true, true
	}
	if flags&message.FlagInitiator != 0 {
		return b[8], false, true // the sender is the original initiator: ours is SPIr
	}
	return b[0], false, true
}

// A Stats holds an endpoint's counters.
type Stats struct {
	Sessions, HalfOpen, Children, Timers, Jobs int // now

	Received      uint64 // datagrams
	Sent          uint64
	Retransmitted uint64 // requests sent again
	Repeated      uint64 // responses sent again for a repeated request
	Malformed     uint64 // dropped: syntax
	UnknownSPI    uint64 // dropped: no such IKE SA
	BadIntegrity  uint64 // dropped: integrity check failed
	Unprotected   uint64 // dropped: in clear although keys exist
	Unexpected    uint64 // dropped: message ID or exchange not expected
	Limited       uint64 // dropped or refused: a limit was reached
	CookiesSent   uint64
	CookiesBad    uint64
	Established   uint64
	Failed        uint64
	LostEvents    uint64
}

// Stats returns the counters.
func (e *Endpoint) Stats() Stats {
	s := e.stats
	s.Sessions, s.HalfOpen, s.Children = len(e.sessions), e.halfOpen, e.childSAs
	s.Timers, s.Jobs = e.timers.Len(), len(e.jobs)
	return s
}

// job hands out slow work on behalf of a session.
func (e *Endpoint) job(s *session, kind ike.JobKind, order uint64, run func(ctx context.Context) (any, error),
	done func(now time.Time, v any, err error), abandon func(v any)) {
	e.nextJob++
	e.jobs[e.nextJob] = pendingJob{sa: s, done: done, abandon: abandon}
	e.jobsOut.push(ike.Job{ID: e.nextJob, Kind: kind, Order: order, Run: run})
}

func (e *Endpoint) emit(ev ike.Event) {
	if e.events.len() >= e.cfg.Limits.Events {
		e.stats.LostEvents++
		return
	}
	e.events.push(ev)
}

func (e *Endpoint) transmit(path ike.Path, packets ...[]byte) {
	for _, p := range packets {
		e.stats.Sent++
		e.transmits.push(ike.Transmit{Path: path, Packet: p})
	}
}

// random fills b.
func (e *Endpoint) random(b []byte) error {
	if _, err := io.ReadFull(e.cfg.Rand, b); err != nil {
		return fmt.Errorf("ikev2: random source failed: %w", err)
	}
	return nil
}

// newSPI returns an unused, non-zero SPI with this endpoint's tag.
func (e *Endpoint) newSPI() (message.SPI, error) {
	for {
		var b [8]byte
		if err := e.random(b[1:]); err != nil {
			return 0, err
		}
		b[0] = e.cfg.Tag
		spi := message.SPI(binary.BigEndian.Uint64(b[:]))
		if _, taken := e.sas[spi]; !taken && spi<<8 != 0 {
			return spi, nil
		}
	}
}

func (e *Endpoint) newSessionID() ike.SessionID {
	e.nextSession++
	return ike.SessionID(uint64(e.cfg.Tag)<<56 | e.nextSession)
}

func (e *Endpoint) newChildID() ike.ChildID {
	e.nextChild++
	return ike.ChildID(uint64(e.cfg.Tag)<<56 | e.nextChild)
}

// newReqID numbers Child SAs; numbers below 16384 are left to configurations.
func (e *Endpoint) newReqID() uint32 {
	e.nextReqID = (e.nextReqID + 1) & 0xffffff
	return uint32(e.cfg.Tag)<<24 | (e.nextReqID+16384)&0xffffff
}

// jitter returns d less a random part of at most fraction*d.
func (e *Endpoint) jitter(d time.Duration, fraction float64) time.Duration {
	var b [8]byte
	if fraction <= 0 || e.random(b[:]) != nil {
		return d
	}
	part := float64(binary.BigEndian.Uint64(b[:])) / math.MaxUint64 * min(fraction, 1)
	return d - time.Duration(part*float64(d))
}

func (e *Endpoint) setTimer(t *child.Timer, at time.Time) { e.timers.Set(t, at) }
func (e *Endpoint) stopTimer(t *child.Timer)              { e.timers.Stop(t) }

// fifo is a queue that reuses its memory.
type fifo[T any] struct {
	items []T
	head  int
}

func (f *fifo[T]) len() int { return len(f.items) - f.head }

func (f *fifo[T]) push(v T) { f.items = append(f.items, v) }

func (f *fifo[T]) pop() (v T, ok bool) {
	if f.head == len(f.items) {
		return v, false
	}
	var zero T
	v, f.items[f.head] = f.items[f.head], zero
	f.head++
	if f.head == len(f.items) {
		f.head = 0
		if cap(f.items) > 1024 {
			f.items = nil // a burst's memory goes back
		} else {
			f.items = f.items[:0]
		}
	}
	return v, true
}
