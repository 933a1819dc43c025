package spd

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Operation is one of the methods of a [DataPlane], for injecting failures
// into a [Memory].
type Operation uint8

// Operations.
const (
	OpAllocSPI Operation = iota
	OpReleaseSPI
	OpInstallInbound
	OpInstallOutbound
	OpRemove
	OpQuery
	OpMovePeer
	OpSetPolicies
	OpAcquireDone
	OpPrepareSocket
	OpAdoptPolicies
	numOperations
)

func (o Operation) String() string {
	names := [...]string{"AllocSPI", "ReleaseSPI", "InstallInbound", "InstallOutbound", "Remove", "Query", "MovePeer", "SetPolicies", "AcquireDone", "PrepareSocket", "AdoptPolicies"}
	if int(o) < len(names) {
		return names[o]
	}
	return fmt.Sprintf("Operation(%d)", uint8(o))
}

// MemoryConfig configures a [Memory]. All of it may be left out.
type MemoryConfig struct {
	// Capabilities of the plane; the zero value stands for
	// [MemoryCapabilities].
	Capabilities Capabilities

	// SPI is the source of SPIs. Those that are reserved or in use are asked
	// for again. nil counts upwards from 0xc0000001 (CPIs from 256).
	SPI func() SPI

	// Now is the clock for larval lifetimes, HardTime and LastUsed. With nil
	// there is no time: nothing ends by itself, and LastUsed is zero.
	Now func() time.Time

	// Fail is asked before each operation; an error that it returns is the
	// operation's, and nothing is changed. It runs under the plane's lock.
	Fail func(Operation) error

	// Events is how many events are kept for the reader; 0 means 1024.
	Events int
}

// Memory is a data plane without packets, for tests and simulations: it keeps
// SAs and policies, and [Memory.Send] carries flows from one Memory to
// another through them, with all the checks that real packets meet. It is
// synchronous and deterministic: it starts no goroutine, and reads no clock
// and no randomness but those it is given. It is safe for concurrent use.
type Memory struct {
	mu     sync.Mutex
	cfg    MemoryConfig
	caps   Capabilities
	events eventQueue
	closed bool

	nextSPI     SPI
	larval      map[memoryKey]larvalSA
	in          map[memoryKey]*memorySA // this host has chosen the SPI: it is unique
	out         map[SAID]*memorySA      // the peers have: only with the destination it is
	bundles     map[uint32][]*memoryBundle
	policies    PolicySet
	table       *PolicyTable
	acquires    map[AcquireID]*memoryAcquire
	byPolicy    map[Policy]AcquireID
	nextAcquire AcquireID
	calls       [numOperations]int
	failNext    [numOperations][]error
	sockets     []net.PacketConn

	larvalDue, hardDue time.Time // nothing ends before; zero: nothing ends
}

type memoryKey struct {
	protocol Protocol
	spi      SPI
}

type larvalSA struct {
	id   SAID
	ends time.Time // zero: never
}

// memoryBundle is an installed direction of a Child SA.
type memoryBundle struct {
	*Bundle
	sas []*memorySA
}

type memorySA struct {
	SA
	id       SAID
	bundle   *memoryBundle
	counters Counters
	seq      uint64 // outbound: last one sent
	replay   replayWindow
	first    bool // inbound: a packet has passed
	soft     bool // the soft expire was raised
	hard     bool // the SA no longer works
	seqSoft  bool
	mapping  netip.AddrPort // inbound: last reported source
	since    time.Time
}

type memoryAcquire struct {
	policy Policy
	held   int
}

var _ DataPlane = (*Memory)(nil)

// MemoryCapabilities returns the capabilities that a [Memory] has unless told
// otherwise: everything this package knows.
func MemoryCapabilities() Capabilities {
	c := Capabilities{
		Name: "memory", ESN: true, Tunnel: true, Transport: true, UDPEncap: true, UDPEncap6: true, NonIKE: true, RawESP: true,
		Bundles: true, IPComp: []uint8{2}, MaxReplay: 4096, Volume: true, TrapPolicy: true,
		Marks: true, InterfaceIDs: true, Offload: true, SecurityLabels: true, PerCPU: true,
	}
	for i := range algorithms {
		a := &algorithms[i]
		for _, p := range []Protocol{ProtoESP, ProtoAH} {
			if a.word != "" && (a.only == 0 || a.only == p) && (a.typ == TransformINTEG || a.typ == TransformENCR && p == ProtoESP) {
				c.Algorithms = append(c.Algorithms, Algorithm{Protocol: p, Transform: Transform{Type: a.typ, ID: a.id}})
			}
		}
	}
	return c
}

// NewMemory returns an empty Memory.
func NewMemory(cfg MemoryConfig) *Memory {
	m := &Memory{
		cfg: cfg, caps: cfg.Capabilities,
		nextSPI: 0xc0000001,
		larval:  map[memoryKey]larvalSA{}, in: map[memoryKey]*memorySA{}, out: map[SAID]*memorySA{},
		bundles:  map[uint32][]*memoryBundle{},
		acquires: map[AcquireID]*memoryAcquire{}, byPolicy: map[Policy]AcquireID{},
	}
	if m.caps.Name == "" && m.caps.Algorithms == nil {
		m.caps = MemoryCapabilities()
	}
	m.events.limit = cmp.Or(cfg.Events, 1024)
	return m
}

func (m *Memory) now() time.Time {
	if m.cfg.Now == nil {
		return time.Time{}
	}
	return m.cfg.Now()
}

// begin takes the lock and asks whether the operation shall fail. The caller
// unlocks in either case.
func (m *Memory) begin(ctx context.Context, op Operation) error {
	m.mu.Lock()
	m.calls[op]++
	if err := ctx.Err(); err != nil {
		return err
	}
	if m.closed {
		return ErrClosed
	}
	if q := m.failNext[op]; len(q) > 0 {
		m.failNext[op] = q[1:]
		if q[0] != nil {
			return q[0]
		}
	}
	if m.cfg.Fail != nil {
		return m.cfg.Fail(op)
	}
	return nil
}

// FailNext makes the next calls of an operation fail with these errors, one
// after the other; a nil lets one pass.
func (m *Memory) FailNext(op Operation, errs ...error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.failNext[op] = append(m.failNext[op], errs...)
}

// Calls returns how often an operation was called, failures included.
func (m *Memory) Calls(op Operation) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.calls[op]
}

// Capabilities implements [DataPlane].
func (m *Memory) Capabilities() Capabilities { return m.caps }

// AllocSPI implements [DataPlane].
func (m *Memory) AllocSPI(ctx context.Context, r SPIRequest) (SPI, error) {
	err := m.begin(ctx, OpAllocSPI)
	defer m.mu.Unlock()
	if err != nil {
		return 0, err
	}
	if r.Protocol != ProtoESP && r.Protocol != ProtoAH && r.Protocol != ProtoIPComp {
		return 0, fmt.Errorf("%w: an SPI for %v", ErrUnsupported, r.Protocol)
	}
	if !r.Local.IsValid() {
		return 0, fmt.Errorf("%w: SPIRequest.Local is no address", ErrUnsupported)
	}
	m.endLarval()
	for range 1000 {
		spi := m.drawSPI(r.Protocol)
		id := SAID{Direction: In, Protocol: r.Protocol, SPI: spi, Dst: r.Local, Mark: r.Mark}
		if spi < FirstSPI || r.Protocol == ProtoIPComp && spi > LastCPI || m.spiTaken(r.Protocol, spi) {
			continue
		}
		l := larvalSA{id: id}
		if r.TTL > 0 && m.cfg.Now != nil {
			l.ends = m.now().Add(r.TTL)
			m.larvalDue = earlier(m.larvalDue, l.ends)
		}
		m.larval[memoryKey{id.Protocol, id.SPI}] = l
		return spi, nil
	}
	return 0, ErrSPIExhausted
}

func (m *Memory) drawSPI(p Protocol) SPI {
	var spi SPI
	if m.cfg.SPI != nil {
		spi = m.cfg.SPI()
	} else {
		spi = m.nextSPI
		m.nextSPI++
	}
	if p == ProtoIPComp {
		spi = FirstSPI + spi&0xffff%(LastCPI-FirstSPI+1)
	}
	return spi
}

func (m *Memory) spiTaken(p Protocol, spi SPI) bool {
	k := memoryKey{p, spi}
	_, larval := m.larval[k]
	return larval || m.in[k] != nil
}

// earlier returns the earlier of two times, of which the first may be zero for
// never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

// endLarval gives back the SPIs whose time is over.
func (m *Memory) endLarval() {
	if m.larvalDue.IsZero() || m.now().Before(m.larvalDue) {
		return
	}
	now := m.now()
	m.larvalDue = time.Time{}
	for k, l := range m.larval {
		switch {
		case l.ends.IsZero():
		case now.Before(l.ends):
			m.larvalDue = earlier(m.larvalDue, l.ends)
		default:
			delete(m.larval, k)
		}
	}
}

// ReleaseSPI implements [DataPlane].
func (m *Memory) ReleaseSPI(ctx context.Context, id SAID) error {
	err := m.begin(ctx, OpReleaseSPI)
	defer m.mu.Unlock()
	if err != nil {
		return err
	}
	m.endLarval()
	k := memoryKey{id.Protocol, id.SPI}
	if l, ok := m.larval[k]; !ok || l.id != id {
		return ErrNotFound
	}
	delete(m.larval, k)
	return nil
}

// InstallInbound implements [DataPlane]. SPIs that were not allocated are
// accepted, as for manual keys.
func (m *Memory) InstallInbound(ctx context.Context, b *Bundle) error {
	err := m.begin(ctx, OpInstallInbound)
	defer m.mu.Unlock()
	if err == nil {
		err = m.check(b)
	}
	if err != nil {
		return err
	}
	for i := range b.SAs {
		id := b.ID(In, i)
		if _, ok := m.in[memoryKey{id.Protocol, id.SPI}]; ok {
			return fmt.Errorf("%w: inbound %v SPI %#x", ErrExists, id.Protocol, uint32(id.SPI))
		}
	}
	mb := m.adopt(In, b)
	for _, sa := range mb.sas {
		delete(m.larval, memoryKey{sa.id.Protocol, sa.id.SPI})
		m.in[memoryKey{sa.id.Protocol, sa.id.SPI}] = sa
	}
	return nil
}

// InstallOutbound implements [DataPlane].
func (m *Memory) InstallOutbound(ctx context.Context, b *Bundle) error {
	err := m.begin(ctx, OpInstallOutbound)
	defer m.mu.Unlock()
	if err == nil {
		err = m.check(b)
	}
	if err != nil {
		return err
	}
	for i := range b.SAs {
		id := b.ID(Out, i)
		if _, ok := m.out[id]; ok {
			return fmt.Errorf("%w: outbound %v SPI %#x to %v", ErrExists, id.Protocol, uint32(id.SPI), id.Dst)
		}
	}
	mb := m.adopt(Out, b)
	for _, sa := range mb.sas {
		m.out[sa.id] = sa
	}
	m.bundles[b.ReqID] = append(m.bundles[b.ReqID], mb)
	return nil
}

func (m *Memory) check(b *Bundle) error {
	if err := b.Valid(); err != nil {
		return err
	}
	return m.caps.Check(b)
}

func (m *Memory) adopt(d Direction, b *Bundle) *memoryBundle {
	mb := &memoryBundle{Bundle: b.Clone()}
	for i := range mb.SAs {
		mb.sas = append(mb.sas, &memorySA{SA: mb.SAs[i], id: mb.ID(d, i), bundle: mb, mapping: b.Remote, since: m.now()})
	}
	if b.Lifetime.HardTime > 0 && m.cfg.Now != nil {
		m.hardDue = earlier(m.hardDue, m.now().Add(b.Lifetime.HardTime))
	}
	return mb
}

func (m *Memory) find(id SAID) *memorySA {
	if id.Direction == Out {
		return m.out[id]
	}
	if sa := m.in[memoryKey{id.Protocol, id.SPI}]; sa != nil && sa.id == id {
		return sa
	}
	return nil
}

// Remove implements [DataPlane]. A bundle that has lost one of its SAs sends
// and receives no more; its other SAs stay until they are removed too.
func (m *Memory) Remove(ctx context.Context, id SAID) (Counters, error) {
	err := m.begin(ctx, OpRemove)
	defer m.mu.Unlock()
	if err != nil {
		return Counters{}, err
	}
	sa := m.find(id)
	if sa == nil {
		return Counters{}, ErrNotFound
	}
	m.drop(sa)
	return sa.counters, nil
}

func (m *Memory) drop(sa *memorySA) {
	if sa.id.Direction == Out {
		delete(m.out, sa.id)
		reqID := sa.bundle.ReqID
		m.bundles[reqID] = slices.DeleteFunc(m.bundles[reqID], func(b *memoryBundle) bool { return b == sa.bundle })
		if len(m.bundles[reqID]) == 0 {
			delete(m.bundles, reqID)
		}
	} else {
		delete(m.in, memoryKey{sa.id.Protocol, sa.id.SPI})
	}
	sa.EncrKey.Wipe()
	sa.IntegKey.Wipe()
}

// Query implements [DataPlane].
func (m *Memory) Query(ctx context.Context, id SAID) (Counters, error) {
	err := m.begin(ctx, OpQuery)
	defer m.mu.Unlock()
	if err != nil {
		return Counters{}, err
	}
	sa := m.find(id)
	if sa == nil {
		return Counters{}, ErrNotFound
	}
	return sa.counters, nil
}

// MovePeer implements [DataPlane]. The SA's Dst becomes that of the new
// endpoints: from then on that is its SAID.
func (m *Memory) MovePeer(ctx context.Context, id SAID, to Endpoints) error {
	err := m.begin(ctx, OpMovePeer)
	defer m.mu.Unlock()
	if err != nil {
		return err
	}
	sa := m.find(id)
	if sa == nil {
		return ErrNotFound
	}
	moved := *sa.bundle.Bundle
	moved.SetEndpoints(to)
	if err := moved.Valid(); err != nil {
		return err
	}
	if err := m.caps.Check(&moved); err != nil {
		return err
	}
	i := slices.Index(sa.bundle.sas, sa)
	next := moved.ID(id.Direction, i)
	if id.Direction == Out {
		if m.out[next] != nil && m.out[next] != sa {
			return ErrExists
		}
		delete(m.out, id)
		m.out[next] = sa
	}
	sa.id, sa.mapping = next, to.Remote
	sa.bundle.SetEndpoints(to)
	return nil
}

// SetPolicies implements [DataPlane].
func (m *Memory) SetPolicies(ctx context.Context, owner Owner, policies []Policy) error {
	err := m.begin(ctx, OpSetPolicies)
	defer m.mu.Unlock()
	if err != nil {
		return err
	}
	for i := range policies {
		if err := m.caps.CheckPolicy(&policies[i]); err != nil {
			return err
		}
	}
	change, err := m.policies.Set(owner, policies)
	if err != nil {
		return err
	}
	m.table = m.table.Apply(change)
	return nil
}

// AcquireDone implements [DataPlane]. With nil the held packets are on their
// way; a later packet without an SA raises a new acquire in either case.
func (m *Memory) AcquireDone(ctx context.Context, id AcquireID, _ error) error {
	err := m.begin(ctx, OpAcquireDone)
	defer m.mu.Unlock()
	if err != nil {
		return err
	}
	a := m.acquires[id]
	if a == nil {
		return ErrNotFound
	}
	delete(m.acquires, id)
	delete(m.byPolicy, a.policy)
	return nil
}

// PrepareSocket implements [DataPlane]; it has nothing to do.
func (m *Memory) PrepareSocket(conn net.PacketConn, _ bool) error {
	err := m.begin(context.Background(), OpPrepareSocket)
	defer m.mu.Unlock()
	if err == nil {
		m.sockets = append(m.sockets, conn)
	}
	return err
}

// PrepareNonIKE implements [NonIKESocket].
func (m *Memory) PrepareNonIKE(conn net.PacketConn) error { return m.PrepareSocket(conn, false) }

// Events implements [DataPlane]. Once it has been called, events go to the
// channel; before, [Memory.PollEvents] has them.
func (m *Memory) Events() <-chan Event {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.events.channel()
}

// PollEvents returns the events since the last call, in order, for readers
// that drive the plane themselves.
func (m *Memory) PollEvents() []Event {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.checkHardTime()
	return m.events.poll()
}

// Close implements [DataPlane].
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil
	}
	m.closed = true
	for _, sa := range m.in {
		m.drop(sa)
	}
	for _, sa := range m.out {
		m.drop(sa)
	}
	clear(m.larval)
	clear(m.acquires)
	clear(m.byPolicy)
	m.policies, m.table = PolicySet{}, nil
	m.events.close()
	return nil
}
