package racoon

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"iter"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1"
	"github.com/racoon3/racoon/ikev2"
	"github.com/racoon3/racoon/kink"
	"github.com/racoon3/racoon/kink/krb"
	"github.com/racoon3/racoon/spd"
)

// Errors of a Manager.
var (
	// ErrClosed: the Manager was shut down.
	ErrClosed = errors.New("racoon: Manager is closed")
	// ErrNoPeer: no peer of that name is configured.
	ErrNoPeer = errors.New("racoon: no such peer")
	// ErrServing: Serve was called twice.
	ErrServing = errors.New("racoon: Serve was called before")
)

// A Manager talks to many peers: it owns the sockets, the goroutines that run
// the protocol, and the sessions. Its methods may be called by several
// goroutines at once.
type Manager struct {
	log     *slog.Logger
	load    ike.Load
	router  *ikev1.Router
	replays *krb.ReplayCache // of KINK
	epochs  *kink.Epochs
	created time.Time // the epoch that peers of KINK are told
	seed    maphash.Seed
	random  lockedRand

	cfg       *Config // what it holds beside peers and decisions never changes
	decisions atomic.Pointer[decisions]
	peers     atomic.Pointer[peerSet]

	reloading sync.Mutex // guards the next two
	asked     Config     // as the program gave it
	given     map[reqIDKey]uint32

	workers []*worker
	runner  *jobRunner
	sockets *sockets    // set before ready is closed
	nonIKE  atomic.Bool // a peer may send ESP behind the non-IKE marker
	plane   serial
	reg     registry
	sup     supervisor
	events  broadcaster

	ctx      context.Context // ends when the Manager stops
	cancel   context.CancelFunc
	serving  atomic.Bool
	ready    chan struct{} // closed when the sockets are open
	guarded  chan struct{} // closed when the traps of the first configuration are set too
	stopping chan struct{} // closed when Shutdown begins
	stopOnce sync.Once
	stop     chan struct{} // closed when workers are to end
	stopped  chan struct{} // closed when all have ended
	halt     sync.Once
	failure  error
	wg       sync.WaitGroup
}

// decisions are the callbacks in use, which a reload may change.
type decisions struct {
	authorize ike.Authorize
	narrow    ike.Narrow
}

// NewManager checks a configuration and makes a Manager of it. It opens
// nothing and starts nothing: Serve does. Errors wrap [ErrConfig] and name the
// field.
func NewManager(cfg Config) (*Manager, error) { return newManager(cfg, nil) }

// newManager is NewManager with another core than IKEv2 for tests.
func newManager(cfg Config, make newCore) (*Manager, error) {
	f, err := cfg.fill()
	if err != nil {
		return nil, err
	}
	c := newCompiler(capabilitiesOf(f.DataPlane), f.KINK.Kerberos, nil)
	ps, err := c.compile(f.Peers)
	if err != nil {
		return nil, err
	}
	ps.kerberos = f.KINK
	m := &Manager{
		cfg: f, asked: cfg.copied(), log: f.Logger, seed: maphash.MakeSeed(), given: c.reqIDs,
		ready: newSignal(), guarded: newSignal(), stopping: newSignal(), stop: newSignal(), stopped: newSignal(),
	}
	if err := m.random.seed(f.Rand); err != nil {
		return nil, configError("Rand", "%w", err)
	}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	m.peers.Store(ps)
	m.decisions.Store(&decisions{f.Authorize, f.Narrow})
	m.nonIKE.Store(ps.mayHaveNonIKE())
	m.reg.init(m)
	m.sup.init(m)
	m.events.init(f.EventBuffer)
	m.runner = newJobRunner(m.ctx, f.Workers)
	m.replays, m.created = krb.NewReplayCache(f.KINK.skew(), 0, 0), clock()
	m.epochs = kink.NewEpochs(m.created)
	if m.router, err = ikev1.NewRouter(f.Rand); err != nil {
		return nil, configError("Rand", "%w", err)
	}
	if make == nil {
		make = m.newVersions
	}
	for i := range f.Workers {
		k, err := make(uint8(i), ps)
		if err != nil {
			return nil, err
		}
		m.workers = append(m.workers, newWorker(m, i, k))
	}
	m.noteRestrictions(ps)
	return m, nil
}

func newSignal() chan struct{} { return make(chan struct{}) }

// noteRestrictions tells an operator what the data plane cannot do.
func (m *Manager) noteRestrictions(ps *peerSet) {
	seen := make(map[string]bool) // peers are often alike
	for _, p := range ps.peers {
		for _, n := range p.notes {
			if !seen[n] {
				seen[n] = true
				m.log.Warn("note on the configuration", "peer", p.name(), "note", n)
			}
		}
	}
}

// Serve opens the sockets and talks to the peers until ctx ends or Shutdown is
// called. When ctx ends, peers are told with what a second allows; call
// Shutdown first to take more time. Serve returns when nothing of the Manager
// runs any more: nil after Shutdown, else ctx's error, or why it could not
// begin. It can be called once.
func (m *Manager) Serve(ctx context.Context) error {
	if !m.serving.CompareAndSwap(false, true) {
		if m.isStopping() && !m.isReady() {
			return ErrClosed
		}
		return ErrServing
	}
	if m.isStopping() { // Shutdown waits for this
		m.finish()
		return ErrClosed
	}
	var readers, logging sync.WaitGroup
	if err := m.open(ctx, &readers, &logging); err != nil {
		m.stopOnce.Do(func() {
			m.failure = err
			close(m.stopping)
		})
		m.halt.Do(func() { close(m.stop) })
		m.cancel()
		m.finish()
		return err
	}
	var err error
	select {
	case <-ctx.Done():
		short, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		m.shutdown(short)
		cancel()
		err = context.Cause(ctx)
	case <-m.stop:
	}
	m.cancel()
	for _, s := range m.sockets.all {
		s.conn.Close()
	}
	readers.Wait()
	m.wg.Wait()
	m.runner.stop()
	m.finish()
	logging.Wait()
	return err
}

// open opens the sockets and starts what runs until the Manager stops. No reload
// comes between: it would find half of that.
func (m *Manager) open(ctx context.Context, readers, logging *sync.WaitGroup) error {
	m.reloading.Lock()
	defer m.reloading.Unlock()
	ss, err := m.openSockets()
	if err != nil {
		return err
	}
	m.sockets = ss
	for _, w := range m.workers {
		m.wg.Go(func() { w.run(m.stop) })
	}
	m.wg.Go(m.readPlane)
	m.wg.Go(func() { m.plane.run(m.stop) })
	m.wg.Go(func() { m.sup.run(m.stop) })
	for _, s := range ss.all {
		readers.Go(func() { m.receive(s) })
		m.log.Info("listening", "local", s.local, "natt", s.natt)
	}
	if m.log.Enabled(ctx, slog.LevelError) {
		events := m.events.subscribe(context.Background())
		logging.Go(func() { m.writeLog(events) })
	}
	close(m.ready)
	m.sup.setPeers(m.peers.Load())
	m.sup.post(func() { m.plane.add(func(context.Context) { close(m.guarded) }) })
	return nil
}

// finish ends what waits for the Manager.
func (m *Manager) finish() {
	m.reg.close()
	m.events.close()
	close(m.stopped)
}

// Ready returns a channel that is closed when the sockets are open and packets
// that are to wait for a peer (StartTrap) do not leave in clear any more, or
// never if Serve fails.
func (m *Manager) Ready() <-chan struct{} { return m.guarded }

// Addrs returns the addresses of the sockets, once Ready. A wildcard socket
// has the unspecified address.
func (m *Manager) Addrs() []netip.AddrPort {
	if !m.isReady() {
		return nil
	}
	var a []netip.AddrPort
	for _, s := range m.sockets.all {
		a = append(a, s.local)
	}
	return a
}

func (m *Manager) isReady() bool {
	select {
	case <-m.ready:
		return true
	default:
		return false
	}
}

func (m *Manager) isStopped() bool {
	select {
	case <-m.stop:
		return true
	default:
		return false
	}
}

func (m *Manager) isStopping() bool {
	select {
	case <-m.stopping:
		return true
	default:
		return false
	}
}

// waitReady waits until the Manager serves.
func (m *Manager) waitReady(ctx context.Context) error {
	select {
	case <-m.ready:
		if m.isStopping() {
			return ErrClosed
		}
		return nil
	case <-m.stopping:
		if m.failure != nil {
			return m.failure
		}
		return ErrClosed
	case <-ctx.Done():
		return fmt.Errorf("racoon: the Manager is not serving: %w", context.Cause(ctx))
	}
}

// pause waits, and reports false if the Manager stops meanwhile.
func (m *Manager) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-m.stop:
		return false
	}
}

// localTime is what Shutdown takes beyond its context to clean up on this
// host, where it need not wait for peers.
const localTime = time.Second

// Shutdown ends all sessions: their peers are told, their SAs are removed,
// one after the other within each session. Then the Manager stops and Serve
// returns. When ctx ends first, what is left is removed from the data plane
// without waiting for the peers, and Shutdown returns an error that says how
// much that was. A Manager that does not serve yet never will.
//
// It waits for callbacks (Authorize, Narrow, credentials, ...) that are under way, so
// one that calls it has to do so in another goroutine.
func (m *Manager) Shutdown(ctx context.Context) error {
	if m.isReady() {
		if err := m.shutdown(ctx); err != nil {
			return err
		}
	} else {
		m.stopOnce.Do(func() { close(m.stopping) })
		m.halt.Do(func() { close(m.stop) })
		m.cancel()
		if m.serving.CompareAndSwap(false, true) { // nobody has called Serve
			m.finish()
			return nil
		}
	}
	select {
	case <-m.stopped:
		return nil
	case <-ctx.Done(): // a callback does not return
		return fmt.Errorf("racoon: not everything has ended: %w", context.Cause(ctx))
	}
}

func (m *Manager) shutdown(ctx context.Context) error {
	first := false
	m.stopOnce.Do(func() {
		first = true
		m.log.Info("shutting down", "sessions", m.reg.count())
		close(m.stopping)
	})
	if !first { // somebody else does it
		select {
		case <-m.stop:
			return nil
		case <-ctx.Done():
			m.halt.Do(func() { close(m.stop) })
			return context.Cause(ctx)
		}
	}
	m.sup.quiet()
	empty := &peerSet{v1: new(ikev1.PeerSet), v2: new(ikev2.PeerSet), kink: new(kink.PeerSet)}
	for _, w := range m.workers {
		w.do(ctx, func(_ time.Time, c core) error { c.SetPeers(empty); return nil })
	}
	m.reg.deleteAll(ike.DownShutdown)
	err := m.reg.waitEmpty(ctx)
	if err != nil {
		// Peers that do not answer: their SAs go nevertheless.
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), localTime)
		defer cancel()
		m.reg.forgetAll()
	}
	// What the sessions have left: SAs to remove, policies.
	err = errors.Join(err, m.waitIdle(ctx))
	m.halt.Do(func() { close(m.stop) })
	return err
}

// waitIdle waits until no job is left.
func (m *Manager) waitIdle(ctx context.Context) error {
	m.sup.removeTraps()
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		busy := m.plane.len() + m.runner.busy()
		for _, w := range m.workers {
			n, _ := ask(ctx, w, func(c core) (int, error) { return c.Stats().Jobs, nil })
			busy += n
		}
		if busy == 0 {
			return nil
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return fmt.Errorf("racoon: %d data plane operations were not finished: %w", busy, context.Cause(ctx))
		}
	}
}

// Initiate returns an established session with a peer: the one there is, else
// it begins one, or joins an attempt under way. The error explains what was
// offered, what was wanted and what did not fit. If the session is up but a
// Child SA could not be set up, both the session and an error are returned.
// Initiate waits for Serve to be ready. If ctx ends, an attempt that nobody
// else waits for is given up.
func (m *Manager) Initiate(ctx context.Context, peer string) (*Session, error) {
	if err := m.waitReady(ctx); err != nil {
		return nil, err
	}
	p := m.peers.Load().byName[peer]
	if p == nil {
		return nil, fmt.Errorf("%w: %q", ErrNoPeer, peer)
	}
	if p.host == "" {
		return nil, fmt.Errorf("racoon: peer %q cannot be called: its Remote is empty", peer)
	}
	c := m.reg.join(p, order{})
	defer m.reg.leave(c)
	select {
	case <-c.done:
		return c.session, c.err
	case <-ctx.Done():
		return nil, fmt.Errorf("racoon: peer %q: %w", peer, context.Cause(ctx))
	case <-m.stopped:
		return nil, ErrClosed
	}
}

// Sessions returns the established sessions, in no order.
func (m *Manager) Sessions() iter.Seq[*Session] {
	return func(yield func(*Session) bool) {
		for _, s := range m.reg.all() {
			if s.Up() && !yield(s) {
				return
			}
		}
	}
}

// Session returns the session of that ID, as events name it, or nil.
func (m *Manager) Session(id ike.SessionID) *Session { return m.reg.session(id) }

// Peers returns the names of the configured peers.
func (m *Manager) Peers() []string {
	ps := m.peers.Load().peers
	names := make([]string, len(ps))
	for i, p := range ps {
		names[i] = p.name()
	}
	return names
}

// workerOf returns the worker whose core has a session.
func (m *Manager) workerOf(id ike.SessionID) *worker {
	if i := int(id >> 56 &^ tagMask); i < len(m.workers) {
		return m.workers[i]
	}
	return nil
}

// hashOf is a keyed hash of what an initiator's first message is known by.
func (m *Manager) hashOf(spi []byte, remote netip.AddrPort) int {
	var b [8 + 16 + 2]byte
	copy(b[:], spi)
	a := remote.Addr().As16()
	copy(b[8:], a[:])
	binary.BigEndian.PutUint16(b[24:], remote.Port())
	return int(maphash.Bytes(m.seed, b[:]) >> 1)
}

// hashOfAddr is a keyed hash of an address.
func (m *Manager) hashOfAddr(a netip.Addr) int {
	b := a.As16()
	return int(maphash.Bytes(m.seed, b[:]) >> 1)
}

func (m *Manager) hashName(name string) uint64 { return maphash.String(m.seed, name) }

// readPlane takes the events of the data plane. Those about SAs go to all
// workers: each core knows its own SPIs.
func (m *Manager) readPlane() {
	events := m.cfg.DataPlane.Events()
	for {
		select {
		case ev, ok := <-events:
			if !ok {
				return
			}
			if a, ok := ev.(spd.AcquireEvent); ok {
				m.reg.acquire(a)
				continue
			}
			for _, w := range m.workers {
				w.box.putPlane(ev)
			}
		case <-m.stop:
			return
		}
	}
}

// lockedRand makes jitter, which needs no secrecy. Its seed comes
// from the configured source, so that a test can repeat them.
type lockedRand struct {
	mu sync.Mutex
	r  *rand.Rand
}

func (l *lockedRand) seed(source io.Reader) error {
	var b [32]byte
	if _, err := io.ReadFull(source, b[:]); err != nil {
		return err
	}
	l.r = rand.New(rand.NewChaCha8(b))
	return nil
}

// spread returns d, up to a quarter more or less.
func (l *lockedRand) spread(d time.Duration) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return d + time.Duration((l.r.Float64()-0.5)/2*float64(d))
}
