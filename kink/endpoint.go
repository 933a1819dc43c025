package kink

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/core"
	"github.com/racoon3/racoon/kink/krb"
	"github.com/racoon3/racoon/kink/message"
	"github.com/racoon3/racoon/spd"
)

// Config is what an Endpoint is made of.
type Config struct {
	// Rand is the only source of randomness; it must be a cryptographic one
	// and must not fail: a failing read ends the exchange that needed it.
	Rand io.Reader
	// DataPlane is called from jobs, never by the core itself.
	DataPlane spd.DataPlane
	// Kerberos gets tickets and reads those of the peers.
	Kerberos krb.Kerberos
	// Replays remembers authenticators; all endpoints of a program share it. nil
	// makes one for this endpoint.
	Replays *krb.ReplayCache
	// ETypes are the encryption types that tickets may have; nil means
	// krb.DefaultETypes.
	ETypes []krb.EType
	// Skew is by how much clocks may differ; 0 means 5 min (RFC 4120 1.6).
	Skew time.Duration
	// Started is when the program started. Authenticators that are older are
	// refused: nobody would remember whether they are replays.
	Started time.Time
	// Epochs are what peers are told; all endpoints of a program share it. nil
	// makes one for this endpoint.
	Epochs *Epochs
	// Tag is the top octet of all session, job and Child IDs that this endpoint
	// chooses, so that several endpoints can work side by side.
	Tag uint8

	Authorize ike.Authorize // nil: whoever has a ticket and is configured is welcome
	Narrow    ike.Narrow    // nil: the configuration alone decides

	// Limits: those of half-open SAs have no meaning, since nothing is kept for
	// a peer that is not authenticated.
	Limits ike.Limits
	// Load is shared by the endpoints of a program; nil makes one for this
	// endpoint.
	Load *ike.Load

	// Trace, if set, is called with each message whose content could be read,
	// decrypted and without its checksum. It must return quickly and keep no
	// reference to it.
	Trace func(t ike.TraceRecord)
}

// engine is what the cores of all protocols share.
type engine = core.Core

// An Endpoint is a KINK core: the state machine of any number of associations,
// in both roles. It does no I/O: package ike tells how it is driven. It is used
// by one goroutine at a time.
type Endpoint struct {
	engine
	cfg   Config
	peers *PeerSet

	sessions     core.Sessions[*session]
	relations    map[relation]*session
	places       map[krb.Principal]int   // addresses in relations, by principal
	transactions map[uint32]*transaction // begun here, by XID
	served       map[servedKey]*served   // the peers'
	servedBy     map[krb.Principal]int   // their number, by client
	past         past                    // what was served before

	acceptor krb.Acceptor
	reloaded time.Time // when the keys were last read anew
	reloads  []reload  // what waits for that
	given    rate      // of the own TGT, to whoever asks
}

// A relation is what a session is found by.
type relation struct {
	principal krb.Principal
	remote    netip.Addr
}

// NewEndpoint returns a core without peers; SetPeers gives it some. The error
// names the field of Config.
func NewEndpoint(cfg Config) (*Endpoint, error) {
	c, err := core.New(core.Config{Rand: cfg.Rand, DataPlane: cfg.DataPlane, Tag: cfg.Tag, Limits: cfg.Limits, Load: cfg.Load})
	if err == nil && cfg.Kerberos == nil {
		err = errors.New("Config.Kerberos is nil; package kink/krb has one")
	}
	if err == nil && cfg.Started.IsZero() {
		err = errors.New("Config.Started is zero; use the time at which the program started")
	}
	if err != nil {
		return nil, fmt.Errorf("kink: %w", err)
	}
	if cfg.Replays == nil {
		cfg.Replays = krb.NewReplayCache(max(cfg.Skew, krb.DefaultSkew), 0, 0)
	}
	if cfg.Epochs == nil {
		cfg.Epochs = NewEpochs(cfg.Started)
	}
	return &Endpoint{
		acceptor:     krb.Acceptor{Keys: cfg.Kerberos, Servers: []krb.Principal{cfg.Kerberos.Principal()}, Skew: cfg.Skew, ETypes: cfg.ETypes},
		engine:       c,
		cfg:          cfg,
		peers:        &PeerSet{},
		sessions:     make(core.Sessions[*session]),
		relations:    make(map[relation]*session),
		places:       make(map[krb.Principal]int),
		transactions: make(map[uint32]*transaction),
		served:       make(map[servedKey]*served),
		servedBy:     make(map[krb.Principal]int),
		past:         newPast(),
	}, nil
}

// Format keeps an endpoint's secrets out of any text.
func (e *Endpoint) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "kink.Endpoint(%d sessions)", len(e.sessions))
}

// SetPeers replaces the configured peers. Sessions keep the configuration they
// were made with.
func (e *Endpoint) SetPeers(ps *PeerSet) { e.peers = ps }

// SetKerberos replaces Config.Kerberos, ETypes and Skew. k must have the same
// principal as before: the peers know this side by it. Sessions go on, and get a
// new ticket with their next command.
func (e *Endpoint) SetKerberos(k krb.Kerberos, etypes []krb.EType, skew time.Duration) {
	if k != e.cfg.Kerberos || !slices.Equal(etypes, e.cfg.ETypes) {
		for _, s := range e.sessions {
			s.ticket = nil
		}
	}
	e.cfg.Kerberos, e.cfg.ETypes, e.cfg.Skew = k, etypes, skew
	e.acceptor.Keys, e.acceptor.ETypes, e.acceptor.Skew = k, etypes, skew
	e.reloaded = time.Time{} // there may be other files
}

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

// newXID returns an unused transaction ID. It is random, so that nobody who does
// not see the command can answer it.
func (e *Endpoint) newXID() (uint32, error) {
	for {
		var b [4]byte
		if err := e.Random(b[:]); err != nil {
			return 0, err
		}
		xid := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
		if e.transactions[xid] == nil {
			return xid, nil
		}
	}
}

// newNonce returns a nonce for the keying material.
func (e *Endpoint) newNonce() ([]byte, error) {
	b := make([]byte, nonceLen)
	return b, e.Random(b)
}

// nonceLen is the length of our nonces in octets, within the 8 to 256 of RFC
// 2409 5.
const nonceLen = 32

func (e *Endpoint) trace(now time.Time, s ike.SessionID, path ike.Path, out bool, h message.Header, ps message.Payloads) {
	if e.cfg.Trace == nil {
		return
	}
	m := message.Message{Header: h, Payloads: ps}
	if b, err := m.AppendBinary(nil); err == nil {
		e.cfg.Trace(ike.TraceRecord{Time: now, Session: s, Path: path, Outbound: out, Message: b})
	}
}
