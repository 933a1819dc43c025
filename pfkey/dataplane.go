package pfkey

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/racoon3/racoon/internal/onacquire"
	"github.com/racoon3/racoon/spd"
)

// DataPlaneConfig configures a [DataPlane]. All of it may be left out.
type DataPlaneConfig struct {
	// Events is the client whose notifications are events. nil for the one that
	// makes the requests; one of its own is better, so that a flood of answers
	// cannot push events out of the socket. The data plane closes it too.
	Events *Client

	// Flush deletes all SAs and policies that are there at the start, those of
	// a predecessor that has crashed, and those of everybody else.
	Flush bool

	// Displaced remembers the policies of others that this data plane's are in
	// the place of. nil: they are put back as long as the data plane lives only.
	Displaced spd.DisplacedStore

	// AcquireExpires is how long a kernel of Linux keeps a reserved SPI, and does
	// not ask again for an SA that it has asked for; HoldPackets makes it keep the
	// packets that wait for an SA, and send them then, instead of dropping them.
	// They are the settings net.core.xfrm_acq_expires and xfrm_larval_drop of the
	// network namespace of the thread that calls NewDataPlane, and stay as they are
	// with 0 and false. Other systems have no such settings, or for themselves.
	AcquireExpires time.Duration
	HoldPackets    bool

	// EventBuffer is how many events are kept for the reader, 0 for 1024.
	EventBuffer int

	// Now is the clock, nil for time.Now.
	Now func() time.Time
}

// A DataPlane is a kernel behind PF_KEY as key management sees it. It is safe
// for concurrent use.
//
// What PF_KEY cannot carry is not in its capabilities, so that it is not
// negotiated, or is refused with spd.ErrUnsupported and an explanation:
//
//   - Selectors: a policy of the kernel has prefixes and single ports. An
//     address range becomes several policies; a port range is refused.
//   - Request IDs: 16383 at once.
//   - Linux: no AEAD, no HMAC-SHA2-256 (its integrity check value would have 96
//     bits), no 64-bit sequence numbers, a replay window of 32 packets, of AH
//     what has 96 bits (the rest is padded as no other system's is), and in one
//     tunnel packets of one family.
//   - NetBSD: an SA cannot move to other endpoints. macOS: no bundles, no IPComp.
//   - Options: of spd.Options, DFClear and NoECN on Linux, Fragment on NetBSD.
//
// Counters are what the kernel tells: octets and packets (octets only on NetBSD
// and macOS). When an SA was used last only macOS tells; elsewhere it is taken
// from what has changed between two calls, and so late by as much at most.
//
// Two policies with the same selector and direction cannot be in a kernel at
// once. Of several that key management wants, the one with the lowest priority
// number is there, and of equals ActionProtect before ActionTrap.
type DataPlane struct {
	d      *Dialect
	c      *Client
	events *Client
	cfg    DataPlaneConfig
	caps   spd.Capabilities
	out    *spd.EventQueue
	stop   context.CancelFunc
	done   sync.WaitGroup

	mu       sync.Mutex
	closed   bool
	reqs     reqIDs
	larval   map[spd.SAID]*larval
	sas      map[spd.SAID]*installed
	bundles  map[uint32][]*bundle // by request ID; the last one was installed last
	acquires map[spd.AcquireID]*acquire
	takenUp  spd.AcquireID     // acquires of an earlier time, counted
	dying    map[spd.SAID]bool // to be looked after, where a hard limit is silent

	// policyMu orders changes of the SPD. It is locked before mu.
	policyMu sync.Mutex
	policies policies
}

var _ spd.DataPlane = (*DataPlane)(nil)

// larval is an SPI that waits for its SA.
type larval struct {
	key   SAKey
	reqID uint32
	until time.Time
}

// installed is an SA of ours in the kernel.
type installed struct {
	id       spd.SAID
	entry    SAEntry // without keys
	keyBits  [2]int  // octets of the keys: authentication, encryption
	bundle   *bundle
	softTold bool
	hardTold bool

	packets  uint64 // at the last look
	bytes    uint64
	lastUsed time.Time
}

// bundle is a direction of a Child SA: what policies need to know of it.
type bundle struct {
	dir           spd.Direction
	reqID         uint32
	local, remote netip.AddrPort
	udp           bool
	sas           []spd.SA // without keys
	count         int      // SAs that are still there
}

// OpenDataPlane opens the running system's PF_KEY, with a socket for requests
// and one for events. ctx bounds the first requests.
func OpenDataPlane(ctx context.Context, cfg DataPlaneConfig) (*DataPlane, error) {
	var clients [2]*Client
	for i := range clients {
		conn, err := OpenSocket()
		if err == nil {
			clients[i], err = NewClient(conn, ClientConfig{})
		}
		if err != nil {
			if i == 1 {
				_ = clients[0].Close()
			}
			return nil, err
		}
	}
	cfg.Events = clients[1]
	return NewDataPlane(ctx, clients[0], cfg)
}

// NewDataPlane returns a data plane over a client, which it owns from then on.
// It registers for ESP, AH and, where the system has it, IPComp, and learns the
// kernel's algorithms from the answers; ctx bounds that.
func NewDataPlane(ctx context.Context, c *Client, cfg DataPlaneConfig) (*DataPlane, error) {
	if cfg.Events == nil {
		cfg.Events = c
	}
	if cfg.EventBuffer <= 0 {
		cfg.EventBuffer = 1024
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	p := &DataPlane{
		d: c.d, c: c, events: cfg.Events, cfg: cfg, reqs: newReqIDs(), larval: map[spd.SAID]*larval{}, sas: map[spd.SAID]*installed{},
		bundles: map[uint32][]*bundle{}, acquires: map[spd.AcquireID]*acquire{}, dying: map[spd.SAID]bool{},
	}
	p.policies.init()
	p.out = spd.NewEventQueue(cfg.EventBuffer + 1)
	if err := p.begin(ctx); err != nil {
		p.closeClients()
		return nil, err
	}
	run, stop := context.WithCancel(context.Background())
	p.stop = stop
	p.done.Go(func() { p.listen(run) })
	if p.d.noHardExpire {
		p.done.Go(func() { p.watchDying(run) })
	}
	return p, nil
}

func (p *DataPlane) begin(ctx context.Context) error {
	if p.d.nattStyle == nattUDPEncap {
		return fmt.Errorf("%w: pfkey: no data plane for OpenBSD", spd.ErrUnsupported)
	}
	if p.d == Linux {
		if err := (onacquire.Settings{AcquireExpires: p.cfg.AcquireExpires, HoldPackets: p.cfg.HoldPackets}).Set(); err != nil {
			return fmt.Errorf("pfkey: %w", err)
		}
	}
	auth, encrypt, err := p.events.Register(ctx, SATypeESP)
	if err != nil {
		return err
	}
	p.caps = p.d.capabilities(auth, encrypt)
	p.caps.NonIKE = p.d.takesNonIKE()
	if _, _, err := p.events.Register(ctx, SATypeAH); err != nil {
		return err
	}
	if p.d.ipcomp {
		if _, _, err := p.events.Register(ctx, SATypeIPComp); err != nil {
			p.caps.IPComp = nil
		}
	}
	if p.cfg.Flush {
		if err := p.c.Flush(ctx, SATypeUnspec); err != nil {
			return err
		}
		return p.c.SPDFlush(ctx)
	}
	return nil
}

// Client returns the client of the data plane's requests.
func (p *DataPlane) Client() *Client { return p.c }

// Capabilities implements [spd.DataPlane].
func (p *DataPlane) Capabilities() spd.Capabilities {
	c := p.caps
	c.Algorithms = append([]spd.Algorithm(nil), c.Algorithms...)
	c.IPComp = append([]uint8(nil), c.IPComp...)
	return c
}

// Events implements [spd.DataPlane]. FirstPacketEvent and PeerErrorEvent never
// come: no kernel tells.
func (p *DataPlane) Events() <-chan spd.Event { return p.out.Events() }

// lock locks the tables if the data plane is open.
func (p *DataPlane) lock(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return spd.ErrClosed
	}
	return nil
}

// missing reports whether a kernel means that an SA or policy is not there.
func missing(err error) bool { return errors.Is(err, ENOENT) || errors.Is(err, ESRCH) }

// translate gives an error of the client the form of package spd.
func translate(err error) error {
	switch {
	case err == nil:
		return nil
	case missing(err):
		return fmt.Errorf("%w: %w", spd.ErrNotFound, err)
	case errors.Is(err, EEXIST):
		return fmt.Errorf("%w: %w", spd.ErrExists, err)
	case errors.Is(err, ENOSYS) || errors.Is(err, EPROTONOSUPPORT) || errors.Is(err, EOPNOTSUPP) || errors.Is(err, ENOPROTOOPT) || errors.Is(err, EAFNOSUPPORT):
		return fmt.Errorf("%w: %w", spd.ErrUnsupported, err)
	case errors.Is(err, ErrClosed):
		return fmt.Errorf("%w: %w", spd.ErrClosed, err)
	}
	return err
}

// cleanupTime bounds the requests that undo something, which go on when the
// context of what is undone has ended.
const cleanupTime = 5 * time.Second

func cleanup(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), cleanupTime)
}

// Close implements [spd.DataPlane]. It takes 5 seconds at most, and returns
// what could not be removed.
func (p *DataPlane) Close() error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil
	}
	p.closed = true
	p.mu.Unlock()
	ctx, cancel := cleanup(context.Background())
	defer cancel()
	err := errors.Join(p.removePolicies(ctx), p.removeSAs(ctx))
	p.stop()
	p.closeClients()
	p.done.Wait()
	p.out.Close()
	return err
}

func (p *DataPlane) closeClients() {
	_ = p.c.Close()
	if p.events != p.c {
		_ = p.events.Close()
	}
}

func (p *DataPlane) removeSAs(ctx context.Context) error {
	p.mu.Lock()
	var keys []SAKey
	for _, s := range p.sas {
		keys = append(keys, s.entry.Key())
	}
	for _, l := range p.larval {
		keys = append(keys, l.key)
	}
	clear(p.sas)
	clear(p.larval)
	p.mu.Unlock()
	var errs error
	for _, k := range keys {
		if err := p.c.Delete(ctx, k); err != nil && !missing(err) {
			errs = errors.Join(errs, err)
			if ctx.Err() != nil || errors.Is(err, ErrClosed) {
				break
			}
		}
	}
	return errs
}
