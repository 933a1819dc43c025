package xfrm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/racoon3/racoon/spd"
)

// Config is what a [DataPlane] is made of. All of it may be left out.
type Config struct {
	// Dial opens netlink sockets. nil means the running kernel's, in the
	// network namespace of the thread that calls New. With a Dial, the settings
	// of AcquireExpires and HoldPackets are left to whoever owns that kernel.
	Dial Dialer

	// Capabilities are what is offered. nil means to ask the kernel: New
	// installs an SA with each algorithm, to an address of no use, and removes
	// it, which also loads the modules.
	Capabilities *spd.Capabilities

	// FirstSPI and LastSPI are between which SPIs are chosen; 0 means
	// 0xc0000000 to 0xcfffffff.
	FirstSPI, LastSPI spd.SPI

	// AcquireExpires is how long the kernel itself keeps a reserved SPI, and
	// does not ask again for an SA that it has asked for: the setting
	// net.core.xfrm_acq_expires of the network namespace. 0 leaves it as it is,
	// 30 seconds unless somebody has changed it.
	AcquireExpires time.Duration

	// HoldPackets makes the kernel keep the packets that wait for an SA, and
	// send them then, instead of dropping them: the setting
	// net.core.xfrm_larval_drop of the network namespace.
	HoldPackets bool

	// NoFirstPacket turns FirstPacketEvents off. They make the kernel report
	// on SAs of other programs too, as long as one of this data plane's has
	// not been used.
	NoFirstPacket bool

	// Displaced remembers the policies of others that this data plane's are in
	// the place of. nil: they are put back as long as the data plane lives only.
	Displaced spd.DisplacedStore

	// Events is how many events are kept for the reader; 0 means 1024.
	Events int

	// Logger is told what nobody waits for an error of. nil discards.
	Logger *slog.Logger
}

// DataPlane is the Linux kernel as an [spd.DataPlane]. It is safe for
// concurrent use. It needs CAP_NET_ADMIN.
//
// It removes and changes what it has installed itself and nothing else, with
// one exception: where a policy of somebody else is in the place of one that it
// has to install, that one is displaced, and put back when its own goes. What an
// earlier life of the program has left is adopted, see [DataPlane.AdoptPolicies],
// or removed by [Client.FlushSAs] and [Client.FlushPolicies] before New;
// otherwise it counts as somebody else's.
type DataPlane struct {
	cfg     Config
	client  *Client
	caps    spd.Capabilities
	has     features
	log     *slog.Logger
	release func()
	stop    context.CancelFunc
	done    context.Context
	readers sync.WaitGroup
	events  *spd.EventQueue

	mu          sync.Mutex // never held during a request
	closed      bool
	sas         map[SAKey]*entry
	byReqID     map[uint32][]*entry // outbound
	larval      map[SAKey]*larval
	larvalTimer *time.Timer // nil: none is set
	larvalDue   time.Time   // when it fires
	acquires    acquires
	moving      map[uint32]int // ReqIDs of SAs that are being moved
	watch       watch

	policyLock chan struct{} // holds a token while policies are changed
	policies   policies
}

var _ spd.DataPlane = (*DataPlane)(nil)

// An entry is an installed SA.
type entry struct {
	id       spd.SAID
	key      SAKey
	reqID    uint32
	ends     spd.Endpoints
	selector Selector
	limits   Limits
	seen     spd.Counters   // when they were last looked at; of an SA that has expired, its last
	before   Stats          // drops counted before it was moved
	mapping  netip.AddrPort // inbound: what was told last

	exhausts  bool // the soft limit is that of the sequence number
	installed bool // the kernel has confirmed it
	doubtful  bool // its reservation was over, which the kernel tells like the end of the SA
	soft      bool // its soft limit was told
	expired   bool // the kernel has removed it
	awaited   bool // inbound: the first packet has not come
}

// New returns a data plane on the kernel. Elsewhere than on Linux it fails with
// errors.ErrUnsupported unless Config.Dial is set; with spd.ErrUnsupported if
// the kernel has no ESP.
func New(cfg Config) (*DataPlane, error) {
	p := &DataPlane{cfg: cfg, log: cfg.Logger, release: func() {},
		sas: map[SAKey]*entry{}, byReqID: map[uint32][]*entry{}, larval: map[SAKey]*larval{}, moving: map[uint32]int{},
		policyLock: make(chan struct{}, 1)}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	if p.cfg.FirstSPI == 0 {
		p.cfg.FirstSPI = 0xc0000000
	}
	if p.cfg.LastSPI == 0 {
		p.cfg.LastSPI = 0xcfffffff
	}
	if p.cfg.FirstSPI < spd.FirstSPI || p.cfg.LastSPI < p.cfg.FirstSPI {
		return nil, fmt.Errorf("xfrm: FirstSPI %#x and LastSPI %#x: not a range above 255", uint32(p.cfg.FirstSPI), uint32(p.cfg.LastSPI))
	}
	if p.cfg.Dial == nil {
		dial, release, err := SystemDialer()
		if err != nil {
			return nil, err
		}
		p.cfg.Dial, p.release = dial, release
		if err := p.setSystem(); err != nil {
			release()
			return nil, err
		}
	}
	p.acquires.init()
	p.policies.init()
	p.done, p.stop = context.WithCancel(context.Background())
	size := cfg.Events
	if size <= 0 {
		size = 1024
	}
	p.events = spd.NewEventQueue(size)
	if err := p.start(); err != nil {
		p.stop()
		p.release()
		return nil, err
	}
	return p, nil
}

func (p *DataPlane) start() (err error) {
	if p.client, err = NewClient(p.cfg.Dial); err != nil {
		return err
	}
	events, err := p.cfg.Dial(ProtocolXFRM, GroupAcquire|GroupExpire|GroupReport|GroupMapping)
	if err != nil {
		_ = p.client.Close()
		return err
	}
	if err := p.findCapabilities(p.done); err != nil {
		_ = events.Close()
		_ = p.client.Close()
		return err
	}
	p.readers.Go(func() { p.read(events) })
	return nil
}

// Client returns a client of the same kernel, for what is not a data plane's
// business: lists, statistics, default policies.
func (p *DataPlane) Client() *Client { return p.client }

// Capabilities implements [spd.DataPlane].
func (p *DataPlane) Capabilities() spd.Capabilities {
	c := p.caps
	c.Algorithms, c.IPComp = slices.Clone(c.Algorithms), slices.Clone(c.IPComp)
	return c
}

// Events implements [spd.DataPlane].
func (p *DataPlane) Events() <-chan spd.Event { return p.events.Events() }

// ready reports why a call cannot be served. p.mu is held.
func (p *DataPlane) ready(ctx context.Context) error {
	if p.closed {
		return spd.ErrClosed
	}
	return ctx.Err()
}

// keyOf is the kernel's name of an SA.
func keyOf(id spd.SAID) SAKey {
	return SAKey{Dst: id.Dst.Unmap(), SPI: uint32(id.SPI), Proto: protocolNumber(id.Protocol), Mark: markOf(id.Mark)}
}

// markOf drops the bits outside the mask, with which the kernel finds nothing.
func markOf(m spd.Mark) Mark { return Mark{Value: m.Value & m.Mask, Mask: m.Mask} }

func protocolNumber(p spd.Protocol) uint8 {
	switch p {
	case spd.ProtoAH:
		return ProtoAH
	case spd.ProtoIPComp:
		return ProtoIPComp
	}
	return ProtoESP
}

// rollbackTimeout bounds what is undone after a call's own context has ended.
const rollbackTimeout = 5 * time.Second

func rollbackContext(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), rollbackTimeout)
}

// Query implements [spd.DataPlane]. LastUsed has the kernel's resolution of a
// second; of a kernel that does not tell it, it is when Query saw that packets
// had come.
func (p *DataPlane) Query(ctx context.Context, id spd.SAID) (spd.Counters, error) {
	e, err := p.find(ctx, id)
	if err != nil {
		return spd.Counters{}, err
	}
	if e == nil {
		return spd.Counters{}, spd.ErrNotFound
	}
	return p.query(ctx, e)
}

// find returns the entry of an SA, nil if there is none.
func (p *DataPlane) find(ctx context.Context, id spd.SAID) (*entry, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.ready(ctx); err != nil {
		return nil, err
	}
	e := p.sas[keyOf(id)]
	if e == nil || e.id.Direction != id.Direction {
		return nil, nil
	}
	return e, nil
}

func (p *DataPlane) query(ctx context.Context, e *entry) (spd.Counters, error) {
	p.mu.Lock()
	expired, final, key := e.expired, e.seen, e.key
	p.mu.Unlock()
	if expired {
		return final, nil
	}
	sa, err := p.client.SA(ctx, key)
	if err != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		if e.expired { // meanwhile
			return e.seen, nil
		}
		return spd.Counters{}, err
	}
	defer sa.Wipe()
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.counters(e, sa), nil
}

// counters translates what the kernel has counted. p.mu is held.
func (p *DataPlane) counters(e *entry, sa *SA) spd.Counters {
	c := spd.Counters{Bytes: sa.Usage.Bytes, Packets: sa.Usage.Packets,
		ReplayDrops: uint64(e.before.Replay) + uint64(e.before.Window) + uint64(sa.Stats.Replay) + uint64(sa.Stats.Window),
		AuthDrops:   uint64(e.before.Integrity) + uint64(sa.Stats.Integrity)}
	switch {
	case sa.LastUsed != 0:
		c.LastUsed = time.Unix(int64(sa.LastUsed), 0)
	case c.Packets > e.seen.Packets:
		c.LastUsed = time.Now()
	default:
		c.LastUsed = e.seen.LastUsed
	}
	e.seen = c
	return c
}

// Remove implements [spd.DataPlane].
func (p *DataPlane) Remove(ctx context.Context, id spd.SAID) (spd.Counters, error) {
	e, err := p.find(ctx, id)
	if err != nil {
		return spd.Counters{}, err
	}
	if e == nil {
		return spd.Counters{}, spd.ErrNotFound
	}
	counters, err := p.query(ctx, e)
	if err != nil && !errors.Is(err, spd.ErrNotFound) {
		return spd.Counters{}, err
	}
	p.mu.Lock()
	expired := e.expired
	p.mu.Unlock()
	if !expired {
		if err := p.client.DeleteSA(ctx, e.key); err != nil && !isErrno(err, ESRCH) {
			return spd.Counters{}, err
		}
	}
	p.mu.Lock()
	p.forget(e)
	p.mu.Unlock()
	return counters, nil
}

// forget drops an entry. p.mu is held.
func (p *DataPlane) forget(e *entry) {
	if p.sas[e.key] == e {
		delete(p.sas, e.key)
	}
	if e.id.Direction == spd.Out {
		if rest := slices.DeleteFunc(p.byReqID[e.reqID], func(o *entry) bool { return o == e }); len(rest) > 0 {
			p.byReqID[e.reqID] = rest
		} else {
			delete(p.byReqID, e.reqID)
		}
	}
	p.arrived(e)
}

// remember adds an entry. p.mu is held.
func (p *DataPlane) remember(e *entry) {
	p.sas[e.key] = e
	if e.id.Direction == spd.Out {
		p.byReqID[e.reqID] = append(p.byReqID[e.reqID], e)
	}
}

// Close implements [spd.DataPlane]. The settings of [Config] that are the
// network namespace's stay.
func (p *DataPlane) Close() error {
	p.policyLock <- struct{}{} // no change of policies is under way, and none follows
	defer func() { <-p.policyLock }()
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil
	}
	p.closed = true
	var keys []SAKey
	for k, e := range p.sas {
		if !e.expired {
			keys = append(keys, k)
		}
	}
	for k := range p.larval {
		keys = append(keys, k)
	}
	clear(p.sas)
	clear(p.byReqID)
	clear(p.larval)
	if p.larvalTimer != nil {
		p.larvalTimer.Stop()
	}
	p.mu.Unlock()

	ctx := context.Background()
	var errs []error
	for _, k := range keys {
		if err := p.client.DeleteSA(ctx, k); err != nil && !isErrno(err, ESRCH) {
			errs = append(errs, err)
		}
	}
	errs = append(errs, p.removePolicies(ctx))
	p.stop()
	p.readers.Wait()
	p.events.Close()
	errs = append(errs, p.client.Close())
	p.release()
	return errors.Join(errs...)
}
