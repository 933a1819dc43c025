package ikev1

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/internal/core"
	"github.com/racoon3/racoon/spd"
)

// engine is what the cores of all protocols share.
type engine = core.Core

// An Endpoint is an IKEv1 core: the state machine of any number of ISAKMP SAs,
// in both roles. It does no I/O: package ike tells how it is driven. It is used
// by one goroutine at a time.
type Endpoint struct {
	engine
	cfg   Config
	peers *PeerSet

	sessions  core.Sessions[*session]
	sas       map[isakmp.Cookie]*isakmpSA // by our cookie
	relations map[relation][]*session
	grouped   map[netip.AddrPort]*isakmpSA // where private groups have been agreed on
	initial   map[initKey]*isakmpSA        // responders by what their first message is known by
	waiting   waitingRoom
	beginning []*session // begun here and not yet up, oldest first
	fragments fragments
	budgets   replyBudgets // of long answers to first messages
}

// NewEndpoint returns a core without peers; SetPeers gives it some.
func NewEndpoint(cfg Config) (*Endpoint, error) {
	c, err := core.New(core.Config{Rand: cfg.Rand, DataPlane: cfg.DataPlane, Tag: cfg.Tag, Limits: cfg.Limits, Load: cfg.Load})
	if err != nil {
		return nil, fmt.Errorf("ikev1: %w", err)
	}
	return &Endpoint{
		engine:   c,
		cfg:      cfg,
		peers:    &PeerSet{},
		sessions: make(core.Sessions[*session]),
		sas:      make(map[isakmp.Cookie]*isakmpSA),
		initial:  make(map[initKey]*isakmpSA),
		grouped:  make(map[netip.AddrPort]*isakmpSA), relations: make(map[relation][]*session),
	}, nil
}

// Format keeps an endpoint's secrets out of any text.
func (e *Endpoint) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "ikev1.Endpoint(%d sessions, %d half-open)", len(e.sessions), e.HalfOpen())
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
func (e *Endpoint) HandleDataPlane(now time.Time, ev spd.Event) {
	if first, ok := ev.(spd.FirstPacketEvent); ok {
		if s := e.sessions[e.Owner(first.ID)]; s != nil {
			s.used(now, first.ID)
		}
	}
	e.engine.HandleDataPlane(now, ev)
}

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

// newCookie returns an unused cookie. It is random, which is as good as one
// derived from a secret (RFC 2408 2.5.3).
func (e *Endpoint) newCookie() (isakmp.Cookie, error) {
	var marked uint64
	_, err := e.NewSPI(func(v uint64) bool {
		marked = v
		if e.cfg.Router != nil {
			marked = e.cfg.Router.mark(v)
		}
		return e.sas[isakmp.Cookie(marked)] != nil
	})
	return isakmp.Cookie(marked), err
}
