package esp

import (
	"crypto/rand"
	"io"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/racoon3/racoon/spd"
)

// Config configures an [Engine]. The zero value is ready for use.
type Config struct {
	// Rand is the source of SPIs and of keys for initialization vectors; nil
	// means crypto/rand.Reader.
	Rand io.Reader
	// Now is the clock; nil means time.Now. It is read once for a batch.
	Now func() time.Time
	// RawESP says that there is a socket for ESP as IP protocol 50, such as a
	// pump.RawConn. Without, SAs are in UDP, which passes everywhere: key
	// management learns it from Capabilities and has the peers do so.
	RawESP bool
	// PathMTU is the largest packet of the outer network, from which the
	// tunnel MTU comes of SAs that do not set their own. 0 means 1500,
	// negative no limit.
	PathMTU int
	// Events is the size of the event channel; 0 means 1024.
	Events int
	// HoldPackets is how many packets wait at most for SAs that are being
	// negotiated, all together; 0 means 1024, negative none. A single acquire
	// holds HoldPerAcquire of them, 0 meaning 16.
	HoldPackets, HoldPerAcquire int
	// HoldInbound is how many octets of inbound packets wait at most for SAs
	// whose SPI is reserved (see Engine.Inbound); 0 means 1 MiB, negative none.
	HoldInbound int
	// AcquireTimeout is after how long an acquire that nobody answered is
	// asked again, 0 meaning 60 seconds.
	AcquireTimeout time.Duration
}

// Engine is a data plane in user space: policies, SAs, and the way of packets
// through them (RFC 4301 section 5). It has no sockets and no goroutines; it
// does its work in the callers of Outbound, Inbound and Release; so the hard
// time of an SA ends it when the next packet comes, not before. All methods may
// be called concurrently.
type Engine struct {
	cfg  Config
	caps spd.Capabilities

	in       table[inbound]
	out      table[outboundList] // by reqid
	policies policies

	mu       sync.Mutex // the fields that only management touches
	closed   bool
	outbound map[spd.SPI][]*outbound
	pathMTU  map[netip.Addr]int
	lives    []*spd.Lifetime

	larvals  larvals
	acquires acquires
	events   *spd.EventQueue
	unknown  limiter // of events about unknown SPIs
	selector limiter // of events about selectors

	stats stats
}

var _ spd.DataPlane = (*Engine)(nil)

// New returns an engine without policies: it discards everything.
func New(cfg Config) *Engine {
	if cfg.Rand == nil {
		cfg.Rand = rand.Reader
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.PathMTU == 0 {
		cfg.PathMTU = 1500
	}
	if cfg.Events <= 0 {
		cfg.Events = 1024
	}
	cfg.Events = max(cfg.Events, 4)
	if cfg.HoldPackets == 0 {
		cfg.HoldPackets = 1024
	}
	if cfg.HoldPerAcquire == 0 {
		cfg.HoldPerAcquire = 16
	}
	if cfg.HoldInbound == 0 {
		cfg.HoldInbound = 1 << 20
	}
	if cfg.AcquireTimeout == 0 {
		cfg.AcquireTimeout = time.Minute
	}
	e := &Engine{
		cfg:      cfg,
		caps:     capabilities(cfg.RawESP),
		outbound: make(map[spd.SPI][]*outbound),
		pathMTU:  make(map[netip.Addr]int),
	}
	e.events = spd.NewEventQueue(cfg.Events)
	e.acquires.init(&e.cfg)
	e.larvals.init(max(0, cfg.HoldInbound), e.acquires.signal)
	return e
}

func (e *Engine) now() int64 { return e.cfg.Now().UnixNano() }

// Stats are the packets that an engine has dropped before any SA could count
// them, or for no SA's fault.
type Stats struct {
	Discarded  uint64 // no policy, or one that says discard
	NoSA       uint64 // protected by policy, no SA, and not held
	Held       uint64 // held for an acquire (not a drop)
	Malformed  uint64 // no IP packet, or no ESP packet
	TooBig     uint64 // answered with an ICMP error, or not answerable
	UnknownSPI uint64 // no SA has this SPI, and none was promised it
	Early      uint64 // held for an SA whose SPI is reserved (not a drop)
	EarlyDrops uint64 // came on a reserved SPI, and too many for its SA to wait for, or in vain
}

type stats struct {
	discarded, noSA, held, malformed, tooBig, unknownSPI atomic.Uint64
}

// Stats returns what the engine has counted.
func (e *Engine) Stats() Stats {
	s := &e.stats
	return Stats{
		Discarded: s.discarded.Load(), NoSA: s.noSA.Load(), Held: s.held.Load(),
		Malformed: s.malformed.Load(), TooBig: s.tooBig.Load(), UnknownSPI: s.unknownSPI.Load(),
		Early: e.larvals.held.Load(), EarlyDrops: e.larvals.drops.Load(),
	}
}
