package core

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
	"github.com/racoon3/racoon/internal/child"
	"github.com/racoon3/racoon/internal/schedule"
	"github.com/racoon3/racoon/spd"
)

// A Core is the part of a protocol core that does not depend on the protocol:
// what goes out, what is under way, and what time it is for.
type Core struct {
	Limits ike.Limits
	Load   *ike.Load
	Count  ike.CoreStats // the counters; what is counted now, Stats adds

	rand  io.Reader
	plane spd.DataPlane
	tag   uint8

	timers schedule.Queue[func(now time.Time)]
	jobs   map[ike.JobID]pendingJob
	owners map[SAKey]*Session // of installed SAs

	transmits fifo[ike.Transmit]
	jobsOut   fifo[ike.Job]
	events    fifo[ike.Event]

	halfOpen int                // responders that are not authenticated yet
	perIP    map[netip.Addr]int // those by address
	perPeer  map[string]int     // established sessions by the peer's name
	childSAs int

	nextJob     ike.JobID
	nextSession uint64
	nextChild   uint64
	nextReqID   uint32

	scratch [8]byte // of random numbers
}

type pendingJob struct {
	s       *Session // nil: cleanup, outlives any session
	done    func(now time.Time, v any, err error)
	abandon func(v any)
}

// A Config is what a Core is made of; see the Config of the protocols.
type Config struct {
	Rand      io.Reader
	DataPlane spd.DataPlane
	Tag       uint8
	Limits    ike.Limits
	Load      *ike.Load
}

// New returns a Core. The error names the field of Config.
func New(cfg Config) (Core, error) {
	switch {
	case cfg.Rand == nil:
		return Core{}, errors.New("Config.Rand is nil; use crypto/rand.Reader")
	case cfg.DataPlane == nil:
		return Core{}, errors.New("Config.DataPlane is nil; use esp.NewEngine, xfrm, pfkey or spd.NewMemory")
	}
	if cfg.Load == nil {
		cfg.Load = new(ike.Load)
	}
	return Core{
		Limits: cfg.Limits.WithDefaults(), Load: cfg.Load,
		rand: cfg.Rand, plane: cfg.DataPlane, tag: cfg.Tag,
		jobs:    make(map[ike.JobID]pendingJob),
		owners:  make(map[SAKey]*Session),
		perIP:   make(map[netip.Addr]int),
		perPeer: make(map[string]int),
	}, nil
}

// Rand is the source of randomness.
func (c *Core) Rand() io.Reader { return c.rand }

// HandleTimeout fires what is due.
func (c *Core) HandleTimeout(now time.Time) {
	for {
		t, ok := c.timers.Pop(now)
		if !ok {
			return
		}
		t.Owner(now)
	}
}

// HandleResult takes the result of a job. Results that nobody waits for are
// given back.
func (c *Core) HandleResult(now time.Time, r ike.Result) {
	j, ok := c.jobs[r.ID]
	if !ok {
		return
	}
	delete(c.jobs, r.ID)
	if j.s != nil && j.s.Dead {
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
// Child SA of this core are ignored.
func (c *Core) HandleDataPlane(now time.Time, ev spd.Event) {
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
	if s := c.owners[KeyOf(id)]; s != nil {
		s.handleDataPlane(now, ev)
	}
}

// Owner is the session that an installed SA belongs to, or 0.
func (c *Core) Owner(id spd.SAID) ike.SessionID {
	if s := c.owners[KeyOf(id)]; s != nil {
		return s.ID
	}
	return 0
}

// A SAKey names an installed SA: ours by its SPI alone, the peers' by their
// address too, since they choose their SPIs without regard to each other.
type SAKey struct {
	SPI    spd.SPI
	Remote netip.Addr // of an outbound SA
}

// KeyOf names an installed SA.
func KeyOf(id spd.SAID) SAKey {
	if id.Direction == spd.In {
		return SAKey{SPI: id.SPI}
	}
	return SAKey{SPI: id.SPI, Remote: id.Dst}
}

// PollTransmit returns the next datagram to send.
func (c *Core) PollTransmit() (ike.Transmit, bool) { return c.transmits.pop() }

// PollJob returns the next job to run.
func (c *Core) PollJob() (ike.Job, bool) { return c.jobsOut.pop() }

// PollEvent returns the next event.
func (c *Core) PollEvent() (ike.Event, bool) { return c.events.pop() }

// PollTimeout returns when HandleTimeout is to be called next, and false when
// no timer is set.
func (c *Core) PollTimeout() (time.Time, bool) { return c.timers.Next() }

// Stats returns the counters of a core with that many sessions.
func (c *Core) Stats(sessions int) ike.CoreStats {
	s := c.Count
	s.Sessions, s.HalfOpen, s.Children = sessions, c.halfOpen, c.childSAs
	s.Timers, s.Jobs = c.timers.Len(), len(c.jobs)
	return s
}

// HalfOpen is the number of responders that are not authenticated yet.
func (c *Core) HalfOpen() int { return c.halfOpen }

// Established is the number of established sessions with a peer.
func (c *Core) Established(peer string) int { return c.perPeer[peer] }

// Admits reports whether one more half-open responder for this address is
// within the limits, and counts a refusal.
func (c *Core) Admits(remote netip.AddrPort) bool {
	if c.Load.HalfOpen() < c.Limits.HalfOpen && c.perIP[remote.Addr().Unmap()] < c.Limits.HalfOpenPerIP {
		return true
	}
	c.Count.Limited++
	return false
}

// Crowded reports whether an address has as many half-open responders as one may
// have.
func (c *Core) Crowded(remote netip.AddrPort) bool {
	return c.perIP[remote.Addr().Unmap()] >= c.Limits.HalfOpenPerIP
}

// OpenHalf counts a half-open responder, CloseHalf counts it off.
func (c *Core) OpenHalf(remote netip.AddrPort) {
	c.halfOpen++
	c.perIP[remote.Addr().Unmap()]++
	c.Load.AddHalfOpen(1)
}

// CloseHalf counts off what OpenHalf has counted.
func (c *Core) CloseHalf(remote netip.AddrPort) {
	c.halfOpen--
	c.Load.AddHalfOpen(-1)
	ip := remote.Addr().Unmap()
	if c.perIP[ip]--; c.perIP[ip] == 0 {
		delete(c.perIP, ip)
	}
}

// job hands out slow work on behalf of a session.
func (c *Core) job(s *Session, kind ike.JobKind, order uint64, run func(ctx context.Context) (any, error),
	done func(now time.Time, v any, err error), abandon func(v any)) {
	c.nextJob++
	id := ike.JobID(uint64(c.tag)<<56) | c.nextJob
	c.jobs[id] = pendingJob{s: s, done: done, abandon: abandon}
	c.jobsOut.push(ike.Job{ID: id, Kind: kind, Order: order, Run: run})
}

// Background hands out slow work on behalf of no session.
func (c *Core) Background(kind ike.JobKind, run func(ctx context.Context) (any, error), done func(now time.Time, v any, err error)) {
	c.job(nil, kind, 0, run, done, nil)
}

// Emit tells a fact. When Limits.Events are waiting, it is lost and counted.
func (c *Core) Emit(ev ike.Event) {
	if c.events.len() >= c.Limits.Events {
		c.Count.LostEvents++
		return
	}
	c.events.push(ev)
}

// Transmit sends datagrams.
func (c *Core) Transmit(path ike.Path, packets ...[]byte) {
	for _, p := range packets {
		c.Count.Sent++
		c.transmits.push(ike.Transmit{Path: path, Packet: p})
	}
}

// Random fills b.
func (c *Core) Random(b []byte) error {
	if _, err := io.ReadFull(c.rand, b); err != nil {
		return fmt.Errorf("random source failed: %w", err)
	}
	return nil
}

// NewSPI returns a non-zero IKE SPI or cookie with this core's tag that taken
// does not know.
func (c *Core) NewSPI(taken func(spi uint64) bool) (uint64, error) {
	for {
		b := c.scratch[:]
		if err := c.Random(b[1:]); err != nil {
			return 0, err
		}
		b[0] = c.tag
		spi := binary.BigEndian.Uint64(b)
		if spi<<8 != 0 && !taken(spi) {
			return spi, nil
		}
	}
}

// NewSessionID numbers sessions.
func (c *Core) NewSessionID() ike.SessionID {
	c.nextSession++
	return ike.SessionID(uint64(c.tag)<<56 | c.nextSession)
}

// NewChildID numbers Child SAs.
func (c *Core) NewChildID() ike.ChildID {
	c.nextChild++
	return ike.ChildID(uint64(c.tag)<<56 | c.nextChild)
}

// NewReqID numbers Child SAs towards the data plane; numbers below 16384 are
// left to configurations.
func (c *Core) NewReqID() uint32 {
	c.nextReqID = (c.nextReqID + 1) & 0xffffff
	return uint32(c.tag)<<24 | (c.nextReqID+16384)&0xffffff
}

// Jitter returns d less a random part of at most fraction*d.
func (c *Core) Jitter(d time.Duration, fraction float64) time.Duration {
	b := c.scratch[:]
	if fraction <= 0 || c.Random(b) != nil {
		return d
	}
	part := float64(binary.BigEndian.Uint64(b)) / math.MaxUint64 * min(fraction, 1)
	return d - time.Duration(part*float64(d))
}

// SetTimer arms a timer.
func (c *Core) SetTimer(t *child.Timer, at time.Time) { c.timers.Set(t, at) }

// StopTimer disarms a timer.
func (c *Core) StopTimer(t *child.Timer) { c.timers.Stop(t) }

// RetransmitAfter is how long to wait for an answer after a number of tries.
func (c *Core) RetransmitAfter(t *ike.Timing, tries int) time.Duration {
	d := float64(t.RetransmitBase) * math.Pow(t.RetransmitFactor, float64(tries))
	return c.Jitter(time.Duration(min(d, float64(t.RetransmitMax))), t.RetransmitJitter)
}

func (c *Core) transmitKeepalive(path ike.Path) {
	c.Count.Sent++
	c.transmits.push(ike.Transmit{Path: path, Packet: keepalivePacket, Keepalive: true})
}
