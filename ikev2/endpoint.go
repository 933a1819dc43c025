package ikev2

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev2/message"
	"github.com/racoon3/racoon/internal/child"
	"github.com/racoon3/racoon/internal/core"
	"github.com/racoon3/racoon/spd"
)

// engine is what the cores of all protocols share.
type engine = core.Core

// An Endpoint is an IKEv2 core: the state machine of any number of IKE SAs, in
// both roles. It does no I/O: package ike tells how it is driven. It is used
// by one goroutine at a time.
type Endpoint struct {
	engine
	cfg   Config
	peers *PeerSet

	sessions core.Sessions[*session]
	sas      map[message.SPI]*ikeSA // by our SPI
	initial  map[initKey]*ikeSA     // half-open responders by what their first message is known by
	cookies  cookieJar

	algorithms []*algorithms   // see algorithmsOf
	lives      []*child.Config // see lifeOf

	scratch []byte // payloads on their way into a message
}

// initKey is what an IKE_SA_INIT request is known by before the responder has
// an SPI.
type initKey struct {
	spi    message.SPI
	remote netip.AddrPort
}

// NewEndpoint returns a core without peers; SetPeers gives it some.
func NewEndpoint(cfg Config) (*Endpoint, error) {
	c, err := core.New(core.Config{Rand: cfg.Rand, DataPlane: cfg.DataPlane, Tag: cfg.Tag, Limits: cfg.Limits, Load: cfg.Load})
	if err != nil {
		return nil, fmt.Errorf("ikev2: %w", err)
	}
	e := &Endpoint{
		engine:   c,
		cfg:      cfg,
		peers:    &PeerSet{},
		sessions: make(core.Sessions[*session]),
		sas:      make(map[message.SPI]*ikeSA),
		initial:  make(map[initKey]*ikeSA),
	}
	if err := e.cookies.rotate(cfg.Rand); err != nil {
		return nil, err
	}
	return e, nil
}

// Format keeps an endpoint's secrets out of any text.
func (e *Endpoint) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "ikev2.Endpoint(%d sessions, %d half-open)", len(e.sessions), e.HalfOpen())
}

// SetPeers replaces the configured peers. Sessions keep the configuration they
// were made with.
func (e *Endpoint) SetPeers(ps *PeerSet) { e.peers = ps }

// HandleTimeout fires what is due.
func (e *Endpoint) HandleTimeout(now time.Time) { e.engine.HandleTimeout(now) }

// HandleResult takes the result of a job. Results that nobody waits for are
// given back.
func (e *Endpoint) HandleResult(now time.Time, r ike.Result) { e.engine.HandleResult(now, r) }

// HandleDataPlane takes an event of the data plane. Events that concern no
// Child SA of this endpoint are ignored.
func (e *Endpoint) HandleDataPlane(now time.Time, ev spd.Event) { e.engine.HandleDataPlane(now, ev) }

// PollTransmit returns the next datagram to send.
func (e *Endpoint) PollTransmit() (ike.Transmit, bool) { return e.engine.PollTransmit() }

// PollJob returns the next job to run.
func (e *Endpoint) PollJob() (ike.Job, bool) { return e.engine.PollJob() }

// PollEvent returns the next event. When Limits.Events are waiting, new ones
// are lost and counted in Stats.
func (e *Endpoint) PollEvent() (ike.Event, bool) { return e.engine.PollEvent() }

// PollTimeout returns when HandleTimeout is to be called next, and false when
// no timer is set.
func (e *Endpoint) PollTimeout() (time.Time, bool) { return e.engine.PollTimeout() }

// Stats returns the counters.
func (e *Endpoint) Stats() ike.CoreStats { return e.engine.Stats(len(e.sessions)) }

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

// newSPI returns an unused SPI with this endpoint's tag.
func (e *Endpoint) newSPI() (message.SPI, error) {
	spi, err := e.NewSPI(func(spi uint64) bool { return e.sas[message.SPI(spi)] != nil })
	return message.SPI(spi), err
}
