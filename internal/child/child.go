// Package child is the life of a Child SA, the same for IKEv1, IKEv2 and KINK:
// reserve SPIs, install, notice that a lifetime ends, make way for a successor
// without a gap, remove, and keep counting through all of it. How a Child SA
// is negotiated, rekeyed and deleted on the wire is the protocol core's
// business: it is the Host.
package child

import (
	"context"
	"slices"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/schedule"
	"github.com/racoon3/racoon/spd"
)

// Timer is a timer of a core's queue; what it fires is its owner.
type Timer = schedule.Timer[func(now time.Time)]

// A Host is the protocol core, or one session of it, that a Set lives in.
type Host interface {
	// Job hands out slow work; done is called with its result unless the
	// session has ended by then. Then abandon, if not nil, is called with the
	// value instead, to give back what it holds.
	Job(kind ike.JobKind, order uint64, run func(ctx context.Context) (any, error),
		done func(now time.Time, v any, err error), abandon func(v any))
	// Cleanup hands out work that must be done even if the session ends.
	Cleanup(kind ike.JobKind, order uint64, run func(ctx context.Context) (any, error), done func(now time.Time, v any, err error))
	SetTimer(t *Timer, at time.Time)
	StopTimer(t *Timer)
	// Jitter returns d less a random part of at most fraction*d.
	Jitter(d time.Duration, fraction float64) time.Duration
	Emit(e ike.Event)
	EventHeader(now time.Time) ike.EventHeader

	// StartRekey begins the exchange that replaces sa; the core calls
	// RetryRekey if it fails and sa is to live on.
	StartRekey(now time.Time, sa *SA)
	// StartDelete tells the peer, if the protocol can, and then removes sa.
	StartDelete(now time.Time, sa *SA, reason ike.DownReason)
	// Removed is called when sa has left the set.
	Removed(now time.Time, sa *SA)
}

// Config is what governs the life of a Child SA.
type Config struct {
	Rekey, Lifetime time.Duration // soft and hard; 0 or negative: never
	Jitter          float64
	Volume          spd.Lifetime
	NoRekey         bool // leave rekeying to the peer
	NoPolicies      bool
	// MarkIn, MarkOut and InterfaceID are those of the SAs, which policies have
	// to share to find them.
	MarkIn, MarkOut spd.Mark
	InterfaceID     uint32
	Priority        uint32
}

// linger is how long the inbound side of a replaced SA still takes packets
// that are on their way.
const linger = 5 * time.Second

// State is where in its life a Child SA is.
type State uint8

// States, in order.
const (
	Larval      State = iota // SPIs reserved, nothing installed
	InboundOnly              // responder of a rekey: the old outbound SA still serves
	Mature                   // both directions
	Replaced                 // a successor has taken over; waits for the Delete
	Deleting                 // the peer is being told
	Gone
)

var stateNames = [...]string{"larval", "inbound-only", "mature", "replaced", "deleting", "gone"}

func (s State) String() string { return stateNames[s] }

// An SA is one Child SA. Its successor after a rekey is another SA with the
// same Info.ID.
type SA struct {
	Info      ike.ChildInfo
	Config    *Config
	Initiator bool // this side began the exchange that made it
	State     State
	Rekeying  bool // an exchange that replaces it is under way
	Unwanted  bool // it is deleted because nobody wants it, not to make way for another one
	Successor *SA

	total   *total // nil until there is something to count, see counts
	in, out []spd.SAID
	pending *spd.Bundle // outbound, while InboundOnly

	replaced time.Time // when its successor took over

	soft, hard, grace Timer
	set               *Set
}

// total is what all SAs of a lineage have counted that are gone already.
type total struct {
	in, out spd.Counters
	ended   bool // ChildDown was told
	ending  bool // it is to be told when the last SA is removed
}

// A Set holds the Child SAs of one session, which embeds it and calls Init.
type Set struct {
	host  Host
	plane spd.DataPlane
	sas   []*SA

	silent   bool // another session's are used: no outbound policies any more
	removing int  // removals under way
	empty    func(now time.Time)
}

// Init makes an empty set of s.
func (s *Set) Init(host Host, plane spd.DataPlane) { s.host, s.plane = host, plane }

// All returns the SAs of the set, oldest first. The slice is the set's own.
func (s *Set) All() []*SA { return s.sas }

// Len returns the number of SAs.
func (s *Set) Len() int { return len(s.sas) }

// ByInbound returns the SA with our inbound SPI.
func (s *Set) ByInbound(p spd.Protocol, spi spd.SPI) *SA {
	return s.find(func(a *SA) bool { return a.Info.Protocol == p && a.Info.In == spi })
}

// ByOutbound returns the SA with the peer's inbound SPI.
func (s *Set) ByOutbound(p spd.Protocol, spi spd.SPI) *SA {
	return s.find(func(a *SA) bool { return a.Info.Protocol == p && a.Info.Out == spi })
}

// ByPart returns the SA whose bundle has the peer's inbound SPI of a protocol, and
// our SPI of the same one: of ESP or AH, of AH around ESP, or a CPI.
func (s *Set) ByPart(p spd.Protocol, spi spd.SPI) (a *SA, in spd.SPI) {
	of := func(id spd.SAID) bool { return id.Protocol == p }
	a = s.find(func(a *SA) bool {
		return slices.ContainsFunc(a.out, func(id spd.SAID) bool { return of(id) && id.SPI == spi }) && slices.ContainsFunc(a.in, of)
	})
	if a == nil {
		return nil, 0
	}
	return a, a.in[slices.IndexFunc(a.in, of)].SPI
}

// ByID returns the youngest SA of a lineage.
func (s *Set) ByID(id ike.ChildID) *SA {
	for _, a := range slices.Backward(s.sas) {
		if a.Info.ID == id && a.State < Replaced {
			return a
		}
	}
	return s.find(func(a *SA) bool { return a.Info.ID == id })
}

func (s *Set) find(match func(*SA) bool) *SA {
	for _, a := range s.sas {
		if match(a) {
			return a
		}
	}
	return nil
}

// counts is what the SAs of a's lineage have counted, to be added to. Most
// never need it.
func (a *SA) counts() *total {
	if a.total == nil {
		a.total = new(total)
	}
	return a.total
}

// Counted returns what the SAs of a's lineage had counted that are gone.
func (a *SA) Counted() (in, out spd.Counters) {
	if a.total == nil {
		return
	}
	return a.total.in, a.total.out
}

// SAIDs returns the installed SAs of both directions.
func (a *SA) SAIDs() (in, out []spd.SAID) {
	if a.pending != nil {
		return a.in, nil
	}
	return a.in, a.out
}

// Reserve asks the data plane for one inbound SPI per request.
func (s *Set) Reserve(requests []spd.SPIRequest, done func(now time.Time, spis []spd.SPI, err error)) {
	plane := s.plane
	release := func(v any) {
		if spis, ok := v.([]spd.SPI); ok {
			s.release(requests, spis)
		}
	}
	s.host.Job(ike.JobAllocSPI, 0, func(ctx context.Context) (any, error) {
		spis := make([]spd.SPI, 0, len(requests))
		for _, r := range requests {
			spi, err := plane.AllocSPI(ctx, r)
			if err != nil {
				for i, p := range spis {
					_ = plane.ReleaseSPI(ctx, saidOf(requests[i], p)) // the TTL ends what this cannot
				}
				return nil, err
			}
			spis = append(spis, spi)
		}
		return spis, nil
	}, func(now time.Time, v any, err error) {
		spis, _ := v.([]spd.SPI)
		done(now, spis, err)
	}, release)
}

// Release gives reserved SPIs back that were not installed.
func (s *Set) Release(requests []spd.SPIRequest, spis []spd.SPI) {
	if len(spis) > 0 {
		s.release(requests, spis)
	}
}

func (s *Set) release(requests []spd.SPIRequest, spis []spd.SPI) {
	plane := s.plane
	s.host.Cleanup(ike.JobAllocSPI, 0, func(ctx context.Context) (any, error) {
		for i, spi := range spis {
			_ = plane.ReleaseSPI(ctx, saidOf(requests[i], spi)) // the TTL ends what this cannot
		}
		return nil, nil
	}, nil)
}

func saidOf(r spd.SPIRequest, spi spd.SPI) spd.SAID {
	return spd.SAID{Direction: spd.In, Protocol: r.Protocol, SPI: spi, Dst: r.Local, Mark: r.Mark}
}

// LowestSPI is the lower one of both sides' SPIs, which both know.
func (a *SA) LowestSPI() spd.SPI { return min(a.Info.In, a.Info.Out) }

// Youngest is the last one of those that have replaced a, one after the other;
// a itself if none has.
func (a *SA) Youngest() *SA {
	for a.Successor != nil {
		a = a.Successor
	}
	return a
}

// EndTold reports whether the events have told that the lineage of a has ended.
func (a *SA) EndTold() bool { return a.total != nil && a.total.ended }

// Anew makes a new lineage of the one that a was to continue, since that has
// ended: it counts from zero, and its end is told again.
func (a *SA) Anew() {
	if a.total != nil {
		*a.total = total{}
	}
}

// Untold notes that the events have not told of a and its lineage yet. Until
// Told, its end is not told either.
func (a *SA) Untold() { a.counts().ended = true }

// Told notes that the events have told of a.
func (a *SA) Told() {
	if a.total == nil {
		return
	}
	a.total.ended = false
	if *a.total == (total{}) && a.set.find(func(b *SA) bool { return b != a && b.total == a.total }) == nil {
		a.total = nil // there is nothing to be counted yet
	}
}
