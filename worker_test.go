package racoon

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/testhost"
	"github.com/racoon3/racoon/spd"
)

// fakeCore is a core that does what a test wants.
type fakeCore struct {
	tag       uint8
	busy      atomic.Bool // somebody is in it
	datagrams [][]byte
	results   []ike.Result
	plane     []spd.Event
	timeouts  []time.Time

	jobs      []ike.Job
	events    []ike.Event
	transmits []ike.Transmit
	deadline  time.Time

	onDatagram func(now time.Time, path ike.Path, b []byte)
	nextID     uint64
}

// in notes that two goroutines are in the core at once.
func (c *fakeCore) in() func() {
	if !c.busy.CompareAndSwap(false, true) {
		panic("two goroutines in one core")
	}
	return func() { c.busy.Store(false) }
}

func (c *fakeCore) SetPeers(*peerSet) {}

func (c *fakeCore) HandleKINK(time.Time, ike.Path, []byte) {}

func (c *fakeCore) HandleDatagram(now time.Time, path ike.Path, b []byte) {
	defer c.in()()
	c.datagrams = append(c.datagrams, slices.Clone(b))
	if c.onDatagram != nil {
		c.onDatagram(now, path, b)
	}
}

func (c *fakeCore) HandleTimeout(now time.Time) {
	defer c.in()()
	c.timeouts = append(c.timeouts, now)
	c.deadline = time.Time{}
}

func (c *fakeCore) HandleResult(_ time.Time, r ike.Result) {
	defer c.in()()
	c.results = append(c.results, r)
}

func (c *fakeCore) HandleDataPlane(_ time.Time, ev spd.Event) {
	defer c.in()()
	c.plane = append(c.plane, ev)
}

func pop[T any](l *[]T) (v T, ok bool) {
	if len(*l) == 0 {
		return v, false
	}
	v, *l = (*l)[0], (*l)[1:]
	return v, true
}

func (c *fakeCore) PollTransmit() (ike.Transmit, bool) { return pop(&c.transmits) }
func (c *fakeCore) PollJob() (ike.Job, bool)           { return pop(&c.jobs) }
func (c *fakeCore) PollEvent() (ike.Event, bool)       { return pop(&c.events) }
func (c *fakeCore) PollTimeout() (time.Time, bool)     { return c.deadline, !c.deadline.IsZero() }

func (c *fakeCore) Initiate(now time.Time, in initiation) (ike.SessionID, error) {
	c.nextID++
	id := ike.SessionID(uint64(c.tag)<<56 | c.nextID)
	h := ike.EventHeader{Time: now, Session: id, Peer: in.peer.name(), Path: in.path}
	c.events = append(c.events, ike.SessionUp{EventHeader: h, Info: ike.SessionInfo{Initiator: true}})
	for _, ch := range in.peer.children {
		c.events = append(c.events, ike.ChildUp{EventHeader: h, Child: ike.ChildInfo{ID: ike.ChildID(id), Name: ch.Name}})
	}
	return id, nil
}

func (c *fakeCore) Delete(now time.Time, s ike.SessionID, reason ike.DownReason) error {
	c.events = append(c.events, ike.SessionDown{EventHeader: ike.EventHeader{Time: now, Session: s}, Reason: reason})
	return nil
}

func (c *fakeCore) CreateChild(time.Time, ike.SessionID, string, spd.AcquireID, *spd.Selector) error {
	return nil
}
func (c *fakeCore) RekeyIKE(time.Time, ike.SessionID) error                { return nil }
func (c *fakeCore) RekeyChild(time.Time, ike.SessionID, ike.ChildID) error { return nil }
func (c *fakeCore) Forget(now time.Time, s ike.SessionID, reason ike.DownReason) error {
	return c.Delete(now, s, reason)
}

func (c *fakeCore) DeleteChild(time.Time, ike.SessionID, ike.ChildID) error { return nil }
func (c *fakeCore) Reauthenticate(time.Time, ike.SessionID) error           { return nil }
func (c *fakeCore) CheckLiveness(time.Time, ike.SessionID) error            { return nil }
func (c *fakeCore) SetPeer(time.Time, ike.SessionID, *peer) error           { return nil }
func (c *fakeCore) Stats() ike.CoreStats                                    { return ike.CoreStats{} }
func (c *fakeCore) Session(ike.SessionID) (ike.SessionState, bool) {
	return ike.SessionState{}, false
}

// withFakes runs a Manager of fake cores in virtual time.
func withFakes(t *testing.T, cfg Config, f func(t *testing.T, m *Manager, cores []*fakeCore, n *memoryNetwork)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := newMemoryNetwork()
		cfg.Listen, cfg.DataPlane = n.listen(gatewayAddr), newPlane()
		if cfg.Workers == 0 {
			cfg.Workers = 2
		}
		var cores []*fakeCore
		m, err := newManager(cfg, func(tag uint8, _ *peerSet) (core, error) {
			cores = append(cores, &fakeCore{tag: tag})
			return cores[len(cores)-1], nil
		})
		require.NoError(t, err)
		done := make(chan error, 1)
		go func() { done <- m.Serve(context.Background()) }()
		<-m.Ready()
		f(t, m, cores, n)
		require.NoError(t, m.Shutdown(context.Background()))
		require.NoError(t, <-done)
	})
}

// ikeHeader is the header of an IKEv2 message with our SPI first in the
// direction given.
func ikeHeader(spii, spir uint64, exchange, flags byte) []byte {
	b := make([]byte, 28)
	binary.BigEndian.PutUint64(b, spii)
	binary.BigEndian.PutUint64(b[8:], spir)
	b[17], b[18], b[19] = 0x20, exchange, flags
	b[27] = 28
	return b
}

func TestDatagramsFindTheirWorker(t *testing.T) {
	withFakes(t, Config{Workers: 4}, func(t *testing.T, m *Manager, cores []*fakeCore, n *memoryNetwork) {
		c := n.conn(netip.MustParseAddrPort("192.0.2.50:500"))
		send := func(to string, b []byte) {
			_, err := c.WriteTo(b, net.UDPAddrFromAddrPort(netip.MustParseAddrPort(to)))
			require.NoError(t, err)
			synctest.Wait()
		}
		const initiatorFlag, responseFlag = 0x08, 0x20
		send(gatewayAddr+":500", ikeHeader(1, 0x02<<56, 35, initiatorFlag)) // from the initiator: SPIr is ours
		require.Len(t, cores[2].datagrams, 1)
		send(gatewayAddr+":4500", append([]byte{0, 0, 0, 0}, ikeHeader(0x03<<56, 9, 36, responseFlag)...)) // from the responder: SPIi is
		require.Equal(t, [][]byte{ikeHeader(0x03<<56, 9, 36, responseFlag)}, cores[3].datagrams, "without the marker")
		send(gatewayAddr+":500", ikeHeader(1, 0x77<<56, 35, initiatorFlag))
		require.Equal(t, uint64(1), m.Stats(t.Context()).Malformed, "no such worker")

		// First messages: repetitions meet the same worker, others are spread.
		used := 0
		for i := range 40 {
			before := total(cores)
			for range 3 {
				send(gatewayAddr+":500", ikeHeader(uint64(1000+i), 0, 34, initiatorFlag))
			}
			after := total(cores)
			for w := range cores {
				require.Contains(t, []int{0, 3}, after[w]-before[w])
			}
		}
		for _, k := range cores {
			if len(k.datagrams) > 5 {
				used++
			}
		}
		require.Greater(t, used, 2)
	})
}

// resultsOf returns what a core has got, seen from its worker.
func resultsOf(t *testing.T, m *Manager, i int, cores []*fakeCore) (r []ike.Result) {
	t.Helper()
	require.NoError(t, m.workers[i].do(t.Context(), func(time.Time, core) error {
		r = slices.Clone(cores[i].results)
		return nil
	}))
	return r
}

func total(cores []*fakeCore) (n []int) {
	for _, c := range cores {
		n = append(n, len(c.datagrams))
	}
	return n
}

// A back end that hangs delays those alone who need it.
func TestSlowBackEndDelaysNobody(t *testing.T) {
	withFakes(t, Config{}, func(t *testing.T, m *Manager, cores []*fakeCore, n *memoryNetwork) {
		release := make(chan struct{})
		add := func(kind ike.JobKind, order uint64, run func(ctx context.Context) (any, error)) {
			require.NoError(t, m.workers[0].do(t.Context(), func(time.Time, core) error {
				k := cores[0]
				k.nextID++
				k.jobs = append(k.jobs, ike.Job{ID: ike.JobID(k.nextID), Kind: kind, Order: order, Run: run})
				return nil
			}))
		}
		for range 1000 { // more than there are goroutines
			add(ike.JobAuthorize, 0, func(ctx context.Context) (any, error) {
				select {
				case <-release:
					return nil, nil
				case <-ctx.Done():
					return nil, ctx.Err()
				}
			})
		}
		synctest.Wait()
		goroutines := runtime.NumGoroutine()
		for _, kind := range []ike.JobKind{ike.JobKeyExchange, ike.JobSign, ike.JobVerify, ike.JobCredential, ike.JobAllocSPI, ike.JobAddress} {
			before := len(resultsOf(t, m, 0, cores))
			add(kind, 0, func(context.Context) (any, error) { return kind, nil })
			synctest.Wait()
			require.Len(t, resultsOf(t, m, 0, cores), before+1, "%v", kind)
		}
		require.Less(t, goroutines, 400)
		time.Sleep(jobTimeout + time.Second)
		synctest.Wait()
		results := resultsOf(t, m, 0, cores)
		require.Len(t, results, 6+256, "those that ran have been told to end; the next ones run")
		require.ErrorIs(t, results[6].Err, context.DeadlineExceeded)
		close(release)
		synctest.Wait()
		require.Len(t, resultsOf(t, m, 0, cores), 6+1000)
	})
}

// Jobs of one order run one after the other, as they came; others do not wait
// for them.
func TestJobOrder(t *testing.T) {
	withFakes(t, Config{}, func(t *testing.T, m *Manager, cores []*fakeCore, n *memoryNetwork) {
		var mu sync.Mutex
		var ran []int
		running := 0
		require.NoError(t, m.workers[1].do(t.Context(), func(time.Time, core) error {
			for i := range 50 {
				kind := ike.JobInstall
				if i%3 == 0 {
					kind = ike.JobRemove
				}
				cores[1].jobs = append(cores[1].jobs, ike.Job{ID: ike.JobID(i + 1), Kind: kind, Order: 7, Run: func(context.Context) (any, error) {
					mu.Lock()
					running++
					alone := running == 1
					mu.Unlock()
					time.Sleep(time.Second)
					mu.Lock()
					running--
					ran = append(ran, i)
					mu.Unlock()
					if !alone {
						return nil, errors.New("not alone")
					}
					return nil, nil
				}})
			}
			cores[1].jobs = append(cores[1].jobs, ike.Job{ID: 100, Kind: ike.JobInstall, Order: 8, Run: func(context.Context) (any, error) { return "free", nil }})
			return nil
		}))
		time.Sleep(1500 * time.Millisecond)
		synctest.Wait()
		require.Len(t, resultsOf(t, m, 1, cores), 2, "the first and the other one")
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Len(t, resultsOf(t, m, 1, cores), 51)
		require.True(t, slices.IsSorted(ran))
		for _, r := range resultsOf(t, m, 1, cores) {
			require.NoError(t, r.Err)
		}
		require.Empty(t, m.workers[1].orders.wait)
	})
}

// A flood that fills a pool's queue is answered; what gives something back is
// not refused.
func TestFullPoolRefuses(t *testing.T) {
	r := newJobRunner(context.Background(), 1)
	defer r.stop()
	w := newWorker(nil, 0, nil)
	block := make(chan struct{})
	var cleaned atomic.Int32
	for i := range jobQueue + 100 {
		r.submit(w, ike.Job{ID: ike.JobID(i), Kind: ike.JobInstall, Run: func(context.Context) (any, error) { <-block; return nil, nil }})
	}
	r.submit(w, ike.Job{Kind: ike.JobRemove, Run: func(context.Context) (any, error) { cleaned.Add(1); return nil, nil }})
	var half inbox
	require.True(t, w.box.swap(&half))
	require.GreaterOrEqual(t, len(half.results), 36)
	require.ErrorIs(t, half.results[0].Err, ErrBusy)
	close(block)
	require.Eventually(t, func() bool { return cleaned.Load() == 1 }, testhost.Patience, time.Millisecond)
}

// The mailbox is bounded; what it drops it counts.
func TestMailboxIsBounded(t *testing.T) {
	b := newMailbox()
	big := make([]byte, 60000)
	put := 0
	for b.putDatagram(ike.Path{}, big, false) {
		put++
	}
	require.LessOrEqual(t, put*len(big), mailboxOctets)
	var half inbox
	require.True(t, b.swap(&half))
	require.Len(t, half.datagrams, put)
	require.Equal(t, big, half.octets[half.datagrams[put-1].begin:half.datagrams[put-1].end])
	require.False(t, b.swap(&half))
	require.Zero(t, cap(half.octets), "a burst's memory is given back")
	for put = 0; b.putDatagram(ike.Path{}, []byte{1}, false); put++ {
	}
	require.Equal(t, mailboxDatagrams, put)
	for range mailboxPlane + 5 {
		b.putPlane(spd.ExpireEvent{})
	}
	require.True(t, b.swap(&half))
	require.Equal(t, spd.OverflowEvent{Lost: 5}, half.plane[len(half.plane)-1])
	for put = 0; b.putCommand(func(time.Time, core) {}); put++ {
	}
	require.Equal(t, mailboxCommands, put)
}

// A steady stream of datagrams allocates nothing on its way to the core.
func TestMailboxAllocations(t *testing.T) {
	b := newMailbox()
	data := make([]byte, 500)
	var half inbox
	round := func() {
		for range 32 {
			b.putDatagram(ike.Path{}, data, false)
		}
		b.signal()
		<-b.wake
		b.swap(&half)
	}
	for range 3 {
		round()
	}
	require.Zero(t, testing.AllocsPerRun(100, round))
}

// Timers fire when the core wants, however deadlines move.
func TestWorkerTimer(t *testing.T) {
	withFakes(t, Config{}, func(t *testing.T, m *Manager, cores []*fakeCore, n *memoryNetwork) {
		begin := time.Now()
		set := func(d time.Duration) {
			require.NoError(t, m.workers[0].do(t.Context(), func(now time.Time, _ core) error {
				cores[0].deadline = begin.Add(d)
				return nil
			}))
			synctest.Wait()
		}
		set(10 * time.Hour)
		set(time.Hour)
		set(3 * time.Hour) // moves away: the timer wakes for nothing in between
		time.Sleep(20 * time.Hour)
		synctest.Wait()
		require.Equal(t, []time.Time{begin.Add(3 * time.Hour)}, cores[0].timeouts)
		set(time.Hour) // long ago
		require.Len(t, cores[0].timeouts, 2)
	})
}

// A subscriber that does not keep up loses events and hears how many; others
// get them all.
func TestSlowSubscriber(t *testing.T) {
	withFakes(t, Config{EventBuffer: 10}, func(t *testing.T, m *Manager, cores []*fakeCore, n *memoryNetwork) {
		ctx, cancel := context.WithCancel(t.Context())
		slow := m.Subscribe(ctx)
		var got atomic.Int32
		fast := m.Subscribe(t.Context())
		go func() {
			for range fast {
				got.Add(1)
			}
		}()
		emit := func(k int) {
			for i := range k {
				require.NoError(t, m.workers[0].do(t.Context(), func(time.Time, core) error {
					cores[0].events = append(cores[0].events, ike.PeerNotify{Type: uint16(i)})
					return nil
				}))
				synctest.Wait()
			}
		}
		emit(50)
		require.Equal(t, int32(50), got.Load())
		seen := 0
		for seen = 0; len(slow) > 0; seen++ {
			require.IsType(t, ike.PeerNotify{}, <-slow)
		}
		emit(1)
		lost := (<-slow).(EventsLost)
		require.Equal(t, uint64(50-seen), lost.Count)
		require.Equal(t, ike.PeerNotify{}, <-slow)
		require.Equal(t, uint64(50-seen), m.Stats(t.Context()).EventsLost)
		emit(30)
		cancel()
		synctest.Wait()
		for range slow { // ends
		}
	})
}

// Nothing of a Manager is left when Serve has returned, and what waits for it
// hears that it is over.
func TestNothingIsLeft(t *testing.T) {
	before := runtime.NumGoroutine()
	for range 3 {
		m, err := NewManager(Config{DataPlane: newPlane(), Peers: []Peer{clientPeer()}, Listen: []Listen{{Address: "127.0.0.1:0"}}})
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		events := m.Subscribe(context.Background())
		served := make(chan error, 1)
		go func() { served <- m.Serve(ctx) }()
		waits := make(chan error, 1)
		go func() {
			_, err := m.Initiate(context.Background(), "gw") // nobody answers
			waits <- err
		}()
		<-m.Ready()
		cancel()
		require.ErrorIs(t, <-served, context.Canceled)
		require.Error(t, <-waits)
		for range events {
		}
		_, err = m.Initiate(t.Context(), "gw")
		require.ErrorIs(t, err, ErrClosed)
	}
	for wait := time.Millisecond; runtime.NumGoroutine() > before && wait < 20*time.Second; wait *= 2 {
		time.Sleep(wait) // goroutines that have nothing to do but to end
	}
	require.LessOrEqual(t, runtime.NumGoroutine(), before)
}
